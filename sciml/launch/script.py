"""The job script: `hpc/job.sbatch` with a site's figures and a run's command filled in."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, final

from sciml import catalogue, node_disk
from sciml.contracts import UserError
from sciml.launch.site import Site

SCRIPT, LOG, CODE = "job.sbatch", "job.log", "job.code"
_TASK = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
_INDEX = "$SLURM_ARRAY_TASK_ID"


class _Template(Template):
    """A template of a shell script, where $ is the shell's."""

    delimiter = "@"


@final
@dataclass(frozen=True)
class Job:
    """One job, or an array of jobs over the folders 0, 1, … of `folder`.

    Args:
        site: where it runs.
        folder: the run folder, absolute.
        directory: the working directory, absolute.
        title: what it is, for people.
        command: words after `sciml`; None for `resume` of the run folder.
        members: of the array; None for one job.
        throttle: members that run at once; None for all.
        environment: variables that the command needs besides the site's.
    """

    site: Site
    folder: Path
    directory: Path
    title: str
    command: Sequence[str] | None = None
    members: int | None = None
    throttle: int | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for path in (self.folder, self.directory):
            if set(str(path)) & set("\"\\\n'$`"):
                raise UserError(f"run_dir: expected a path without quotes or $, got {path}")

    @property
    def resumes(self) -> bool:
        """Whether it goes on after an interruption, as runs do."""
        return self.command is None


def render(job: Job) -> str:
    """The text of the job script."""
    template = (catalogue.home() / "hpc" / SCRIPT).read_text(encoding="utf-8")
    array = job.members is not None
    run = f"{shlex.quote(str(job.folder))}" + (f'/"{_INDEX}"' if array else "")
    again = "-e $stopped || $code == 138 || $code == 143" if job.resumes else "$code == 75"
    return _Template(template).substitute(
        title=_one_line(job.title),
        script=shlex.quote(str(job.folder / SCRIPT)),
        directives="\n".join(f"#SBATCH {line}" for line in directives(job)),
        setup="\n".join(setup(job)),
        run=run,
        folder=shlex.quote(str(job.folder)),
        number='"$SLURM_ARRAY_JOB_ID"' if array else '"$SLURM_JOB_ID"',
        srun=shlex.join(_srun(job.site)),
        python=shlex.quote(job.site.python or sys.executable),
        command=f"resume {run}" if job.command is None else shlex.join(job.command),
        again=again,
        job=f'"{_TASK}"' if array else '"$SLURM_JOB_ID"',
    )


def directives(job: Job) -> Iterator[str]:
    """The options of sbatch, one a line."""
    site = job.site
    yield f"--job-name={_name(job.title)}"
    for name in ("account", "partition", "qos", "constraint", "time"):
        if getattr(site, name) is not None:
            yield f"--{name}={getattr(site, name)}"
    yield f"--nodes={site.nodes}"
    yield f"--ntasks-per-node={site.devices}"
    yield f"--cpus-per-task={site.cpus_per_task}"
    if site.accelerator == "gpu":
        gres = site.gpus == "gres"
        yield f"--gres=gpu:{site.devices}" if gres else f"--gpus-per-node={site.devices}"
    if site.memory is not None:
        yield f"--mem={site.memory}"
    if job.members is not None:
        yield f"--array=0-{job.members - 1}" + (f"%{job.throttle}" if job.throttle else "")
    yield f'--chdir="{job.directory}"'
    place = str(job.folder).replace("%", "%%") + ("/%a" if job.members is not None else "")
    yield f'--output="{place}/{LOG}"'
    yield "--open-mode=append"
    if job.resumes:
        yield "--requeue"
        if site.signal_before:
            yield f"--signal=USR1@{site.signal_before}"
    yield from site.sbatch


def setup(job: Job) -> Iterator[str]:
    """Modules, variables and the site's own lines of shell."""
    for module in job.site.modules:
        yield f"module load {shlex.quote(module)}"
    yield "export PYTHONUNBUFFERED=1"
    disk = {node_disk.VARIABLE: job.site.node_disk} if job.site.node_disk else {}
    for name, value in (*job.environment, *disk.items(), *job.site.environment.items()):
        yield f"export {name}={shlex.quote(value)}"
    yield from job.site.setup


def _srun(site: Site) -> list[str]:
    """If one rank ends badly all do; the others wait for the first, which evaluates."""
    always = ["--kill-on-bad-exit=1", "--wait=0", f"--cpus-per-task={site.cpus_per_task}"]
    return [*always, *site.srun]


def _name(title: str) -> str:
    """A job's name: Lightning takes `bash` and `interactive` for a shell's."""
    return "sciml-" + "".join(c if c.isalnum() or c in "._-" else "-" for c in title.split()[0])


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())

"""`sciml submit`: a case, a sweep or another command of sciml becomes a job of SLURM's."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml import atomic, diagnosis, runs
from sciml.contracts import UserError
from sciml.launch import queue, record, site, status
from sciml.launch.script import SCRIPT, Job, render
from sciml.launch.site import Site
from sciml.launch.wish import Wish, wish

#: Variables of ours that a job needs as its submitter had them.
_STAGE = "SCIML_STAGE"
_CARRIED = ("SCIML_CASES_PATH", "SCIML_DATA", _STAGE)
#: Commands whose work the ranks of a job share.
_SHARED = ("forecast",)
_TRAINER = ("trainer.accelerator", "trainer.devices", "trainer.nodes")

#: What sbatch complains of → what to do about it.
_REMEDIES = {
    "account": "give hpc.account=…; 'sacctmgr show associations user=$USER' lists yours",
    "partition": "give hpc.partition=…; 'sinfo' lists them",
    "qos": "give hpc.qos=…; 'sacctmgr show qos' lists them",
    "time limit": "give a shorter hpc.time=…; 'sinfo' shows the limits",
    "node configuration": "ask for less: nodes=…, hpc.devices=…, hpc.cpus_per_task=…",
    "node count": "ask for fewer: nodes=…",
    "memory": "give hpc.memory=…",
    "feature": "give hpc.constraint=…; 'sinfo --format=%f' lists them",
    "contact": "the controller does not answer: try again later",
    "limit": "wait for other jobs to end, or ask for less",
    "dependency": "leave out after=…, or submit that run again",
}


def submit(cases: Sequence[str], words: Sequence[str], swept: bool, command: Sequence[str]) -> None:
    """Submits one run, or a sweep as one array.

    Args:
        cases: names; several in a sweep only.
        words: `key=value`: submit's own, `hpc.KEY` and overrides of the case.
        swept: whether -m was given.
        command: what was typed.

    Raises:
        UserError: any foreseeable mistake, and what sbatch refuses.
    """
    wished = wish(words)
    if wished.throttle is not None and not swept:
        raise UserError("throttle: expected a sweep, got one run; add -m, or leave it out")
    asked = site.load(wished.site, wished.changes)
    environment = _environment(asked.scratch)  # composing adds to it
    dependencies = _ready(wished)
    diagnosis.check_form(wished.overrides)
    diagnosis.check_choices(wished.overrides)
    configs = _configurations(cases, wished, asked, swept)
    _require_free(wished, asked, configs, swept)
    for _, config in configs if wished.checks else ():
        _rehearse(config, asked)
    folder = _folder(wished, asked, "sweeps" if swept else cases[0])
    for place, (_, config) in zip(_places(folder, configs, swept), configs, strict=True):
        runs.write_config(runs.make(place), config | {"run_dir": str(place)})
    members = [title for title, _ in configs] if swept else None
    title = f"{','.join(cases)} {shlex.join(wished.overrides)}".strip()
    job = Job(
        asked, folder, Path.cwd(), title, members=members and len(members),
        throttle=wished.throttle, environment=environment,
    )  # fmt: skip
    _hand_over(job, members, wished, dependencies, command)


def submit_command(words: Sequence[str], inner: Sequence[str], command: Sequence[str]) -> None:
    """Submits another command of sciml's as a job of one process; `forecast` has all the site's."""
    wished = wish(words)
    if wished.overrides:
        raise UserError(
            f"submit: expected no overrides before --, got '{wished.overrides[0]}'; "
            "what belongs to the command comes after it"
        )
    alone = {} if inner[0] in _SHARED else {"nodes": "1", "devices": "1"}
    asked = site.load(wished.site, {**wished.changes, **alone})
    dependencies = _ready(wished)
    _require_free(wished, asked, [], False)
    folder = _folder(wished, asked, "jobs")
    job = Job(
        asked, folder, Path.cwd(), shlex.join(inner), command=inner,
        environment=_environment(asked.scratch),
    )  # fmt: skip
    _hand_over(job, None, wished, dependencies, command)


def _ready(wished: Wish) -> list[str]:
    """The numbers of jobs to wait for; refuses what cannot be submitted before work is done."""
    if wished.submits and shutil.which("sbatch") is None:
        raise UserError(
            "submit: sbatch is not found, so there is no SLURM here; submit=false writes the job "
            "script and leaves it at that"
        )
    return [number for run in wished.after if (number := _awaited(run))]


def _awaited(run: str) -> str | None:
    """The number of a run's job; None where it has finished."""
    try:
        one = record.find(run)
    except UserError as error:
        raise UserError(f"after: {error}") from error
    if one.name is None:
        raise UserError(f"after: {run} was written and not submitted; submit it first")
    found = status.outcome(one)
    if found == "failed":
        raise UserError(f"after: {run} did not finish; 'sciml status {run}' tells why")
    return one.name if found == "active" else None


def _configurations(
    cases: Sequence[str], wished: Wish, asked: Site, swept: bool
) -> list[tuple[str, dict[str, Any]]]:
    """What each run changes, and its configuration with the site's nodes and devices in it."""
    from sciml import compose

    for word in wished.overrides:
        key = diagnosis.key_of(word)
        if key in _TRAINER:
            name = key.removeprefix("trainer.")
            raise UserError(
                f"{key}: expected it to follow the site, so that SLURM and the trainer agree; "
                f"set hpc.{name}=… instead"
            )
    jobs = compose.sweep(cases, wished.overrides) if swept else [(cases[0], wished.overrides)]
    found = []
    for case, overrides in jobs:
        try:
            config = compose.frozen(case, overrides)
        except UserError as error:
            raise _misplaced(error, wished) from error
        config["trainer"] |= asked.trainer
        found.append((f"{case} {shlex.join(overrides)}".strip(), config))
    return found


def _misplaced(error: UserError, wished: Wish) -> UserError:
    """`account=m1` is a key of the site's."""
    for word in wished.overrides:
        key = diagnosis.key_of(word)
        if key in Site.__dataclass_fields__ and str(error).startswith(f"{key}:"):
            return UserError(f"{error}; a key of the site's is written hpc.{word}")
    return error


def _rehearse(config: Mapping[str, Any], asked: Site) -> None:
    from sciml import compose

    try:
        compose.rehearse(config, asked.ranks)
    except UserError as error:
        hint = f" ({asked.nodes} nodes × {asked.devices} devices)" if asked.ranks > 1 else ""
        said = str(error).replace("trainer.devices", "hpc.devices")
        raise UserError(f"{said}{hint}") from error


def _require_saved_in_time(place: Path, config: Mapping[str, Any], asked: Site) -> None:
    """Refuses a time limit below the checkpoint interval, where an earlier part of the run tells
    how long its steps take."""
    pace = runs.seconds_per_step(place)
    every = config["trainer"].get("save_every", 0)
    if pace * every > asked.seconds:
        raise UserError(
            f"hpc.time: expected more than the time between two checkpoints, which is about "
            f"{pace * every:.0f} s in {place} (trainer.save_every={every}), got {asked.time}; set "
            f"trainer.save_every={max(1, int(asked.seconds / pace / 4))} or a longer hpc.time"
        )


def _places(folder: Path, configs: Sequence[Any], swept: bool) -> list[Path]:
    """The run folders, of a sweep 0, 1, …"""
    return [folder / str(i) for i in range(len(configs))] if swept else [folder]


def _folder(wished: Wish, asked: Site, name: str) -> Path:
    """The folder of the job, absolute."""
    if wished.run_dir is not None:
        return Path(wished.run_dir).absolute()
    return runs.make_new(Path(asked.scratch or runs.ROOT) / name).absolute()


def _require_free(
    wished: Wish, asked: Site, configs: Sequence[tuple[str, Mapping[str, Any]]], swept: bool
) -> None:
    """Refuses a folder that holds another run, or one whose job waits or runs."""
    if wished.run_dir is None:
        return
    folder = Path(wished.run_dir)
    for place, (_, config) in zip(_places(folder, configs, swept), configs, strict=False):
        runs.check_run(place, config)
        _require_saved_in_time(place, config, asked)
    if (folder / record.RECORD).is_file():
        earlier = record.find(folder)
        if earlier.job is not None and shutil.which("squeue") and not status.is_over(earlier):
            raise UserError(
                f"{wished.run_dir} has job {earlier.job}, which waits or runs; wait for it, or "
                f"sciml cancel {wished.run_dir}"
            )


def _environment(scratch: str | None) -> tuple[tuple[str, str], ...]:
    """What a job needs of the submitter's; staged arrays lie in the site's scratch, if anywhere."""
    found = {name: os.environ[name] for name in _CARRIED if os.environ.get(name)}
    staged = {_STAGE: str(Path(scratch) / "staged")} if scratch else {}
    return tuple((staged | found).items())


def _hand_over(
    job: Job,
    members: Sequence[str] | None,
    wished: Wish,
    dependencies: Sequence[str],
    command: Sequence[str],
) -> None:
    """Writes and shows the script, and gives it to sbatch."""
    file = runs.make(job.folder) / SCRIPT
    text = render(job)
    atomic.write(file, text)
    record.write(job.folder, job.title, members, command)
    shown = _shown(job.folder)
    print(f"{text}\nwritten: {shown / SCRIPT}")
    if not wished.submits:
        print(f"submit it with: sbatch {shlex.quote(str(shown / SCRIPT))}")
        return
    number = _sbatch(file, dependencies)
    record.number(job.folder, number)
    run = shlex.quote(str(shown))
    print(f"job {number}: sciml status {run} · sciml logs -f {run} · sciml cancel {run}")


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _sbatch(file: Path, dependencies: Sequence[str]) -> str:
    """Submits a script; the number of the job."""
    options = ["--parsable"]
    if dependencies:
        options += [f"--dependency=afterok:{':'.join(dependencies)}", "--kill-on-invalid-dep=yes"]
    answer = queue.ask(["sbatch", *options, str(file)])
    if answer.returncode != 0:
        raise UserError(f"{_refusal(queue.said(answer))} ({file} is written)")
    return answer.stdout.strip().splitlines()[-1].split(";")[0]


def _refusal(complaint: str) -> str:
    """sbatch's own words, with the remedy."""
    plain = complaint.replace("sbatch: error: ", "").replace("Batch job submission failed: ", "")
    lower = plain.lower()
    remedy = next((text for word, text in _REMEDIES.items() if word in lower), "")
    return f"sbatch: {plain}" + (f"; {remedy}" if remedy else "")

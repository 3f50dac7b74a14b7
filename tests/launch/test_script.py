"""The job script: what it asks for, how it quotes, and when it has itself requeued."""

import os
import subprocess
from pathlib import Path

import pytest

from sciml.contracts import UserError
from sciml.launch.script import Job, render
from sciml.launch.site import Site

FOLDER = Path("/data/my runs/a%b")


def job(**changes: object) -> Job:
    settings = {"site": Site(), "folder": FOLDER, "directory": Path("/home/me"), "title": "heat"}
    return Job(**{**settings, **changes})


def options(text: str) -> list[str]:
    return [
        line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")
    ]


def test_one_job_asks_for_what_the_site_says() -> None:
    site = Site(account="m1", partition="p", constraint="a&b", nodes=3, devices=4, qos="q",
                accelerator="gpu", gpus="gres", cpus_per_task=8, memory="32G",
                sbatch=["--hint=nomultithread"])  # fmt: skip
    text = render(job(site=site))
    assert options(text) == [
        "--job-name=sciml-heat", "--account=m1", "--partition=p", "--qos=q", "--constraint=a&b",
        "--time=01:00:00", "--nodes=3", "--ntasks-per-node=4", "--cpus-per-task=8",
        "--gres=gpu:4", "--mem=32G", '--chdir="/home/me"',
        '--output="/data/my runs/a%%b/job.log"', "--open-mode=append", "--requeue",
        "--signal=USR1@120", "--hint=nomultithread",
    ]  # fmt: skip
    assert "-m sciml resume '/data/my runs/a%b'" in text
    assert "--cpus-per-task=8" in text.split("srun", 1)[1]


def test_an_array_has_a_folder_a_member_and_requeues_that_member() -> None:
    text = render(job(members=12, throttle=3))
    assert "--array=0-11%3" in options(text)
    assert '--output="/data/my runs/a%%b/%a/job.log"' in options(text)
    assert "resume '/data/my runs/a%b'/\"$SLURM_ARRAY_TASK_ID\"" in text
    assert 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"' in text


def test_other_commands_start_from_nothing_and_are_not_signalled() -> None:
    text = render(job(command=["forecast", "a run", "--start", "0", "--steps", "4"]))
    assert "-m sciml forecast 'a run' --start 0 --steps 4" in text
    assert not [o for o in options(text) if o.startswith(("--signal", "--requeue"))]


def test_everything_is_quoted(tmp_path: Path) -> None:
    site = Site(modules=["a; rm -rf b"], environment={"A": "$(touch x) 'y'"})
    text = render(job(site=site, title="heat\n#SBATCH --evil"))
    assert "module load 'a; rm -rf b'" in text
    line = next(line for line in text.splitlines() if line.startswith("export A="))
    done = subprocess.run(
        ["bash", "-c", f'{line}; printf %s "$A"'], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "$(touch x) 'y'" and not list(tmp_path.iterdir())
    assert "--evil" not in " ".join(options(text))


def test_the_disk_of_a_node_is_named_there() -> None:
    text = render(job(site=Site(node_disk="$SLURM_TMPDIR/sciml")))
    assert "export SCIML_NODE_DISK='$SLURM_TMPDIR/sciml'" in text
    assert "SCIML_NODE_DISK" not in render(job())


@pytest.mark.parametrize("path", ["/a/it's", '/a/"b"', "/a/$b", "/a/\nb"])
def test_paths_that_sbatch_would_misread_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="run_dir: expected a path without quotes"):
        job(folder=Path(path))


@pytest.mark.parametrize(
    ("leaves", "code", "state", "requeued"),
    [
        (True, 75, "RUNNING", True),  # saved after a signal
        (False, 138, "RUNNING", True),  # USR1 before Python's handler stood
        (False, 143, "RUNNING", True),  # TERM likewise
        (True, 75, "COMPLETING", False),  # cancelled: saved all the same
        (False, 143, "COMPLETING", False),
        (False, 2, "RUNNING", False),  # the user's mistake
        (False, 137, "RUNNING", False),  # out of memory, perhaps: again would not help
        (False, 0, "RUNNING", False),
    ],
)
def test_the_script_requeues_what_was_interrupted(
    tmp_path: Path, leaves: bool, code: int, state: str, requeued: bool
) -> None:
    """With stand-ins for srun, squeue and scontrol."""
    run, calls = tmp_path / "a run", tmp_path / "calls"
    run.mkdir()
    (run / ".interrupted").touch()  # of an earlier time, to be forgotten
    mark = f"touch '{run}/.interrupted'" if leaves else ":"
    programs = {
        "srun": f"{mark}; exit {code}",
        "squeue": f"echo {state}",
        "scontrol": f'echo "$*" >> {calls}',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    script = tmp_path / "job.sbatch"
    script.write_text(render(job(folder=run, directory=tmp_path)))
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
    }
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert (run / "job.code").read_text() == f"{code}\n"
    assert (run / "job.id").read_text() == "7\n"
    assert calls.exists() == requeued
    assert not requeued or calls.read_text() == "requeue 7\n"

"""Jobs on a real SLURM that are interrupted in every way end in the bits of one that was not."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

from sciml import cli
from sciml.launch import record
from tests.slurm.cluster import Cluster, until
from tests.slurm.jobs import (
    STARTS_WITHIN,
    ended,
    importing,
    log,
    processes,
    same,
    sciml,
    state,
    submit,
    training,
)

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
#: So that what a run has done is seen from outside while it trains.
OFTEN = ("trainer.log_every=5", "trainer.validate_every=10")


def test_a_signal_before_the_limit_saves_requeues_and_resumes(
    slurm: Cluster, whole: dict[str, torch.Tensor]
) -> None:
    """Two ranks, which draw the same batches here, so that they end where one does."""
    submit("run", "hpc.devices=2", "system.pause=0.1", *OFTEN)
    training("run")
    slurm.run(["scancel", "--signal=USR1", record.find("run").job])
    until(lambda: Path("run/.interrupted").exists(), STARTS_WITHIN)
    ended("run")
    said = log("run")
    (step,) = re.findall(r"stopped by SIGUSR1 after step (\d+) of 100", said)
    assert f"going on from step {step}" in said
    assert same("run", whole)


def test_a_signal_during_imports_is_kept(slurm: Cluster, whole: dict[str, torch.Tensor]) -> None:
    submit("run")
    until(lambda: importing("run"), STARTS_WITHIN)
    slurm.run(["scancel", "--signal=USR1", record.find("run").job])
    ended("run")
    assert "stopped by SIGUSR1 after step 1 of 100" in log("run")
    assert same("run", whole)


def test_a_signal_before_python_runs_starts_the_job_again(here: Path) -> None:
    """Nothing can hold on to a signal before the first line of Python: the job script does."""
    python = here / "python"
    python.write_text(
        f"#!/bin/bash\n[ -e {here}/once ] || {{ touch {here}/once; kill -USR1 $$; }}\n"
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    submit("run", f"hpc.python={python}", case="toy")
    ended("run")
    assert json.loads(Path("run/metrics.json").read_text())["steps"] == 20


def test_killed_outright_it_goes_on_from_its_last_save(
    slurm: Cluster, whole: dict[str, torch.Tensor]
) -> None:
    submit("run", "trainer.save_every=10", "system.pause=0.1")
    until(lambda: Path("run/checkpoints/previous.ckpt").exists(), STARTS_WITHIN)
    (process,) = processes("run")
    os.kill(int(process.name), signal.SIGKILL)
    ended("run", as_="FAILED")
    first = record.find("run").job
    slurm.run(["sbatch", "run/job.sbatch"])
    until(lambda: "run folder: " in log("run"), STARTS_WITHIN)
    assert record.find("run").job != first
    ended("run")
    assert "going on from step" in log("run")
    assert same("run", whole)


def test_cancelled_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    submit("run", "system.pause=0.2", *OFTEN)
    training("run")
    sciml("cancel", "run")
    ended("run", as_="CANCELLED")
    assert Path("run/checkpoints/last.ckpt").exists()
    assert cli.main(["cancel", "run"]) == 2
    assert "run has no job that waits or runs" in capsys.readouterr().err
    sciml("status", "run")
    assert "CANCELLED" in capsys.readouterr().out


def test_a_drained_node_finishes_its_job_and_a_lost_one_hands_it_on(
    slurm: Cluster, whole: dict[str, torch.Tensor]
) -> None:
    submit("run", "system.pause=0.3", "trainer.save_every=10", *OFTEN)
    training("run")
    node = record.find("run").entries()[None].nodes
    other = {"n1": "n2", "n2": "n1"}[node]
    try:
        slurm.run(["scontrol", "update", f"nodename={node}", "state=drain", "reason=test"])
        submit("next", case="toy")
        until(lambda: state("next") == "RUNNING", STARTS_WITHIN)
        assert record.find("next").entries()[None].nodes == other
        assert state("run") == "RUNNING", log("run")
        slurm.run(["scontrol", "update", f"nodename={node}", "state=down", "reason=test"])
        until(lambda: record.find("run").entries()[None].nodes == other, STARTS_WITHIN)
        ended("run")
        ended("next")
    finally:
        slurm.run(["scontrol", "update", f"nodename={node}", "state=resume"])
    assert "going on from step" in log("run")
    assert same("run", whole)

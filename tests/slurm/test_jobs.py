"""Jobs on a real SLURM: placed on nodes, in arrays, one after another, and as a user has them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import cli, runs
from sciml.launch import record
from tests.slurm.cluster import Cluster, until
from tests.slurm.jobs import STARTS_WITHIN, ended, log, sciml, state, submit

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def test_two_ranks_on_one_node() -> None:
    submit("run", "hpc.devices=2", case="toy")
    ended("run")
    assert placed("run") == (1, 2)
    assert json.loads(Path("run/metrics.json").read_text())["steps"] == 20


def placed(run: str) -> tuple[int, int]:
    """Nodes, and ranks on each, of a run of two ranks."""
    assert "MEMBER: 2/2" in log(run)
    config = runs.load_config(run)["trainer"]
    return config["nodes"], config["devices"]


def test_a_sweep_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    """Of three members two run at once; one diverges, and the others do not mind."""
    rates = "optimizer.lr=0.01,1e25,0.02"
    submit("sweep", rates, "-m", "throttle=2", "system.pause=0.01")
    one = record.find("sweep")
    at_once = []

    def over() -> bool:
        entries = one.entries().values()
        at_once.append(sum(entry.state == "RUNNING" for entry in entries))
        return not any(entry.is_active for entry in entries)

    until(over, 2 * STARTS_WITHIN)
    assert max(at_once) == 2
    found = {index: entry.state for index, entry in one.entries().items()}
    assert found == {0: "COMPLETED", 1: "FAILED", 2: "COMPLETED"}, log("sweep")
    capsys.readouterr()
    sciml("status", "sweep")
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("sweep/1"))
    assert "FAILED" in line and "became" in line


def test_a_chain_of_three() -> None:
    submit("run", case="toy")
    command = ("submit", "hpc=local", "check=false")
    sciml(*command, "run_dir=second", "after=run", "--", "evaluate", "run")
    sciml(
        *command,
        "run_dir=third",
        "after=second",
        "--",
        "export",
        "run",
        "--to",
        "bundle",
        "--format",
        "pt2",
    )
    assert state("second") == state("third") == "PENDING"
    for run in ("run", "second", "third"):
        ended(run)
    assert Path("bundle/model.pt2").is_file()


def test_what_sbatch_refuses_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["submit", "toy", "hpc=local", "run_dir=run", "check=false", "hpc.partition=gpuu"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "invalid partition specified: gpuu" in said and "'sinfo' lists them" in said
    assert said.count("\n") == 1


def test_as_a_user_does(slurm: Cluster, here: Path) -> None:
    """`sciml submit helmholtz_2d/m4 hpc=local nodes=2`, and the log until the end."""
    program = [sys.executable, "-m", "sciml"]
    words = ["submit", "helmholtz_2d/m4", "hpc=local", "nodes=2", "run_dir=m4"]
    short = ["phases.adam.steps=20", "derivatives=autograd", "sampling.grid=[21,21]"]
    environment = slurm.variables() | {"PYTHONPATH": str(ROOT)}
    for command in ([*words, *short], ["logs", "-f", "m4"], ["status", "m4"]):
        done = subprocess.run(
            [*program, *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * STARTS_WITHIN,
        )
        assert done.returncode == 0, done.stderr
    assert "COMPLETED" in done.stdout and "20/20" in done.stdout
    assert placed("m4") == (2, 1)

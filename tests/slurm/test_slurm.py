"""Jobs on a real SLURM of two nodes: placed, interrupted, resumed to the same bits, in arrays."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from sciml import cli, compose
from sciml.launch import record, status
from sciml.training import checkpoint
from tests.slurm import cluster
from tests.slurm.cluster import Cluster, until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
CASES = os.pathsep.join(map(str, (ROOT / "tests/cases", ROOT / "tests/slurm/cases")))
STARTS_WITHIN = 120  # s, of a job on a busy machine: imports alone take ten on an idle one


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = cluster.missing()
    if reason:
        pytest.skip(reason)
    ours = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        ours.up()
        yield ours
    finally:
        ours.down()
    until(lambda: not ours.processes(), 10)


@pytest.fixture(autouse=True)
def here(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder; what runs in it afterwards is cancelled."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "SLURM_CONF": str(slurm.configuration),
        "SCIML_CASES_PATH": CASES,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    slurm.run(["scancel", "--partition=debug"], check=False)


def sciml(*words: str) -> None:
    assert cli.main([str(word) for word in words]) == 0


def submit(run: str, *words: str, case: str = "paced") -> None:
    sciml("submit", case, "hpc=local", f"run_dir={run}", *words)


def state(run: str) -> str:
    entries = record.find(run).entries()
    return next(iter(entries.values())).state if entries else ""


def ended(run: str, as_: str = "COMPLETED") -> None:
    one = record.find(run)
    until(lambda: status.is_over(one), STARTS_WITHIN)
    assert {entry.state for entry in one.entries().values()} == {as_}, log(run)


def log(run: str) -> str:
    return "\n".join(file.read_text() for file in record.find(run).logs() if file.is_file())


def steps(run: str) -> int:
    """The last step that the run has written down."""
    from sciml.runs import state as glance

    return glance(Path(run)).done


def training(run: str) -> None:
    """Waits until it is in the midst of its steps."""
    until(lambda: steps(run) >= 10, STARTS_WITHIN)


def weights(run: str | Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(Path(run) / "checkpoints/last.ckpt")
    assert content["global_step"] == 100
    (moments,) = content["optimizer_states"]
    flat = {f"{i}.{k}": v for i, state in moments["state"].items() for k, v in state.items()}
    return content["state_dict"] | flat


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Where the paced run ends without any interruption."""
    before = os.environ.get("SCIML_CASES_PATH")
    os.environ["SCIML_CASES_PATH"] = CASES
    try:
        run = tmp_path_factory.mktemp("whole")
        compose.run("paced", "system.pause=0", f"run_dir={run}")
    finally:
        os.environ["SCIML_CASES_PATH"] = before or ""
    return weights(run)


def same(run: str, whole: dict[str, torch.Tensor]) -> bool:
    ours = weights(run)
    return ours.keys() == whole.keys() and all(torch.equal(ours[k], whole[k]) for k in whole)


def test_two_ranks_on_one_node_and_on_two() -> None:
    submit("one", "hpc.devices=2", case="toy")
    submit("two", "nodes=2", case="toy")
    for run, placed in (("one", (2, 1)), ("two", (1, 2))):
        ended(run)
        config = compose.runs.load_config(run)["trainer"]
        assert (config["devices"], config["nodes"]) == placed
        assert "MEMBER: 2/2" in log(run)
        assert json.loads(Path(run, "metrics.json").read_text())["steps"] == 20


def test_a_signal_before_the_limit_saves_requeues_and_resumes(
    slurm: Cluster, whole: dict[str, torch.Tensor]
) -> None:
    """Two ranks: the one that got no signal hears of it from the other."""
    submit("run", "hpc.devices=2", "trainer.log_every=5", "trainer.validate_every=10")
    training("run")
    sent = time.time()
    slurm.run(["scancel", "--signal=USR1", record.find("run").job])
    until(lambda: Path("run/.interrupted").exists(), 60)
    assert os.path.getmtime("run/checkpoints/last.ckpt") - sent < 2.5  # it looks once a second
    ended("run")
    said = log("run")
    assert said.count("stopped by SIGUSR1 after step") == 1
    assert "going on from step" in said
    assert same("run", whole)


def test_a_signal_during_imports_is_kept(slurm: Cluster, whole: dict[str, torch.Tensor]) -> None:
    submit("run")
    until(lambda: importing("run"), STARTS_WITHIN)
    slurm.run(["scancel", "--signal=USR1", record.find("run").job])
    ended("run")
    assert "stopped by SIGUSR1 after step 1 of 100" in log("run")
    assert same("run", whole)


def importing(run: str) -> bool:
    """Whether the run's process has mapped torch's library: seconds before it trains."""
    return any("libtorch_cpu" in (folder / "maps").read_text() for folder in processes(run))


def processes(run: str) -> list[Path]:
    """The folders under /proc of the Python processes that carry a run out."""
    wanted = ["-m", "sciml", "resume", str(Path(run).absolute()), ""]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[1:] == wanted:
                found.append(folder)
    return found


def test_a_signal_before_python_runs_starts_the_job_again(here: Path) -> None:
    """Nothing can hold on to a signal before the first line of Python: the job script does."""
    python = here / "python"
    python.write_text(
        f"#!/bin/bash\n[ -e {here}/once ] || {{ touch {here}/once; kill -USR1 $$; }}\n"
        f'exec {compose.sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    submit("run", f"hpc.python={python}", case="toy")
    ended("run")
    assert json.loads(Path("run/metrics.json").read_text())["steps"] == 20


def test_killed_outright_it_goes_on_from_its_last_save(
    slurm: Cluster, whole: dict[str, torch.Tensor]
) -> None:
    submit("run", "trainer.save_every=10")
    until(lambda: Path("run/checkpoints/previous.ckpt").exists(), STARTS_WITHIN)
    (process,) = processes("run")
    os.kill(int(process.name), signal.SIGKILL)
    ended("run", as_="FAILED")
    slurm.run(["sbatch", "run/job.sbatch"])
    until(lambda: "run folder: " in log("run"), STARTS_WITHIN)
    assert "going on from step" in log("run")
    assert same("run", whole)


def test_cancelled_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    submit("run", "trainer.log_every=5", "trainer.validate_every=10")
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
    submit("run", "trainer.save_every=10", "trainer.log_every=5", "trainer.validate_every=10")
    training("run")
    node = record.find("run").entries()[None].nodes
    other = {"n1": "n2", "n2": "n1"}[node]
    try:
        slurm.run(["scontrol", "update", f"nodename={node}", "state=drain", "reason=test"])
        submit("next", case="toy")
        until(lambda: state("next") == "RUNNING", 20)
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


def test_a_sweep_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    """Of four members two run at once; one diverges, and the others do not mind."""
    rates = "optimizer.lr=0.01,0.02,1e25,0.03"
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
    assert found == {0: "COMPLETED", 1: "COMPLETED", 2: "FAILED", 3: "COMPLETED"}, log("sweep")
    capsys.readouterr()
    sciml("status", "sweep")
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("sweep/2"))
    assert "FAILED" in line and "became" in line


def test_a_chain_of_three() -> None:
    submit("run", case="toy")
    command = ("submit", "hpc=local", "check=false")
    sciml(*command, "run_dir=second", "after=run", "--", "evaluate", "run")
    sciml(*command, "run_dir=third", "after=second", "--", "export", "run", "--to", "bundle")
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
    """`sciml submit helmholtz_2d/m4 hpc=local`, and the log until the end."""
    import subprocess

    program = [compose.sys.executable, "-m", "sciml"]
    words = ["submit", "helmholtz_2d/m4", "hpc=local", "phases.adam.steps=20", "run_dir=m4"]
    short = ["derivatives=autograd", "sampling.grid=[21,21]"]
    environment = slurm.variables() | {"PYTHONPATH": str(ROOT)}
    for command in ([*words, *short], ["logs", "-f", "m4"], ["status", "m4"]):
        done = subprocess.run(
            [*program, *command], env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
    assert "COMPLETED" in done.stdout and "20/20" in done.stdout

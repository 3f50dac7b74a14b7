"""A cluster for each worker that runs tests of SLURM, and a user's folder for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sciml import compose
from tests.slurm import cluster
from tests.slurm.cluster import Cluster, until
from tests.slurm.jobs import weights

ROOT = Path(__file__).resolve().parents[2]
CASES = os.pathsep.join(map(str, (ROOT / "tests/cases", ROOT / "tests/slurm/cases")))


@pytest.fixture(scope="session")
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
    until(lambda: not ours.processes() and not ours.listening(), 10)


@pytest.fixture(autouse=True)
def here(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
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

"""A disk or quota that is full at a save: the last checkpoint stays, every rank ends and says why,
and nothing asks SLURM to start the job again.
"""

import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from sciml import atomic, cli
from sciml.balance.fixed import Fixed
from sciml.contracts import Phase, UserError
from sciml.launch import signals
from sciml.training import checkpoint
from sciml.training.run import Settings, train
from tests.small_disk import fill, small_disk
from tests.training import forked
from tests.training.sine import SineData, sine_system

ROOT = Path(__file__).resolve().parents[1]
FULL_AT = 12


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def saved(run: Path) -> int:
    return checkpoint.load(run / "checkpoints/last.ckpt")["global_step"]


def test_a_job_ends_with_the_reason_and_is_not_requeued(
    disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIML_CASES_PATH", str(ROOT / "tests/cases"))
    monkeypatch.setattr(signals, "install", lambda: None)
    run = disk / "run"
    words = ["submit", "toy", "hpc=local", "check=false", "submit=false", f"run_dir={run}"]
    assert cli.main([*words, "trainer.save_every=5"]) == 0
    from sciml_cases.toy.case import Draws

    batch = Draws.batch

    def filling(self: Draws, step: int) -> object:
        if step == FULL_AT:
            fill(disk)
        return batch(self, step)

    monkeypatch.setattr(Draws, "batch", filling)
    capsys.readouterr()
    assert cli.main(["resume", str(run)]) == UserError.exit_code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("sciml: ") and "could not be written: No space left on device" in last
    assert saved(run) == 10 and not (run / ".interrupted").exists()
    assert not list(disk.rglob("*.part"))
    (disk / "ballast").unlink()
    monkeypatch.setattr(Draws, "batch", batch)
    assert cli.main(["resume", str(run)]) == 0
    assert "going on from step 10 of 20" in capsys.readouterr().err


class Filling(SineData):
    """Fills a disk before a step."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self.disk = disk

    def refresh(self, model, objective, step):
        if step == FULL_AT:
            fill(self.disk)


@pytest.mark.parametrize("validate_every", [1000, 14])
def test_all_ranks_end_and_say_why(disk: Path, tmp_path: Path, validate_every: int) -> None:
    """Only the first writes; whether a checkpoint fails first or the table after a validation."""
    settings = Settings(
        nodes=2, strategy="ddp", save_every=5, log_every=1, validate_every=validate_every
    )
    phases = {"adam": Phase(steps=40, optimizer=partial(torch.optim.Adam, lr=1e-2))}

    def work(rank: int) -> None:
        system = sine_system()
        object.__setattr__(system, "data", Filling(disk) if rank == 0 else SineData())
        try:
            train(system, Fixed(), phases, settings, disk)
        except UserError as error:
            (tmp_path / f"said{rank}").write_text(str(error))

    children = forked.start(2, work)
    assert forked.ended(children, 100) == dict.fromkeys(children, 0)
    said = {(tmp_path / f"said{rank}").read_text() for rank in range(2)}
    assert len(said) == 1 and "could not be written: No space left on device" in said.pop()
    assert saved(disk) == 10


def test_a_quota_is_said_as_the_system_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("before")

    def exceeded(path: Path) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(atomic, "sync", exceeded)
    with pytest.raises(UserError, match=r"file could not be written: Disk quota exceeded; what st"):
        atomic.write(tmp_path / "file", "after")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "before"

"""Several ranks of a command on this machine: the first failure ends all and is what is shown."""

import sys
from pathlib import Path

import pytest

from sciml.contracts import UserError
from sciml.launch import local


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is run for Python: says more than a pipe holds; rank 0 sleeps, others end with 3."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\nhead -c 200000 /dev/zero | tr '\\0' $RANK >&2\n"
        "[ $RANK -gt 0 ] && exit 3\nexec sleep ${SECONDS_OF_RANK_0}\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return python


@pytest.mark.usefixtures("program")
def test_a_failure_ends_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECONDS_OF_RANK_0", "1000")
    with pytest.raises(SystemExit) as ended:
        local.together(["forecast"], 2)
    assert ended.value.code == 3
    assert capsys.readouterr().err == 200_000 * "1"


@pytest.mark.usefixtures("program")
def test_a_rank_that_is_alone_shows_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECONDS_OF_RANK_0", "0")
    local.together(["forecast"], 1)
    assert capsys.readouterr().err == 200_000 * "0"


def test_who_starts_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(local.MARK, raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert local.are_to_start(2) and not local.are_to_start(1)
    monkeypatch.setenv(local.MARK, "2")
    assert not local.are_to_start(2)
    with pytest.raises(UserError, match="ranks: expected a number >= 1, got 0"):
        local.are_to_start(0)

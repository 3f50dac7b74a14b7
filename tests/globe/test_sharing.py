"""Several ranks write the forecasts that one would, whatever the format; threads stand for them."""

import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from globe.archive import sets

from sciml.contracts import UserError
from sciml.globe import sharing
from sciml.globe.archive import open_forecast
from sciml.globe.writer import ForecastWriter

STARTS = sets.times_of(3)
LEADS = sets.times_of(5)[1:]
MEMBERS = 3
EVERY = [(int(start), member) for start in STARTS for member in range(MEMBERS)]


class Thread:
    """`contracts.Team` of threads, of which one runs at a time: HDF5 bears no more."""

    def __init__(self, rank: int, ranks: int, meeting: "Meeting") -> None:
        self.rank, self.ranks, self.meeting = rank, ranks, meeting

    def agree(self, told=None, failure=None):
        self.meeting.said[self.rank] = (told, failure)
        self.meeting.wait()
        every = [self.meeting.said[rank] for rank in range(self.ranks)]
        self.meeting.wait()
        for _, failure in every:
            if failure is not None:
                raise UserError(failure)
        return [told for told, _ in every]


class Meeting:
    def __init__(self, ranks: int) -> None:
        self.barrier, self.turn = threading.Barrier(ranks), threading.Lock()
        self.said: dict = {}

    def wait(self) -> None:
        self.turn.release()
        self.barrier.wait(30)
        self.turn.acquire()


def opening(path: Path, join: bool) -> ForecastWriter:
    return ForecastWriter(path, sets.CHANNELS, sets.GRID, STARTS, LEADS, members=MEMBERS, join=join)


def states(start: int, member: int) -> np.ndarray:
    """`[lead, C, *grid]`, a function of start and member."""
    number = STARTS.tolist().index(start) * MEMBERS + member
    return sets.states(4) + 100.0 * number


class Making:
    """Writes what it is dealt, notes it, and fails at a forecast that it is told to fail at."""

    def __init__(self, fails_at: tuple[int, int] | None = None) -> None:
        self.made: list[tuple[int, int]] = []
        self.fails_at = fails_at

    def __call__(self, writer: ForecastWriter, tasks: list[sharing.Task]) -> None:
        for start, members in tasks:
            for member in members:
                if (start, member) == self.fails_at:
                    raise UserError("the disk is full")
                writer.put(start, (state[None] for state in states(start, member)), [member])
                self.made.append((start, member))


def by_ranks(path: Path, ranks: int, make: Callable[[int], Making] = lambda _: Making()) -> list:
    """What every rank made, or the error it ended with."""
    meeting, ends = Meeting(ranks), [None] * ranks

    def run(rank: int) -> None:
        making = make(rank)
        with meeting.turn:
            try:
                sharing.write(path, EVERY, opening, making, Thread(rank, ranks, meeting))
                ends[rank] = making.made
            except Exception as error:
                ends[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def content(path: Path) -> np.ndarray:
    found = open_forecast(path)
    return np.stack([found[name].values for name in sorted(found)[:1]])


@pytest.mark.parametrize("kind", ["zarr", "nc"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_write_what_one_does(tmp_path: Path, kind: str, ranks: int) -> None:
    sharing.write(tmp_path / f"one.{kind}", EVERY, opening, Making())
    made = by_ranks(tmp_path / f"f.{kind}", ranks)
    assert list(chain(*made)) == EVERY, "each forecast by one rank, in order"
    assert max(map(len, made)) - min(map(len, made)) <= 1
    np.testing.assert_array_equal(
        content(tmp_path / f"f.{kind}"), content(tmp_path / f"one.{kind}")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"f.{kind}", f"one.{kind}"]


@pytest.mark.parametrize("kind", ["zarr", "nc"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_failure_of_one_ends_all_and_only_the_rest_is_made_again(
    tmp_path: Path, kind: str, after: int
) -> None:
    path = tmp_path / f"f.{kind}"
    ends = by_ranks(path, 2, lambda rank: Making(EVERY[6] if rank else None))
    assert [str(end) for end in ends] == ["the disk is full"] * 2
    with pytest.raises(UserError):
        open_forecast(path)
    if kind == "zarr" or after > 1:
        again = list(chain(*by_ranks(path, after))) if after > 1 else alone(path)
        assert again == EVERY[6:]
        assert np.isfinite(content(path)).all()


def alone(path: Path) -> list:
    making = Making()
    sharing.write(path, EVERY, opening, making)
    return making.made


def test_another_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    by_ranks(path, 2)
    before = path.read_bytes()
    ends = by_ranks(path, 2)
    assert all("is there already; delete it" in str(end) for end in ends)
    assert path.read_bytes() == before


def test_more_ranks_than_forecasts_are_refused(tmp_path: Path) -> None:
    ends = by_ranks(tmp_path / "f.zarr", 10)
    assert all("each of 10 ranks, got 9 (starts × members)" in str(end) for end in ends)
    assert not list(tmp_path.iterdir())

"""Which times are for what."""

from collections.abc import Callable

import numpy as np
import pytest
from globe.archive import sets

from sciml.contracts import UserError
from sciml.globe.splits import Dates, Shares, Split, Trajectories

DAY = 86400
#: Three trajectories: of 8, 4 and 4 times, ten days apart.
TIMES = np.concatenate([
    sets.times_of(8), sets.times_of(4, start=10 * DAY), sets.times_of(4, start=20 * DAY)
])  # fmt: skip
RUNS = ((0, 8), (8, 12), (12, 16))


@pytest.mark.parametrize(
    ("split", "found"),
    [
        (
            Dates(["1970-01-01", "1970-01-01"], ["1970-01-02T06", "1970-01-12"]),
            {"train": ((0, 4),), "validation": ((5, 8), (8, 12))},
        ),
        (
            Dates(["1970-01-01", "1970-01-05"], ["1970-01-11", "1970-01-12"], ["1970-01-21"] * 2),
            {"train": ((0, 8),), "validation": ((8, 12),), "test": ((12, 16),)},
        ),
        (
            Trajectories([0, 2], [2, 3]),
            {"train": ((0, 8), (8, 12)), "validation": ((12, 16),)},
        ),
        (
            Shares(0.625, 0.25),
            {"train": ((0, 8), (8, 10)), "validation": ((10, 12), (12, 14))},
        ),
        (
            Shares(0.5, 0.25, 0.25),
            {"train": ((0, 8),), "validation": ((8, 12),), "test": ((12, 16),)},
        ),
    ],
)  # fmt: skip
def test_splits(split: Split, found: dict) -> None:
    assert split(TIMES, RUNS) == found


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Dates(["1970-01-01", "1970-01-15"], ["1970-01-11", "1970-01-21"]), "overlap"),
        (lambda: Dates(["1970", "1970"], ["1971", "1972"]), "split 'validation': period: .*1971"),
        (lambda: Dates("1970", ["1971", "1972"]), "first and last date, got '1970'"),
        (lambda: Dates(["x", "1970"], ["1971", "1972"]), "dates such as"),
        (lambda: Trajectories([0, 2], [2, 4]), r"'validation': .* within \[0, 3\], got \[2, 4\]"),
        (lambda: Trajectories([0, 2], [1, 3]), "overlap, got 'train' and 'validation'"),
        (lambda: Shares(0.8, 0.4), "add to 1"),
        (lambda: Shares(0.8, 0.0), "> 0"),
        (lambda: Shares(0.99, 0.01), "'validation': expected at least one time"),
    ],
)
def test_splits_that_are_none(make: Callable[[], Split], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()(TIMES, RUNS)

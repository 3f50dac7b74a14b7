"""Which times are for training, which for validation, which for the test.

A split is made of stretches `[start, stop)` of indices into the times, each without a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import times as clock

TRAIN, VALIDATION, TEST = "train", "validation", "test"

Stretches = tuple[tuple[int, int], ...]


class Split(Protocol):
    """`(times [T], runs) -> {"train": stretches, "validation": …, "test": …}`.

    `runs` are the stretches without a gap. Without a test set of its own, the validation set is
    what is reported.
    """

    def __call__(self, times: np.ndarray, runs: Stretches) -> dict[str, Stretches]: ...


@final
@dataclass(frozen=True)
class Dates:
    """By first and last date, both included; a year stands for all of it.

    `Dates(train=["1979", "2015"], validation=["2016", "2017"], test=["2018", "2018"])`
    """

    train: Sequence[str]
    validation: Sequence[str]
    test: Sequence[str] | None = None

    def __call__(self, times: np.ndarray, runs: Stretches) -> dict[str, Stretches]:
        found = {}
        for name, period in _given(self).items():
            try:
                chosen = clock.within(times, period)
            except UserError as error:
                raise UserError(f"split {name!r}: {error}") from error
            first = int(np.searchsorted(times, chosen[0]))
            found[name] = _cut(runs, first, first + len(chosen))
        return _checked(found)


@final
@dataclass(frozen=True)
class Trajectories:
    """By number of the stretch without a gap, `[first, beyond)`, as simulated sets have many.

    `Trajectories(train=[0, 44], validation=[44, 48], test=[48, 54])`
    """

    train: Sequence[int]
    validation: Sequence[int]
    test: Sequence[int] | None = None

    def __call__(self, times: np.ndarray, runs: Stretches) -> dict[str, Stretches]:
        found = {}
        for name, (first, beyond) in _given(self).items():
            if not 0 <= first < beyond <= len(runs):
                raise UserError(
                    f"split {name!r}: expected trajectories within [0, {len(runs)}], got "
                    f"[{first}, {beyond}]"
                )
            found[name] = tuple(runs[first:beyond])
        return _checked(found)


@final
@dataclass(frozen=True)
class Shares:
    """One after the other in time, by their share of all times: `Shares(0.8, 0.1, 0.1)`."""

    train: float
    validation: float
    test: float | None = None

    def __call__(self, times: np.ndarray, runs: Stretches) -> dict[str, Stretches]:
        shares = _given(self)
        if any(share <= 0 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
            raise UserError(f"split: expected shares > 0 that add to 1 at most, got {shares}")
        edges = np.round(np.cumsum([0.0, *shares.values()]) * len(times)).astype(int).tolist()
        cuts = zip(shares, pairwise(edges), strict=True)
        return _checked({name: _cut(runs, first, beyond) for name, (first, beyond) in cuts})


def _given(split: Dates | Trajectories | Shares) -> dict[str, Any]:
    named = {name: getattr(split, name) for name in (TRAIN, VALIDATION, TEST)}
    return {name: value for name, value in named.items() if value is not None}


def _cut(runs: Stretches, first: int, beyond: int) -> Stretches:
    cut = ((max(a, first), min(b, beyond)) for a, b in runs)
    return tuple((int(a), int(b)) for a, b in cut if b > a)


def _checked(splits: dict[str, Stretches]) -> dict[str, Stretches]:
    owners: list[tuple[int, int, str]] = []
    for name, stretches in splits.items():
        if not stretches:
            raise UserError(f"split {name!r}: expected at least one time, got none; widen it")
        owners += [(a, b, name) for a, b in stretches]
    for (_, stop, one), (start, _, two) in pairwise(sorted(owners)):
        if start < stop:
            raise UserError(f"split: expected splits that do not overlap, got {one!r} and {two!r}")
    return splits

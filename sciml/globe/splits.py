"""Which times are for training, which for validation, which for the test.

A split is a list of stretches `[start, stop)` of indices into the times, each without a gap.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import times as clock
from sciml.globe.staging import Staged

Stretches = tuple[tuple[int, int], ...]


def by_dates(frames: Staged, periods: Mapping[str, Sequence[str]]) -> dict[str, Stretches]:
    """By first and last date, both included: `{"train": ["1979", "2015"], …}`.

    Raises:
        UserError: a period without times, or two that overlap.
    """
    found = {}
    for name, period in periods.items():
        chosen = clock.within(frames.times, period)
        first = int(np.searchsorted(frames.times, chosen[0]))
        found[name] = _cut(frames.runs, first, first + len(chosen))
    return _checked(found)


def by_runs(frames: Staged, counts: Mapping[str, int | Sequence[int]]) -> dict[str, Stretches]:
    """By trajectories: `{"train": [0, 44], "validation": [44, 48]}` are numbers `[first, beyond)`.

    Raises:
        UserError: there are fewer trajectories, or two splits share one.
    """
    found = {}
    for name, (first, beyond) in counts.items():
        if not 0 <= first < beyond <= len(frames.runs):
            raise UserError(
                f"split {name!r}: expected trajectories within [0, {len(frames.runs)}], got "
                f"[{first}, {beyond}]"
            )
        found[name] = tuple(frames.runs[first:beyond])
    return _checked(found)


def by_fraction(frames: Staged, shares: Mapping[str, float]) -> dict[str, Stretches]:
    """One after the other in time, by their share of all times: `{"train": 0.8, …}`.

    Raises:
        UserError: shares that are not positive or add to more than 1.
    """
    if any(share <= 0 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise UserError(f"split: expected shares > 0 that add to 1 at most, got {dict(shares)}")
    edges = np.round(np.cumsum([0.0, *shares.values()]) * len(frames)).astype(int)
    return _checked(
        {name: _cut(frames.runs, edges[n], edges[n + 1]) for n, name in enumerate(shares)}
    )


def _cut(runs: Stretches, first: int, beyond: int) -> Stretches:
    cut = ((max(a, first), min(b, beyond)) for a, b in runs)
    return tuple((int(a), int(b)) for a, b in cut if b > a)


def _checked(splits: dict[str, Stretches]) -> dict[str, Stretches]:
    owner: list[tuple[int, int, str]] = []
    for name, stretches in splits.items():
        if not stretches:
            raise UserError(f"split {name!r}: expected at least one time, got none")
        owner += [(a, b, name) for a, b in stretches]
    owner.sort()
    for (_, stop, one), (start, _, two) in pairwise(owner):
        if start < stop:
            raise UserError(f"split: expected splits that do not overlap, got {one!r} and {two!r}")
    return splits

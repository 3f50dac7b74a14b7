"""What a state is like: mean, spread, increments and time mean by channel, in one streaming pass.

    mean = Σ_t Σ_i a_i x_ti / T        std² = Σ_t Σ_i a_i (x_ti - mean)² / T
    increment_std² = Σ_t Σ_i a_i (Δx_ti - mean Δx)² / T'        climatology_i = Σ_t x_ti / T

with the areas a_i of the cells, which sum to 1, and Δx the change over one time step. Sums are of
float64, over pieces of time that are merged as Chan, Golub and LeVeque do.

Source: T. F. Chan, G. H. Golub, R. J. LeVeque, Amer. Statist. 37 (1983) 242-247.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np

from sciml import atomic
from sciml.contracts import UserError

#: Bytes of states that are looked at together.
PIECE = 64 * 2**20
#: Relative to the mean: far below what float32 fields that vary at all can have.
ROUNDING = 1e-11


class States(Protocol):
    """States by time, as `staging.Staged`: `fields[a:b]` is `[b - a, C, *grid]`."""

    @property
    def fields(self) -> Any: ...

    @property
    def channels(self) -> Any: ...

    @property
    def grid(self) -> Any: ...


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Of the states of a training period, in the units of the channels.

    Args:
        names: of the channels.
        mean, std: `[C]` over space, by area, and time.
        increment_std: `[C]` standard deviation of the change over one time step.
        climatology: `[C, *grid]` time mean; NaN where a channel has no values.

    Raises:
        UserError: arrays of other lengths than the names.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    increment_std: np.ndarray
    climatology: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        for field in fields(self)[1:]:
            found = len(getattr(self, field.name))
            if found != len(self.names):
                raise UserError(
                    f"statistics: expected {field.name} of {len(self.names)} channels, got {found}"
                )

    def of(self, names: Sequence[str]) -> "Statistics":
        """Themselves, if they are of these channels in this order.

        Raises:
            UserError: they are not.
        """
        if tuple(names) != self.names:
            raise UserError(
                f"statistics: expected those of channels {', '.join(names)}, got those of "
                f"{', '.join(self.names)}; take them from the same channel list"
            )
        return self

    def save(self, path: Path) -> None:
        """Writes a safetensors file whose metadata are the names, atomically."""
        from safetensors.numpy import save

        arrays = {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)[1:]}
        atomic.write(path, save(arrays, {"channels": json.dumps(self.names)}))

    @classmethod
    def load(cls, path: Path, names: Sequence[str]) -> "Statistics":
        """Reads what `save` wrote, for these channels.

        Raises:
            UserError: not such a file, or statistics of other channels.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                held = json.loads((file.metadata() or {})["channels"])
                arrays = {f.name: file.get_tensor(f.name) for f in fields(cls)[1:]}
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise UserError(
                f"{path} holds no statistics: {atomic.reason(error)}; delete it, and they are "
                "taken anew"
            ) from error
        return cls(names=tuple(held), **arrays).of(names)


def statistics(states: States, stretches: Iterable[tuple[int, int]]) -> Statistics:
    """Of the times in some stretches `[start, stop)` without a gap, read once.

    Raises:
        UserError: no two times follow one another.
    """
    area = np.asarray(states.grid.area, np.float64).ravel()
    values, changes, climate = Moments(area), Moments(area), _Mean()
    last = np.empty((0, *states.fields.shape[1:]))
    for piece, first in _pieces(states, stretches):
        values.add(piece)
        climate.add(piece)
        changes.add(np.diff(piece if first else np.concatenate([last, piece]), axis=0))
        last = piece[-1:]
    if not changes.count:
        raise UserError("statistics: expected at least two times that follow one another, got none")
    climatology = climate.mean.reshape(states.fields.shape[1:]).astype(np.float32)
    names = states.channels.names
    return Statistics(names, values.mean, values.std, changes.std, climatology)


def moments(states: States, stretches: Iterable[tuple[int, int]]) -> "Moments":
    """Mean and standard deviation alone, of any times."""
    found = Moments(np.asarray(states.grid.area, np.float64).ravel())
    for piece, _ in _pieces(states, stretches):
        found.add(piece)
    return found


def _pieces(
    states: States, stretches: Iterable[tuple[int, int]]
) -> Iterator[tuple[np.ndarray, bool]]:
    """float64 `[time, channel, cell]`, and whether a stretch begins with it."""
    size = max(1, PIECE // max(1, 8 * int(np.prod(states.fields.shape[1:]))))
    for start, stop in stretches:
        for first in range(start, stop, size):
            piece = np.asarray(states.fields[first : min(first + size, stop)], np.float64)
            yield piece.reshape(*piece.shape[:2], -1), first == start


@final
class Moments:
    """Mean and variance by channel of `[time, channel, cell]`, cells weighed by area.

    Points that are NaN, the same ones at all times, do not count.
    """

    def __init__(self, area: np.ndarray) -> None:
        self.area, self.count = area, 0
        self.mean = self._squares = np.zeros(1)

    def add(self, piece: np.ndarray) -> None:
        """Merges in further times."""
        n = len(piece)
        if n == 0:
            return
        weight = np.where(np.isfinite(piece[0]), self.area, 0.0)
        weight /= weight.sum(-1, keepdims=True)
        known = np.nan_to_num(piece)
        mean = np.einsum("tci,ci->c", known, weight) / n
        squares = np.einsum("tci,ci->c", (known - mean[:, None]) ** 2, weight)
        if self.count == 0:
            self.count, self.mean, self._squares = n, mean, squares
            return
        total, apart = self.count + n, mean - self.mean
        self.mean = self.mean + apart * n / total
        self._squares = self._squares + squares + apart**2 * self.count * n / total
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """`[channel]`; 0 where only rounding is left of it."""
        std = np.sqrt(self._squares / self.count)
        return np.where(std > ROUNDING * abs(self.mean), std, 0.0)


@final
class _Mean:
    """The mean over time of `[time, channel, cell]`."""

    def __init__(self) -> None:
        self.count, self.mean = 0, np.zeros(1)

    def add(self, piece: np.ndarray) -> None:
        self.count += len(piece)
        self.mean = self.mean + (piece - self.mean).sum(0) / self.count

"""One file or store of an archive: where its channels are in it, and how they are read."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import xarray

from sciml.contracts import UserError
from sciml.globe.archive.coordinates import Horizontal
from sciml.globe.archive.fingerprint import fingerprint
from sciml.globe.archive.opening import reading


@final
@dataclass(frozen=True)
class Located:
    """The channels of one variable of a file.

    Args:
        name: in the file.
        channels: their numbers in the state.
        levels: their indices on the vertical axis.
        dims: names of (time, vertical, lat, lon) or (time, vertical, cell) in the file; None for
            an axis that it lacks.
        factor, offset: value = stored·factor + offset.
    """

    name: str
    channels: tuple[int, ...]
    levels: tuple[int, ...]
    dims: tuple[str | None, ...]
    factor: float = 1.0
    offset: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Part:
    """A file or store, opened lazily.

    Args:
        path: where it is.
        data: everything in it.
        times: `[n]` int64 s, of its time axis; empty where there is none.
        horizontal: its canonical grid.
        located: the channels it has.
        seen: its fingerprint when it was opened.
    """

    path: str
    data: xarray.Dataset
    times: np.ndarray
    horizontal: Horizontal
    located: tuple[Located, ...]
    seen: tuple[str, ...]

    def read(self, times: np.ndarray, into: np.ndarray) -> None:
        """Puts the fields of those `times` `[T]` that are in this file into `[T, C, *grid]`."""
        at = np.searchsorted(self.times, times).clip(max=len(self.times) - 1)
        here = np.flatnonzero(self.times[at] == times)
        if len(here) == 0:
            return
        rows, back = np.unique(at[here], return_inverse=True)
        for located in self.located:
            into[np.ix_(here, np.array(located.channels))] = self.values(located, rows)[back]

    def values(self, located: Located, rows: Sequence[int] | np.ndarray = (0,)) -> np.ndarray:
        """`[rows, channels, *grid]` in canonical order and units; `rows` ascend.

        A variable without time has one row.

        Raises:
            UserError: the file cannot be read, or is shorter than it was.
        """
        time, vertical = located.dims[:2]
        levels, back = np.unique(located.levels, return_inverse=True)
        index = {time: stretch(np.asarray(rows)), vertical: stretch(levels)}
        with reading(self.path), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
            field = self.data[located.name].isel({k: v for k, v in index.items() if k is not None})
            values = field.values  # transposed afterwards: xarray reads a transposed view slowly
        order = [field.dims.index(dim) for dim in located.dims if dim is not None]
        values = values.transpose(order)
        axes = (len(rows), len(levels), *self.horizontal.stored)
        lacking = tuple(n for n, dim in enumerate(located.dims) if dim is None)
        expected = tuple(size for n, size in enumerate(axes) if n not in lacking)
        if values.shape != expected:
            raise UserError(
                f"{self.path}: expected {list(expected)} numbers of {located.name!r}, got "
                f"{list(values.shape)}: it has changed while it was read; start again"
            )
        values = np.expand_dims(values, lacking)
        values = self.horizontal.canonical(values)[:, back]
        if located.factor == 1.0 and located.offset == 0.0:
            return values
        return values * np.float64(located.factor) + located.offset

    def check_unchanged(self) -> None:
        """Refuses a file that is no longer what it was when it was opened.

        Raises:
            UserError: names it.
        """
        if fingerprint(self.path) != self.seen:
            raise UserError(
                f"{self.path} has changed since it was opened; wait until it is whole, then start "
                "the same command again"
            )


def stretch(numbers: np.ndarray) -> slice | np.ndarray:
    """Ascending numbers as a slice where they are evenly spaced: files are read faster by it."""
    steps = np.diff(numbers)
    if len(numbers) > 1 and not (steps == steps[0]).all():
        return numbers
    step = int(steps[0]) if len(steps) else 1
    return slice(int(numbers[0]), int(numbers[-1]) + 1, step)

"""Writes states and forecasts while they are made, to Zarr or NetCDF, in memory that stays flat.

    with ArchiveWriter("swe.zarr", channels, grid) as out:
        out.append(times, fields)                          # [T], [T, C, *grid]

    with ForecastWriter("out.zarr", channels, grid, starts, leads) as out:
        for start in starts:
            out.put(start, states)                         # one [C, *grid] for each lead

    with ForecastWriter(…, members=8) as out:              # an ensemble
        out.put(start, states, [0, 1, 2, 3])               # one [4, C, *grid] for each lead

A store is marked incomplete until its writer ends without an error. What was cut short is refused
by readers, and gone on with by a writer of the same name and layout.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive import times as clock
from sciml.globe.archive.opening import INCOMPLETE, STATUS
from sciml.globe.channels import Channels
from sciml.globe.forecast_writer import ForecastWriter
from sciml.globe.layout import BLOCK, Ending, block_length, created, reopened
from sciml.globe.schema import TIME, Schema

__all__ = ["BLOCK", "ArchiveWriter", "ForecastWriter"]


@final
class ArchiveWriter(Ending):
    """A series of states, in the layout that `open_archive` and WeatherBench2 read.

    Args:
        path: ends in .zarr or .nc.
        channels: of the states.
        grid: of the sphere.
        attributes: of the store: title, source, how it was made.
        resume: go on with a store that is there, if its layout is the same.

    `times` holds what is in the store already. Several trajectories follow one another, each
    later in time than the one before.

    Raises:
        UserError: something else is there; the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        channels: Channels,
        grid: Any,
        *,
        attributes: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.path, self.schema = Path(path), Schema(channels, grid, (TIME,))
        self.block = block_length(self.schema)
        self._waiting = np.empty((self.block, len(channels), *grid.shape), np.float32)
        self._stamps: list[int] = []
        if resume and self.path.exists():
            self.store = reopened(self.path, self.schema)
            self.times = self.store.get(TIME).astype(np.int64)
            self.store.note({STATUS: INCOMPLETE})
        else:
            self.times = np.empty(0, np.int64)
            self.store = created(self.path, self.schema, attributes, [self.times], self.block)

    def append(self, times: Sequence[int] | np.ndarray, fields: np.ndarray) -> None:
        """Adds states that are later than all before.

        Args:
            times: `[T]` int64 seconds since 1970-01-01, ascending.
            fields: `[T, C, *grid]` in the units of the channels.

        Raises:
            UserError: other shapes, times that do not ascend, a full disk.
        """
        times, fields = np.asarray(times, np.int64), np.asarray(fields)
        self._check(times, fields)
        for time, field in zip(times.tolist(), fields, strict=True):
            self._waiting[len(self._stamps)] = field
            self._stamps.append(time)
            if len(self._stamps) == self.block - len(self.times) % self.block:
                self._flush()

    def _check(self, times: np.ndarray, fields: np.ndarray) -> None:
        expected = (len(times), len(self.schema.channels), *self.schema.grid.shape)
        if fields.shape != expected:
            raise UserError(
                f"{self.path}: expected states of shape {list(expected)}, got {list(fields.shape)}"
            )
        ordered = np.append((self._stamps or self.times.tolist())[-1:], times).astype(np.int64)
        falls = np.diff(ordered) <= 0
        if falls.any():
            at = int(np.argmax(falls))
            raise UserError(
                f"{self.path}: expected times that ascend, got {clock.iso(ordered[at + 1])} after "
                f"{clock.iso(ordered[at])}"
            )

    def _flush(self) -> None:
        """Writes what is held; the time axis last: what stands in it is whole."""
        count = len(self._stamps)
        if not count:
            return
        start, states = (len(self.times),), self._waiting[:count]
        with stores.writing(self.path):
            for field in self.schema.fields:
                self.store.put(field.name, start, self.schema.values(field, states))
            self.store.put(TIME, start, np.array(self._stamps, np.int64))
            self.store.flush()
        self.times, self._stamps = np.append(self.times, self._stamps), []

    def close(self) -> None:
        """Writes what is left and marks the store whole."""
        self._flush()
        with stores.writing(self.path):
            self.store.complete()
            self.store.close()

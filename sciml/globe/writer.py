"""Writes states and forecasts while they are made, to Zarr or NetCDF, in memory that stays flat.

    with ArchiveWriter("swe.zarr", channels, grid) as out:
        out.append(times, fields)                          # [T], [T, C, *grid]

    with ForecastWriter("out.zarr", channels, grid, starts, leads) as out:
        for start in starts:
            out.put(start, states)                         # one [C, *grid] for each lead

A store is marked incomplete until its writer ends without an error. What was cut short is refused
by readers, and gone on with by a writer of the same name and layout.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive import times as clock
from sciml.globe.archive.opening import INCOMPLETE, STATUS
from sciml.globe.channels import Channels
from sciml.globe.layout import BLOCK, begun, block_length, created, reopened
from sciml.globe.schema import LEAD, TIME, Schema

__all__ = ["BLOCK", "ArchiveWriter", "ForecastWriter"]


@final
class ArchiveWriter:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close() if kind is None else self.store.close()


@final
class ForecastWriter:
    """Forecasts in WeatherBench2's layout: (time, prediction_timedelta, [level], lon, lat).

    One process writes all; or one makes the store and others join it, each with forecasts of its
    own, which lie in files of their own (Zarr only). The one that made the store closes it last.

    Args:
        path: ends in .zarr or .nc.
        channels: of the states.
        grid: of the sphere.
        starts: `[N]` int64 seconds since 1970-01-01, ascending: when forecasts begin.
        leads: `[K]` seconds, ascending: how far they reach.
        attributes: of the store.
        join: write into a store that another process has made.

    Raises:
        UserError: something else is there; the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        channels: Channels,
        grid: Any,
        starts: Sequence[int] | np.ndarray,
        leads: Sequence[int] | np.ndarray,
        *,
        attributes: Mapping[str, Any] | None = None,
        join: bool = False,
    ) -> None:
        self.path, self.schema = Path(path), Schema(channels, grid, (TIME, LEAD))
        self.starts, self.leads = (np.asarray(axis, np.int64) for axis in (starts, leads))
        for name, axis in (("starts", self.starts), ("leads", self.leads)):
            if axis.ndim != 1 or not len(axis) or (np.diff(axis) <= 0).any():
                raise UserError(f"{self.path}: expected {name} that ascend, got {axis.tolist()}")
        self.block, self._owner = block_length(self.schema, len(self.leads)), not join
        axes = [self.starts, self.leads]
        self.finished: set[int] = set()
        if join or begun(self.path):
            self.store = reopened(self.path, self.schema, axes)
            self.finished |= {int(s) for s in self.starts if self._whole(int(s))}
        else:
            self.store = created(self.path, self.schema, attributes, axes, self.block)
        if join and isinstance(self.store, stores.NetcdfStore):
            self.store.close()
            raise UserError(f"{self.path}: NetCDF is written by one process; take .zarr")

    def put(self, start: int, states: Iterable[np.ndarray]) -> None:
        """Writes the forecast from one start while it is made.

        Args:
            start: one of `starts`.
            states: `[C, *grid]` for each lead, in order.

        Raises:
            UserError: another number of states, other shapes, a full disk.
        """
        number = self._number(start)
        held = np.empty((self.block, *self._shape), np.float32)
        count = 0
        for state in states:
            if count == len(self.leads) or np.shape(state) != self._shape:
                raise UserError(
                    f"{self.path}: expected {len(self.leads)} states of shape "
                    f"{list(self._shape)}, got number {count + 1} of {list(np.shape(state))}"
                )
            held[count % self.block] = state
            count += 1
            if count % self.block == 0 or count == len(self.leads):
                self._write(number, count, held)
        if count < len(self.leads):
            raise UserError(f"{self.path}: expected {len(self.leads)} states, got {count}")
        self.finished.add(int(start))

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self.schema.channels), *self.schema.grid.shape)

    def _number(self, start: int) -> int:
        if start not in self.starts:
            raise UserError(f"{self.path}: expected one of its starts, got {clock.iso(start)}")
        return int(np.searchsorted(self.starts, start))

    def _write(self, number: int, stop: int, held: np.ndarray) -> None:
        """The block of leads that ends before `stop`: a file of its own for each variable."""
        first = (stop - 1) // self.block * self.block
        with stores.writing(self.path):
            for field in self.schema.fields:
                values = self.schema.values(field, held[: stop - first])
                self.store.put(field.name, (number, first), values[None])
            self.store.flush()

    def _whole(self, start: int) -> bool:
        ends = [*range(self.block - 1, len(self.leads), self.block), len(self.leads) - 1]
        number = self._number(start)
        return all(self.store.whole(f.name, (number, e)) for f in self.schema.fields for e in ends)

    def close(self) -> None:
        """Marks the store whole, where all forecasts are in it.

        Raises:
            UserError: some are not.
        """
        if self._owner:
            absent = [s for s in self.starts if s not in self.finished and not self._whole(int(s))]
            if absent:
                self.store.close()
                raise UserError(
                    f"{self.path}: expected {len(self.starts)} forecasts, got all but "
                    f"{len(absent)}, the first from {clock.iso(absent[0])}; it is left marked "
                    "incomplete"
                )
            with stores.writing(self.path):
                self.store.complete()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close() if kind is None else self.store.close()

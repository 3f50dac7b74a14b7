"""Writes states and forecasts while they are made, to Zarr or NetCDF, in memory that stays flat.

    with ArchiveWriter("swe.zarr", channels, grid) as out:
        out.append(times, fields)                          # [T], [T, C, *grid]

A store is marked incomplete until its writer ends without an error. What was cut short is refused
by readers, and gone on with by a writer of the same name and layout.
"""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive import times as clock
from sciml.globe.archive.opening import INCOMPLETE, STATUS
from sciml.globe.channels import Channels
from sciml.globe.schema import LEAD, TIME, Schema

#: Size of the states that become one file of a Zarr store and are held until it is full.
BLOCK = 64 * 2**20


def block_length(states: int | None, state_bytes: int) -> int:
    """How many states are written at once, at most."""
    fitting = max(1, BLOCK // state_bytes)
    return fitting if states is None else min(fitting, states)


def _attributes(given: Mapping[str, Any] | None) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"Conventions": "CF-1.11", "history": f"{now}: written by sciml", **(given or {})}


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
        cells = int(np.prod(grid.shape))
        self.block = block_length(None, 4 * len(channels) * cells)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        if resume and self.path.exists():
            self.store = stores.reopen(self.path)
            require_layout(self.store, self.schema, self.path)
            self.times = self.store.get(TIME).astype(np.int64)
            self.store.note({STATUS: INCOMPLETE})
        else:
            self.times = np.empty(0, np.int64)
            self.store = stores.create(self.path)
            with stores.writing(self.path):
                self._lay_out(_attributes(attributes))

    def _lay_out(self, attributes: Mapping[str, Any]) -> None:
        self.store.note({**attributes, "channels": layout(self.schema)})
        time = self.schema.time(self.times)
        self.store.axis(time.name, time.dims, time.values, time.attributes)
        for axis in self.schema.coordinates():
            self.store.axis(axis.name, axis.dims, axis.values, axis.attributes)
        for field in self.schema.fields:
            shape = (0, *self.schema.extent(field))
            dims = self.schema.dims(field)
            self.store.field(field.name, dims, shape, (self.block,), field.attributes)

    def append(self, times: Sequence[int] | np.ndarray, fields: np.ndarray) -> None:
        """Adds states that are later than all before.

        Args:
            times: `[T]` int64 seconds since 1970-01-01, ascending.
            fields: `[T, C, *grid]` in the units of the channels.

        Raises:
            UserError: other shapes, times that do not ascend, a full disk.
        """
        times, fields = np.asarray(times, np.int64), np.asarray(fields)
        expected = (len(times), len(self.schema.channels), *self.schema.grid.shape)
        if fields.shape != expected:
            raise UserError(
                f"{self.path}: expected states of shape {list(expected)}, got {list(fields.shape)}"
            )
        last = self._waiting[-1][0][-1] if self._waiting else self.times[-1:]
        ordered = np.append(last, times)
        if (np.diff(ordered) <= 0).any():
            at = int(np.argmax(np.diff(ordered) <= 0))
            raise UserError(
                f"{self.path}: expected times that ascend, got {clock.iso(ordered[at + 1])} after "
                f"{clock.iso(ordered[at])}"
            )
        if len(times):
            self._waiting.append((times, np.array(fields, np.float32)))
            self._write(partly=False)

    def _write(self, partly: bool) -> None:
        """Writes the blocks that are full; what is left too, if `partly`."""
        if not self._waiting:
            return
        times, fields = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        done = 0
        while (left := len(times) - done) and (partly or left >= self._room()):
            stop = done + min(left, self._room())
            self._put(times[done:stop], fields[done:stop])
            done = stop
        self._waiting = [(times[done:], fields[done:])] if done < len(times) else []

    def _room(self) -> int:
        """States until the block that is being filled is full."""
        return self.block - len(self.times) % self.block

    def _put(self, times: np.ndarray, fields: np.ndarray) -> None:
        """The time axis last: what stands in it is whole."""
        with stores.writing(self.path):
            for field in self.schema.fields:
                values = self.schema.values(field, fields)
                self.store.put(field.name, (len(self.times),), values)
            self.store.put(TIME, (len(self.times),), times)
        self.times = np.append(self.times, times)

    def close(self) -> None:
        """Writes what is left and marks the store whole."""
        self._write(partly=True)
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
        if kind is None:
            self.close()
        else:
            self.store.close()


def layout(schema: Schema) -> str:
    """Channels and grid in one line, by which a store is known again."""
    channels = " ".join(f"{c.name}[{c.units}]" for c in schema.channels)
    return f"{channels} on {'x'.join(map(str, schema.grid.shape))}"


def require_layout(store: stores.Store, schema: Schema, path: Path) -> None:
    """Refuses to go on with a store of other channels or another grid."""
    found = store.attributes.get("channels")
    if found != layout(schema):
        raise UserError(
            f"{path} is there already with other contents: expected {layout(schema)!r}, got "
            f"{found!r}; delete it, or give another name"
        )


__all__ = ["LEAD", "ArchiveWriter"]

"""Writes forecasts and ensembles of them while they are made; see `globe.writer`.

What is written at once, and known to be whole or not, is the block of leads of one forecast: of one
start, or of one start and member.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive import times as clock
from sciml.globe.channels import Channels
from sciml.globe.layout import Ending, begun, block_length, created, reopened
from sciml.globe.schema import LEAD, NUMBER, TIME, Schema


@final
class ForecastWriter(Ending):
    """Forecasts in WeatherBench2's layout: (time, [number], prediction_timedelta, [level], …).

    One process writes all; or one makes the store and others join it, each with forecasts of its
    own, which lie in files of their own (Zarr only). The one that made the store closes it last.

    Args:
        path: ends in .zarr or .nc.
        channels: of the states.
        grid: of the sphere.
        starts: `[N]` int64 seconds since 1970-01-01, ascending: when forecasts begin.
        leads: `[K]` seconds, ascending: how far they reach.
        members: of an ensemble, which has an axis of its own; None for one forecast of each start.
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
        members: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        join: bool = False,
    ) -> None:
        self.path, self.members, self._owner = Path(path), members, not join
        self.starts, self.leads = (np.asarray(axis, np.int64) for axis in (starts, leads))
        for name, axis in (("starts", self.starts), ("leads", self.leads)):
            if axis.ndim != 1 or not len(axis) or (np.diff(axis) <= 0).any():
                raise UserError(f"{self.path}: expected {name} that ascend, got {axis.tolist()}")
        if members is not None and members < 1:
            raise UserError(f"{self.path}: expected members >= 1, got {members}")
        numbers = [] if members is None else [np.arange(members)]
        axes = [self.starts, *numbers, self.leads]
        self.schema = Schema(channels, grid, (TIME, *[NUMBER] * len(numbers), LEAD))
        self.block = block_length(self.schema, len(self.leads), members or 1)
        self._done: set[tuple[int, int]] = set()
        if join or begun(self.path):
            self.store = reopened(self.path, self.schema, axes)
            self._look()
        else:
            self.store = created(self.path, self.schema, attributes, axes, self.block)
        if join and isinstance(self.store, stores.NetcdfStore):
            self.store.close()
            raise UserError(f"{self.path}: NetCDF is written by one process; take .zarr")

    @property
    def finished(self) -> set[int]:
        """The starts whose forecast, or whose every member, is in the store."""
        return {int(start) for start in self.starts if not self.absent(int(start))}

    def absent(self, start: int) -> list[int]:
        """Members of a start that are not in the store; `[0]` where there is no ensemble."""
        number = self._number(start)
        return [m for m in range(self.members or 1) if (number, m) not in self._done]

    def put(
        self, start: int, states: Iterable[np.ndarray], members: Sequence[int] | None = None
    ) -> None:
        """Writes the forecast from one start, or some members of it, while it is made.

        Args:
            start: one of `starts`.
            states: `[C, *grid]` for each lead, in order; `[len(members), C, *grid]` of an ensemble.
            members: their numbers.

        Raises:
            UserError: another number of states, other shapes, a full disk.
        """
        number, many = self._number(start), self._members(members)
        shape = (*([] if self.members is None else [len(many)]), *self._state)
        held = np.empty((len(many), self.block, *self._state), np.float32)
        count = 0
        for state in states:
            if count == len(self.leads) or np.shape(state) != shape:
                raise UserError(
                    f"{self.path}: expected {len(self.leads)} states of shape "
                    f"{list(shape)}, got number {count + 1} of {list(np.shape(state))}"
                )
            held[:, count % self.block] = state
            count += 1
            if count % self.block == 0 or count == len(self.leads):
                self._write(number, many, count, held)
        if count < len(self.leads):
            raise UserError(f"{self.path}: expected {len(self.leads)} states, got {count}")
        self._done |= {(number, member) for member in many}

    def take(self, other: "ForecastWriter", start: int, member: int) -> None:
        """Copies one forecast of another store of the same ones (NetCDF only)."""
        number = self._number(start)
        with stores.writing(self.path):
            for first in range(0, len(self.leads), self.block):
                place = self._place(number, member, first)
                count = (*[1] * (len(place) - 1), min(self.block, len(self.leads) - first))
                for field in self.schema.fields:
                    values = other.store.piece(field.name, place, count)  # type: ignore[attr-defined]
                    self.store.put(field.name, place, values)
            self.store.flush()
        self._done.add((number, member))

    @property
    def _state(self) -> tuple[int, ...]:
        return (len(self.schema.channels), *self.schema.grid.shape)

    def _number(self, start: int) -> int:
        if start not in self.starts:
            raise UserError(f"{self.path}: expected one of its starts, got {clock.iso(start)}")
        return int(np.searchsorted(self.starts, start))

    def _members(self, members: Sequence[int] | None) -> list[int]:
        chosen = [0] if members is None else [int(member) for member in members]
        known = members is None if self.members is None else members is not None
        if not known or not set(chosen) <= set(range(self.members or 1)) or not chosen:
            expected = "no members" if self.members is None else f"some of {self.members} members"
            raise UserError(f"{self.path}: expected {expected}, got {members}")
        return chosen

    def _place(self, number: int, member: int, lead: int) -> tuple[int, ...]:
        return (number, lead) if self.members is None else (number, member, lead)

    def _write(self, number: int, members: Sequence[int], stop: int, held: np.ndarray) -> None:
        """The block of leads that ends before `stop`: a file for each variable and member."""
        first = (stop - 1) // self.block * self.block
        with stores.writing(self.path):
            for member, states in zip(members, held, strict=True):
                place = self._place(number, member, first)
                for field in self.schema.fields:
                    values = self.schema.values(field, states[: stop - first])
                    self.store.put(field.name, place, values[(None,) * (len(place) - 1)])
            self.store.flush()

    def _look(self) -> None:
        """Finds out what is in the store already."""
        ends = [*range(self.block - 1, len(self.leads), self.block), len(self.leads) - 1]
        for number in range(len(self.starts)):
            for member in range(self.members or 1):
                places = [self._place(number, member, end) for end in ends]
                if all(self.store.whole(f.name, p) for f in self.schema.fields for p in places):
                    self._done.add((number, member))

    def close(self) -> None:
        """Marks the store whole, where all forecasts are in it.

        Raises:
            UserError: some are not.
        """
        if self._owner:
            if len(self._done) < len(self.starts) * (self.members or 1):
                self._look()  # what others wrote
            absent = [int(s) for s in self.starts if s not in self.finished]
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

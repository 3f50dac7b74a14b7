"""The layout of stores of ours, which is WeatherBench2's: axes, their order, types and attributes.

states      (time, [level], longitude, latitude)
forecasts   (time, prediction_timedelta, [level], longitude, latitude), time being the start
ensembles   (time, number, prediction_timedelta, [level], longitude, latitude)

Fields are float32, coordinates float64 and int64, latitudes ascend, longitudes are 0 … < 360. On a
grid of cells, one axis `cell` stands for longitude and latitude. Attributes follow CF-1.11.

Source: https://weatherbench2.readthedocs.io, and weatherbench2/schema.py there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from sciml.globe.channels import AXES, Channel, Channels, number

TIME, LEAD, LON, LAT, CELL = "time", "prediction_timedelta", "longitude", "latitude", "cell"
#: Share of land of every cell, a field that does not change.
LAND = "land_sea_mask"
#: Members of an ensemble: WeatherBench-X's word where nothing is said; WeatherBench 2's mock, whose
#: members have no coordinate, says realization.
NUMBER, REALIZATION = "number", "realization"
_SINCE = {
    "units": "seconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "units_metadata": "leap_seconds: none",
}
_CF: dict[str, dict[str, str]] = {
    LON: {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude",
          "axis": "X"},
    LAT: {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude",
          "axis": "Y"},
}  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Coordinate:
    """Values along axes of a store, `[n]`, with CF attributes."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, str]


@final
@dataclass(frozen=True)
class Field:
    """A variable of a store.

    Args:
        name: WeatherBench2's.
        axis: its vertical axis; None for a field without one.
        channels: numbers in the state, and their indices on the axis.
        attributes: CF's.
    """

    name: str
    axis: str | None
    channels: tuple[int, ...]
    levels: tuple[int, ...]
    attributes: Mapping[str, str]


@final
@dataclass(frozen=True, eq=False)
class Schema:
    """How a state `[C, *grid]` lies in a store.

    Args:
        channels: of the state.
        grid: `LatLon`, or another grid of the sphere with `.shape` and `.cells`.
        leading: (time,), (time, prediction_timedelta) or (time, number, prediction_timedelta).
    """

    channels: Channels
    grid: Any
    leading: tuple[str, ...] = field(default=(TIME,))

    @cached_property
    def axes(self) -> dict[str, np.ndarray]:
        """Vertical axis → its ascending values."""
        found: dict[str, set[float]] = {}
        for channel in self.channels:
            if channel.level is not None:
                found.setdefault(channel.axis, set()).add(number(channel.level))
        return {axis: np.array(sorted(levels)) for axis, levels in found.items()}

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The variables, in the order of the channels."""
        return tuple(self._field(name) for name in self.channels.variables)

    def _field(self, name: str) -> Field:
        members = self.channels.of(name)
        numbers = tuple(self.channels.index(channel.name) for channel in members)
        axis = members[0].axis if members[0].level is not None else None
        levels = (0,) if axis is None else tuple(self._level(c) for c in members)
        return Field(name, axis, numbers, levels, _attributes(members[0]))

    def _level(self, channel: Channel) -> int:
        return self.axes[channel.axis].tolist().index(channel.level)

    @property
    def horizontal(self) -> tuple[str, ...]:
        """Names of the last axes of a variable."""
        return (CELL,) if len(self.grid.shape) == 1 else (LON, LAT)

    def dims(self, field: Field) -> tuple[str, ...]:
        """Names of the axes of a variable, in order."""
        return (*self.leading, *([field.axis] if field.axis else []), *self.horizontal)

    def extent(self, field: Field) -> tuple[int, ...]:
        """Shape of one entry of a variable: ([level], longitude, latitude)."""
        levels = [len(self.axes[field.axis])] if field.axis else []
        return (*levels, *self.grid.shape[::-1])

    def values(self, field: Field, states: np.ndarray) -> np.ndarray:
        """float32 `[n, [level], longitude, latitude]` of states `[n, C, lat, lon]`.

        Levels that the variable has no channel for are NaN.
        """
        turned = np.moveaxis(states[:, list(field.channels)], -1, 2)
        if field.axis is None:
            return np.ascontiguousarray(turned[:, 0], dtype=np.float32)
        found = np.full((len(states), *self.extent(field)), np.nan, np.float32)
        found[:, list(field.levels)] = turned
        return found

    def coordinates(self) -> list[Coordinate]:
        """Of the vertical axes and of the grid."""
        found = []
        for axis, values in self.axes.items():
            kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.float64
            attributes = {"long_name": axis, "axis": "Z", **AXES.get(axis, {})}
            found.append(Coordinate(axis, (axis,), values.astype(kind), attributes))
        if self.horizontal == (CELL,):
            lat, lon = self.grid.cells
            for name, values in ((LAT, lat), (LON, lon)):
                bare = {key: value for key, value in _CF[name].items() if key != "axis"}
                found.append(Coordinate(name, (CELL,), np.asarray(values, np.float64), bare))
            return found
        for name, values in ((LON, self.grid.lon), (LAT, self.grid.lat)):
            found.append(Coordinate(name, (name,), np.asarray(values, np.float64), _CF[name]))
        return found

    def along(self, name: str, values: np.ndarray) -> Coordinate:
        """One of the leading axes."""
        return {TIME: self.time, NUMBER: self.number, LEAD: self.lead}[name](values)

    def number(self, values: np.ndarray) -> Coordinate:
        """The members of an ensemble, 0 … M - 1."""
        attributes = {"units": "1", "standard_name": "realization", "long_name": "ensemble member"}
        return Coordinate(NUMBER, (NUMBER,), np.asarray(values, np.int64), attributes)

    def time(self, values: np.ndarray) -> Coordinate:
        """The time axis: of states, or of the starts of forecasts."""
        starts = LEAD in self.leading
        attributes = {
            **_SINCE,
            "standard_name": "forecast_reference_time" if starts else "time",
            "long_name": "start of the forecast" if starts else "time",
            "axis": "T",
        }
        return Coordinate(TIME, (TIME,), np.asarray(values, np.int64), attributes)

    def lead(self, values: np.ndarray) -> Coordinate:
        """The lead times, s, in hours where they are whole."""
        whole = bool(np.all(np.asarray(values) % 3600 == 0))
        attributes = {
            "units": "hours" if whole else "seconds",
            "dtype": "timedelta64[ns]",
            "standard_name": "forecast_period",
            "long_name": "lead time",
        }
        stored = np.asarray(values, np.int64) // (3600 if whole else 1)
        return Coordinate(LEAD, (LEAD,), stored, attributes)


def _attributes(channel: Channel) -> dict[str, str]:
    named = {
        "units": channel.units,
        "standard_name": channel.standard_name,
        "long_name": channel.long_name or channel.variable.replace("_", " "),
        "units_metadata": "temperature: on_scale" if channel.units in ("K", "degC") else "",
    }
    return {key: value for key, value in named.items() if value}

"""What a forecast is told beside the state: sun, clock, calendar, place, and fields that stay.

A forcing is a callable `(time [B, T], grid) -> [B, T, F, *grid]` with the `names` of its F
channels, all of order one: times are seconds since 1970-01-01 UTC, int64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.weather.frames import Grid
from sciml.weather.sun import DAY, insolation


@runtime_checkable
class Forcing(Protocol):
    """Channels that depend on time and place alone."""

    names: tuple[str, ...]

    def __call__(
        self, time: Int[Tensor, "batch step"], grid: Grid
    ) -> Float[Tensor, "batch step channel *grid"]: ...


@final
@dataclass(frozen=True)
class TopOfAtmosphere:
    """Solar radiation that arrives, in solar constants.

    Args:
        window: seconds before each time over which the mean is taken, as in accumulated archives.
    """

    window: float = 0.0
    names: tuple[str, ...] = field(default=("toa_insolation",), init=False)

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        lat, lon = _cells(grid)
        return _shaped([insolation(time, lat, lon, self.window)], grid)


@final
@dataclass(frozen=True)
class LocalHour:
    """Sine and cosine of the mean solar time of day."""

    names: tuple[str, ...] = field(default=("sin_local_hour", "cos_local_hour"), init=False)

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        _, lon = _cells(grid)
        angle = 2 * torch.pi * (time % DAY).double()[..., None] / DAY + torch.deg2rad(lon)
        return _shaped([angle.sin(), angle.cos()], grid)


@final
@dataclass(frozen=True)
class DayOfYear:
    """Sine and cosine of the part of the year that has passed."""

    names: tuple[str, ...] = field(default=("sin_day_of_year", "cos_day_of_year"), init=False)

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        lat, _ = _cells(grid)
        angle = 2 * torch.pi * part_of_year(time)[..., None].expand(*time.shape, len(lat))
        return _shaped([angle.sin(), angle.cos()], grid)


@final
@dataclass(frozen=True)
class Place:
    """Sines and cosines of latitude and longitude.

    Args:
        of: the ones to have, in this order.
    """

    of: Sequence[str] = ("sin_lat", "cos_lat", "sin_lon", "cos_lon")

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", tuple(self.of))
        known = ("sin_lat", "cos_lat", "sin_lon", "cos_lon")
        if not self.of or not set(self.of) <= set(known):
            raise UserError(f"forcing: expected names among {', '.join(known)}, got {self.of}")

    @property
    def names(self) -> tuple[str, ...]:
        """In the order asked for."""
        return self.of

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        lat, lon = (torch.deg2rad(x) for x in _cells(grid))
        known: dict[str, Callable[[], Tensor]] = {
            "sin_lat": lat.sin, "cos_lat": lat.cos, "sin_lon": lon.sin, "cos_lon": lon.cos,
        }  # fmt: skip
        return _shaped([known[name]().expand(*time.shape, -1) for name in self.of], grid)


@final
@dataclass(frozen=True, eq=False)
class Unchanging:
    """Fields that are the same at all times: orography, land and sea.

    Args:
        names: of the fields.
        fields: `[F, *grid]`; brought to mean 0 and st.dev. 1 over the grid.

    Raises:
        UserError: not one field a name, or not finite.
    """

    names: Sequence[str]
    fields: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        fields = np.asarray(self.fields, dtype=np.float64)
        if len(fields) != len(self.names) or not np.isfinite(fields).all():
            raise UserError(
                f"forcing: expected {len(self.names)} fields of finite values, one for each of "
                f"{', '.join(self.names)}, got {len(fields)} with "
                f"{np.count_nonzero(~np.isfinite(fields))} that are not; fill or leave them out"
            )
        over = tuple(range(1, fields.ndim))
        spread = fields.std(axis=over, keepdims=True)
        scaled = (fields - fields.mean(axis=over, keepdims=True)) / np.where(spread > 0, spread, 1)
        object.__setattr__(self, "fields", scaled)

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        if self.fields.shape[1:] != tuple(grid.shape):
            raise UserError(
                f"forcing: expected fields of shape {list(grid.shape)} as the grid, "
                f"got {list(self.fields.shape[1:])}; interpolate them to the grid"
            )
        fields = torch.from_numpy(self.fields).float()
        return fields.expand(*time.shape, *fields.shape)


@final
@dataclass(frozen=True, eq=False)
class Together:
    """Several forcings, one after another.

    Args:
        parts: in the order of their channels.
    """

    parts: Sequence[Forcing]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parts."""
        return tuple(name for part in self.parts for name in part.names)

    def __call__(self, time: Int[Tensor, "b t"], grid: Grid) -> Float[Tensor, "b t f *grid"]:
        return torch.cat([part(time, grid) for part in self.parts], 2)


def part_of_year(time: Int[Tensor, "*t"]) -> Float[Tensor, "*t"]:
    """Seconds since the first of January over the length of that year; Gregorian calendar."""
    year = _year(time // DAY)
    begin, end = _first_day(year), _first_day(year + 1)
    return (time - begin * DAY).double() / ((end - begin) * DAY).double()


def _first_day(year: Tensor) -> Tensor:
    """Days from 1970-01-01 to the first of January of `year`."""
    past = year - 1
    return 365 * (year - 1970) + (past // 4 - past // 100 + past // 400) - 477


def _year(day: Tensor) -> Tensor:
    """The year that holds a day counted from 1970-01-01: a guess, at most one off, put right."""
    guess = 1970 + torch.div(day * 400, 146_097, rounding_mode="floor")
    guess = guess - (day < _first_day(guess)).long()
    return guess + (day >= _first_day(guess + 1)).long()


def _cells(grid: Grid) -> tuple[Tensor, Tensor]:
    lat, lon = grid.cells
    return torch.as_tensor(lat, dtype=torch.float64), torch.as_tensor(lon, dtype=torch.float64)


def _shaped(channels: list[Tensor], grid: Grid) -> Float[Tensor, "b t f *grid"]:
    """Float32 `[b, t, f, *grid]` from one `[b, t, cell]` a channel."""
    return torch.stack(channels, 2).unflatten(3, tuple(grid.shape)).float()

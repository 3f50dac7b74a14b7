"""Which field is which number of a state: the only map between names and channel indices.

A state `[batch, channel, *grid]` is in the units of its channels. Files, statistics, losses and
metrics all take their order from here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from sciml.contracts import UserError
from sciml.globe import variables

#: Attributes of the vertical axes that files of ours may have; others are written bare.
AXES: dict[str, dict[str, str]] = {
    "level": {"units": "hPa", "standard_name": "air_pressure", "positive": "down"},
    "depth": {"units": "m", "standard_name": "depth", "positive": "down"},
    "height": {"units": "m", "standard_name": "height", "positive": "up"},
    "hybrid": {"standard_name": "atmosphere_hybrid_sigma_pressure_coordinate", "positive": "down"},
}


@dataclass(frozen=True)
class Channel:
    """One field of a state.

    Args:
        name: short and unique: `z500`, `t2m`, `thetao_100`.
        variable: what it is, WeatherBench2's name where there is one: `geopotential`.
        level: where on the vertical axis, in the axis' units; None for a field without one.
        units: of its values.
        standard_name, long_name: for files.
        axis: name of the vertical axis: `level` (hPa), `depth` (m), `height` (m), `hybrid`, …
    """

    name: str
    variable: str
    level: float | None = None
    units: str = "1"
    standard_name: str = ""
    long_name: str = ""
    axis: str = "level"

    @classmethod
    def named(cls, name: str, axis: str = "level") -> "Channel":
        """A channel of a known quantity: `z500` is geopotential at 500 hPa, `t2m` has no level.

        Raises:
            UserError: the table of `globe.variables` has no such quantity.
        """
        known, level = variables.find(name), None
        parts = re.fullmatch(r"(.*?)_?(\d+(?:\.\d+)?)", name)
        if known is None and parts:
            known, level = variables.find(parts[1]), number(float(parts[2]))
        if known is None:
            shorts = [v.short for v in variables.VARIABLES]
            raise UserError(
                f"channels: expected a known quantity with its level, such as z500 or t2m, "
                f"got {name!r}; {nearest(name, shorts)}, or give variable= and units="
            )
        long_name = known.name.replace("_", " ")
        return cls(name, known.name, level, known.units, known.standard_name, long_name, axis)

    @property
    def at(self) -> str:
        """`geopotential at level 500`, for messages."""
        return (
            self.variable
            if self.level is None
            else f"{self.variable} at {self.axis} {self.level:g}"
        )


@dataclass(frozen=True)
class Channels(Sequence[Channel]):
    """Ordered channels with unique names.

    Raises:
        UserError: none at all, a name or a field twice, one variable with and without levels.
    """

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels:
            raise UserError("channels: expected at least one, got none")
        for what, keys in (("name", self.names), ("field", [c.at for c in self.channels])):
            twice = [key for n, key in enumerate(keys) if key in keys[:n]]
            if twice:
                raise UserError(f"channels: expected every {what} once, got {twice[0]!r} twice")
        for channel in self.channels:
            kinds = {(c.level is None, c.axis, c.units) for c in self.of(channel.variable)}
            if len(kinds) > 1:
                raise UserError(
                    f"channels: expected one vertical axis and one unit for all levels of "
                    f"{channel.variable!r}, got {len(kinds)} kinds"
                )

    @classmethod
    def named(cls, names: Iterable[str | Mapping[str, Any]], axis: str = "level") -> "Channels":
        """From names of known quantities, and mappings of the arguments of `Channel` for others."""
        return cls(
            tuple(Channel.named(n, axis) if isinstance(n, str) else Channel(**n) for n in names)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(channel.name for channel in self.channels)

    def index(self, name: str) -> int:  # type: ignore[override]
        """Number of a channel.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.names:
            raise UserError(f"channels: expected one of the state's, got {name!r}; "
                            + nearest(name, self.names))  # fmt: skip
        return self.names.index(name)

    def __len__(self) -> int:
        return len(self.channels)

    def __getitem__(self, number: int) -> Channel:  # type: ignore[override]
        return self.channels[number]

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.channels)

    def chosen(self, names: Iterable[str]) -> "Channels":
        """Some of them, in the given order."""
        return Channels(tuple(self.channels[self.index(name)] for name in names))

    @property
    def variables(self) -> tuple[str, ...]:
        """Their variables, in order of first appearance."""
        return tuple(dict.fromkeys(channel.variable for channel in self.channels))

    def of(self, variable: str) -> tuple[Channel, ...]:
        """The channels of a variable, in order."""
        return tuple(c for c in self.channels if c.variable == variable)

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Channels (u, v) that are the components of one vector, level by level.

        By CF standard name (`eastward_…`, `northward_…`) of variables that are named alike
        (`10m_u_component_of_wind`, `10m_v_component_of_wind`).
        """
        norths = {(_other(c), c.axis, c.level): n for n, c in enumerate(self.channels)}
        return tuple(
            (n, norths[key])
            for n, c in enumerate(self.channels)
            if "eastward" in c.standard_name and (key := (c.variable, c.axis, c.level)) in norths
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, for files."""
        return [asdict(channel) for channel in self.channels]

    @classmethod
    def from_dict(cls, channels: Iterable[Mapping[str, Any]]) -> "Channels":
        """The way back."""
        return cls(tuple(Channel(**channel) for channel in channels))


def _other(channel: Channel) -> str:
    """The eastward variable that belongs to a northward one; nothing for any other."""
    if "northward" not in channel.standard_name:
        return ""
    if "northward" in channel.variable:
        return channel.variable.replace("northward", "eastward")
    return re.sub(r"(^|_)v", r"\1u", channel.variable, count=1)


def number(level: float) -> float | int:
    """A whole number as such, so that files say 500 and not 500.0."""
    return int(level) if float(level).is_integer() else float(level)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ends a message: the name that was probably meant, or all there are."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)

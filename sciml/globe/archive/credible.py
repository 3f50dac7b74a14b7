"""Whether values are credible in the units that a file declares, or does not declare."""

from typing import Any

import numpy as np

from sciml.contracts import UserError
from sciml.globe import variables
from sciml.globe.archive.described import Described
from sciml.globe.archive.units import GRAVITY, conversion
from sciml.globe.channels import Channel

#: Canonical unit → what files are in, whatever they declare.
_MISTAKEN = {
    "Pa": ("Pa", "hPa", "kPa"),
    "K": ("K", "degC"),
    "degC": ("degC", "K"),
    "kg kg-1": ("kg kg-1", "g kg-1"),
    "1": ("1", "percent"),
    "m2 s-2": ("m2 s-2", "m"),
    "m": ("m", "mm", "cm"),
    "m s-1": ("m s-1", "cm s-1", "km h-1"),
    "1e-3": ("1e-3", "1"),
}


def check(
    channel: Channel,
    values: np.ndarray,
    described: Described,
    where: str,
    scale: tuple[float, float] = (1.0, 0.0),
) -> None:
    """Refuses values outside the range of their quantity, with the units they may be in.

    Args:
        values: of one time, in what should be the channel's units.
        scale: (factor, offset) that brought them there from the file's numbers.

    Raises:
        UserError: not credible.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    bounds = _bounds(channel, described)
    if bounds is None or not finite.size or _credible(finite, bounds):
        return
    stored = (finite - scale[1]) / scale[0]
    advice = (
        f"; set described.units={{{channel.variable}: …}}, or described.ranges= if they are right"
    )
    for units in _MISTAKEN.get(channel.units, ()):
        factor, offset = conversion(units, channel.units, channel.variable == "geopotential")
        if _credible(stored * factor + offset, bounds):
            advice = (
                f", which looks like {units}: set described.units={{{channel.variable}: {units}}}"
            )
            break
    raise UserError(
        f"{where}: channel {channel.name!r}: expected values within {bounds[0]:g} … "
        f"{bounds[1]:g} {channel.units}, got {finite.min():.6g} … {finite.max():.6g}{advice}"
    )


def _bounds(channel: Channel, described: Described) -> tuple[float, float] | None:
    """Of a quantity at a level, or as the user says; None where nothing is known."""
    said: Any = described.of("ranges", channel.name, channel.variable)
    if said is not None:
        return float(said[0]), float(said[1])
    known = variables.find(channel.variable)
    if known is None or known.range is None or known.units != channel.units:
        return None
    if channel.variable == "geopotential" and channel.axis == "level" and channel.level:
        height = standard_height(channel.level)
        return GRAVITY * (0.8 * height - 700), GRAVITY * (1.6 * height + 700)
    return known.range


def standard_height(pressure: float) -> float:
    """Height, m, of a pressure, hPa, in the standard atmosphere's lowest layer, extended upward.

    Source: U.S. Standard Atmosphere 1976: 44330.8 (1 - (p/1013.25)^0.190263).
    """
    return 44330.8 * (1 - (pressure / 1013.25) ** 0.190263)


def _credible(values: np.ndarray, bounds: tuple[float, float]) -> bool:
    return bool(bounds[0] <= values.min() and values.max() <= bounds[1])

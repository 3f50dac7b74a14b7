"""Whether values are credible in the units that a file declares, or does not declare."""

import numpy as np

from sciml.contracts import UserError
from sciml.globe import variables
from sciml.globe.archive.described import Described
from sciml.globe.archive.units import GRAVITY, conversion
from sciml.globe.channels import Channel

#: What files of each canonical unit are most often in, when it is not that.
_MISTAKEN = {
    "Pa": ("hPa", "kPa"),
    "K": ("degC",),
    "degC": ("K",),
    "kg kg-1": ("g kg-1",),
    "1": ("percent",),
    "m2 s-2": ("m",),
    "m": ("mm", "cm"),
    "m s-1": ("cm s-1", "km h-1"),
    "1e-3": ("1",),
}


def check(channel: Channel, values: np.ndarray, described: Described, where: str) -> None:
    """Refuses values outside the range of their quantity, with the units they may be in.

    Args:
        values: of one time, in what should be the channel's units.

    Raises:
        UserError: not credible.
    """
    finite = values[np.isfinite(values)]
    known = variables.find(channel.variable)
    said = described.of("ranges", channel.name, channel.variable)
    given = said if said is not None else (known.range if known else None)
    if (
        given is None
        or not finite.size
        or (known and said is None and known.units != channel.units)
    ):
        return
    low, high = (float(bound) for bound in given)  # type: ignore[union-attr]
    least, most = float(finite.min()), float(finite.max())
    if low <= least and most <= high and not _metres(channel, float(finite.mean()), said):
        return
    advice = _suggestion(channel, least, most, low, high)
    raise UserError(
        f"{where}: channel {channel.name!r}: expected values within {low:g} … {high:g} "
        f"{channel.units}, got {least:.6g} … {most:.6g}{advice}"
    )


def _suggestion(channel: Channel, least: float, most: float, low: float, high: float) -> str:
    """Which units the values would be credible in."""
    for units in _MISTAKEN.get(channel.units, ()):
        factor, offset = conversion(units, channel.units, channel.variable == "geopotential")
        if low <= least * factor + offset and most * factor + offset <= high:
            return f", which looks like {units}: set units={{{channel.variable}: {units}}}"
    return f"; set units={{{channel.variable}: …}}, or ranges= if they are right"


def _metres(channel: Channel, mean: float, said: object) -> bool:
    """Whether geopotential at a pressure level is rather its height: off by the factor g.

    Measured against the barometric height of the standard atmosphere, between 700 and 10 hPa.
    """
    if said is not None or channel.variable != "geopotential" or channel.axis != "level":
        return False
    if channel.level is None or not 10 <= channel.level <= 700:
        return False
    height = 44330.8 * (1 - (channel.level / 1013.25) ** 0.190263)
    return 0.5 < mean / height < 2 < GRAVITY / 2

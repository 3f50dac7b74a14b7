"""Which variable of a file is which channel, at which of its levels, and in which units."""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import numpy as np
import xarray

from sciml.contracts import UserError
from sciml.globe import variables
from sciml.globe.archive.coordinates import NAMES, dimension, horizontal_dims
from sciml.globe.archive.described import Described
from sciml.globe.archive.part import Located
from sciml.globe.archive.units import conversion
from sciml.globe.channels import AXES, Channel, Channels, nearest, number

#: Levels that differ relatively by less are the same.
SAME = 1e-3


def locate(
    data: xarray.Dataset, channels: Channels, described: Described, path: str
) -> tuple[Located, ...]:
    """Where the channels are that a file has; those that it lacks are left out.

    Raises:
        UserError: a level that the file's axis lacks, units of another quantity, an extra axis.
    """
    found: list[Located] = []
    fields = {str(n): dims for n in data.data_vars if (dims := horizontal_dims(data, str(n)))}
    named = [(name_in(data, fields, channel, described), n) for n, channel in enumerate(channels)]
    present = sorted((name, n) for name, n in named if name is not None)
    for name, group in groupby(present, key=lambda entry: entry[0]):
        numbers = [n for _, n in group]
        found.extend(_located(data, name, numbers, channels, described, path))
    return tuple(found)


def name_in(
    data: xarray.Dataset, fields: Collection[str], channel: Channel, described: Described
) -> str | None:
    """The name among a file's `fields` under which it has a channel.

    What the user says comes first; then long name, short name and aliases; the channel's own name;
    last the CF standard name, where one variable alone has it. It is on levels if the channel is.
    """
    said = described.of("names", channel.name, channel.variable)
    if said is not None:
        return str(said) if said in data.variables else None
    for name in names_of(channel):
        if name in fields and _fits(data, name, channel, described):
            return name
    if channel.name in fields:
        return channel.name
    standard = [
        name
        for name in fields
        if channel.standard_name
        and data.variables[name].attrs.get("standard_name") == channel.standard_name
        and _fits(data, name, channel, described)
    ]
    return standard[0] if len(standard) == 1 else None


def names_of(channel: Channel) -> tuple[str, ...]:
    """All names that a file may have for a channel's variable."""
    known = variables.find(channel.variable)
    return (channel.variable,) if known is None else known.names


def _fits(data: xarray.Dataset, name: str, channel: Channel, described: Described) -> bool:
    """Whether a variable is on levels if the channel is, or at the channel's own."""
    vertical = _vertical(data, name, channel)
    if channel.level is None:
        return vertical is None or data.sizes[vertical] == 1
    if vertical is not None:
        return True
    level = described.of("levels", channel.name, channel.variable)
    level = _single(data, name) if level is None else level
    return level is not None and bool(np.isclose(float(level), channel.level, rtol=SAME))


def _vertical(data: xarray.Dataset, name: str, channel: Channel) -> str | None:
    """The vertical axis of a variable: the channel's own, or one that is known as such."""
    own = channel.axis in data.variables[name].dims
    return channel.axis if own else dimension(data, name, "vertical")


def _single(data: xarray.Dataset, name: str) -> float | None:
    """The level of a field whose level is a coordinate without a dimension."""
    scalars = [n for n in NAMES["vertical"] if n in data.variables and data[n].ndim == 0]
    return float(data[scalars[0]]) if scalars else None


def _located(
    data: xarray.Dataset,
    name: str,
    numbers: Sequence[int],
    channels: Channels,
    described: Described,
    path: str,
) -> Iterator[Located]:
    """By conversion of units, which may be said differently for channels of one variable."""
    where = f"{path}: {name!r}"
    time, vertical = dimension(data, name, "time"), _vertical(data, name, channels[numbers[0]])
    level = require_horizontal(data, name, f"{path}: ")
    extra = {str(d) for d in data[name].dims} - {time, vertical, *level}
    if extra:
        axis = min(extra)
        raise UserError(
            f"{where}: expected time, level, latitude and longitude, got an axis {axis!r} of "
            f"{data.sizes[axis]} too; choose one entry by select={{{axis}: 0}}"
        )
    indices = _levels(data, vertical, [channels[n] for n in numbers], described, where)
    scales = [scaling(data, name, channels[n], described, where) for n in numbers]
    for scale in dict.fromkeys(scales):
        alike = [i for i, s in enumerate(scales) if s == scale]
        yield Located(
            name,
            tuple(numbers[i] for i in alike),
            tuple(indices[i] for i in alike),
            (time, vertical, *level),
            *scale,
        )


def require_horizontal(data: xarray.Dataset, name: str, where: str) -> tuple[str, ...]:
    """The horizontal axes of a variable.

    Raises:
        UserError: it has none.
    """
    found = horizontal_dims(data, name)
    if found is None:
        dims = ", ".join(map(str, data.variables[name].dims))
        raise UserError(
            f"{where}{name!r}: expected axes of latitude and longitude, got {dims}; regrid a "
            "curvilinear grid, rename other axes to latitude and longitude"
        )
    return found


def _levels(
    data: xarray.Dataset,
    vertical: str | None,
    channels: list[Channel],
    described: Described,
    where: str,
) -> list[int]:
    """Indices of the channels on the vertical axis; 0 where there is none."""
    if vertical is None or channels[0].level is None:
        return [0] * len(channels)
    if vertical not in data.variables:
        raise UserError(f"{where}: expected values of the axis {vertical!r}, got none")
    values = axis_values(data, vertical, channels[0], described, where)
    wanted = [np.nan if channel.level is None else float(channel.level) for channel in channels]
    near = [int(np.argmin(abs(values - level))) for level in wanted]
    found = [np.isclose(values[n], w, rtol=SAME) for n, w in zip(near, wanted, strict=True)]
    absent = [c.name for c, there in zip(channels, found, strict=True) if not there]
    if absent:
        listed = ", ".join(f"{number(round(float(v), 3))}" for v in values[:40])
        raise UserError(
            f"{where} has {len(values)} levels on the axis {vertical!r} ({listed}); expected "
            f"{len(channels)}, of which {', '.join(absent)} are not among them; regrid, or leave "
            "these channels out"
        )
    return near


def axis_values(
    data: xarray.Dataset, vertical: str, channel: Channel, described: Described, where: str
) -> np.ndarray:
    """Values of a vertical axis in the units of the channel's axis."""
    values = np.asarray(data[vertical].values, dtype=np.float64)
    given = described.level_units or str(data[vertical].attrs.get("units", ""))
    wanted = AXES.get(channel.axis, {}).get("units", "")
    if given and wanted:
        try:
            values = values * conversion(given, wanted)[0]
        except UserError as error:
            raise UserError(f"{where}: axis {vertical!r}: {error}; set level_units=") from error
    if channel.axis == "depth" and values.max() <= 0:
        values = -values
    if channel.axis == "level" and values.max() > 1100:
        raise UserError(
            f"{where}: expected pressures up to 1100 hPa on the axis {vertical!r}, got up to "
            f"{values.max():g}; set level_units=Pa if they are that"
        )
    return values


def scaling(
    data: xarray.Dataset, name: str, channel: Channel, described: Described, where: str
) -> tuple[float, float]:
    """(factor, offset) from the file's units to the channel's; (1, 0) where it declares none."""
    said = described.of("units", channel.name, channel.variable, name)
    given = data[name].attrs.get("units") if said is None else said
    if given is None:
        return 1.0, 0.0
    try:
        return conversion(str(given), channel.units, channel.variable.startswith("geopotential"))
    except UserError as error:
        raise UserError(
            f"{where}: channel {channel.name!r}: {error}; correct it by "
            f"described.units={{{name}: …}}"
        ) from error


def require(
    located: Sequence[tuple[Located, ...]], channels: Channels, opened: Sequence[xarray.Dataset]
) -> None:
    """Refuses channels that no file has, with what comes nearest."""
    found = {n for entries in located for entry in entries for n in entry.channels}
    absent = [channel for n, channel in enumerate(channels) if n not in found]
    if not absent:
        return
    channel = absent[0]
    held = sorted({str(name) for data in opened for name in data.data_vars})
    for data in opened:
        for name in {channel.name, *names_of(channel)} & set(map(str, data.data_vars)):
            require_horizontal(data, name, "archive: ")
    unfitting = [name for name in held if name in names_of(channel)]
    if unfitting and channel.level is not None:
        raise UserError(
            f"archive: channel {channel.name!r}: expected {unfitting[0]!r} on a vertical axis, got "
            f"none; if it is at {channel.axis} {channel.level:g}, set "
            f"described.levels={{{channel.variable}: {channel.level:g}}}"
        )
    if unfitting:
        raise UserError(
            f"archive: channel {channel.name!r}: expected {unfitting[0]!r} without a vertical "
            "axis, got one; name a channel with a level"
        )
    raise UserError(
        f"archive: expected channel {channel.name!r} ({channel.at}), found no such variable; "
        f"{nearest(channel.variable, held)}; a renamed one is given by "
        f"described.names={{{channel.variable}: …}}"
    )

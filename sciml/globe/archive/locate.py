"""Which variable of a file is which channel, at which of its levels, and in which units."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import xarray

from sciml.contracts import UserError
from sciml.globe import variables
from sciml.globe.archive.coordinates import NAMES, dimension
from sciml.globe.archive.described import Described
from sciml.globe.archive.part import Located
from sciml.globe.archive.units import conversion
from sciml.globe.channels import AXES, Channel, Channels, nearest, number

#: Levels that differ by less are the same: files hold float32.
SAME = 1e-4


def locate(
    data: xarray.Dataset, channels: Channels, described: Described, path: str
) -> tuple[Located, ...]:
    """Where the channels are that a file has; those that it lacks are left out.

    Raises:
        UserError: a level that the file's axis lacks, units of another quantity, an extra axis.
    """
    found = []
    numbered = [(name_in(data, c, described), n, c) for n, c in enumerate(channels)]
    present = sorted((entry for entry in numbered if entry[0] is not None), key=lambda e: str(e[0]))
    for name, group in groupby(present, key=lambda entry: entry[0]):
        entries = [(n, channel) for _, n, channel in group]
        found.extend(_located(data, str(name), entries, described, path))
    return tuple(found)


def name_in(data: xarray.Dataset, channel: Channel, described: Described) -> str | None:
    """The name under which a file has a channel's variable.

    What the user says comes first; then the channel's own name, where it has no vertical axis
    there; then long and short names and aliases; last the CF standard name, where one variable
    alone has it and is on levels like the channel or not.
    """
    said = described.of("names", channel.name, channel.variable)
    if said is not None:
        return str(said) if said in data.data_vars else None
    fields = [str(name) for name in data.data_vars if dimension(data, str(name), "lat")]
    fitting = [name for name in fields if _levelled(data, name) is (channel.level is not None)]
    known = variables.find(channel.variable)
    names = (channel.variable,) if known is None else known.names
    for name in (*names, channel.name):
        if name in fitting:
            return name
    described_levels = described.of("levels", channel.name, channel.variable) is not None
    loose = [n for n in fields if n in names and (described_levels or _single(data, n) is not None)]
    standard = [n for n in fitting if data[n].attrs.get("standard_name") == channel.standard_name]
    if loose:
        return loose[0]
    if channel.name in fields and channel.level is not None:
        return channel.name
    return standard[0] if channel.standard_name and len(standard) == 1 else None


def _levelled(data: xarray.Dataset, name: str) -> bool:
    return dimension(data, name, "vertical") is not None


def _single(data: xarray.Dataset, name: str) -> float | None:
    """The level of a field whose level is a coordinate without a dimension."""
    scalars = [n for n in NAMES["vertical"] if n in data[name].coords and data[n].ndim == 0]
    return float(data[scalars[0]]) if scalars else None


def _located(
    data: xarray.Dataset,
    name: str,
    entries: list[tuple[int, Channel]],
    described: Described,
    path: str,
) -> Iterator[Located]:
    where = f"{path}: {name!r}"
    time, vertical, lat, lon = (
        dimension(data, name, w) for w in ("time", "vertical", "lat", "lon")
    )
    if lat is None or lon is None:
        raise UserError(f"{where}: expected axes of latitude and longitude, got {data[name].dims}")
    extra = {str(d) for d in data[name].dims} - {time, vertical, lat, lon}
    if extra:
        axis = sorted(extra)[0]
        raise UserError(
            f"{where}: expected time, level, latitude and longitude, got an axis {axis!r} of "
            f"{data.sizes[axis]} too; choose one entry by select={{{axis}: 0}}"
        )
    levels = _levels(data, vertical, [c for _, c in entries], described, where)
    for scale, group in groupby(
        zip(entries, levels, strict=True),
        key=lambda pair: scaling(data, name, pair[0][1], described, where),
    ):
        members = [(entry[0], level) for entry, level in group]
        numbers, indices = zip(*members, strict=True)
        yield Located(name, numbers, indices, (time, vertical, lat, lon), *scale)


def _levels(
    data: xarray.Dataset,
    vertical: str | None,
    channels: list[Channel],
    described: Described,
    where: str,
) -> list[int]:
    """Indices of the channels on the vertical axis; 0 where there is none."""
    if vertical is None:
        return [0] * len(channels)
    if vertical not in data.variables:
        raise UserError(f"{where}: expected values of the axis {vertical!r}, got none")
    values = axis_values(data, vertical, channels[0], described, where)
    wanted = [float(c.level) if c.level is not None else np.nan for c in channels]
    near = [int(np.argmin(abs(values - level))) for level in wanted]
    absent = [
        c.name
        for c, level, n in zip(channels, wanted, near, strict=True)
        if not np.isclose(values[n], level, rtol=SAME, atol=SAME)
    ]
    if absent:
        have = f"{len(values)} level" + "s" * (len(values) > 1)
        listed = ", ".join(f"{number(round(float(v), 4))}" for v in values[:40])
        raise UserError(
            f"{where} has {have} ({listed}) and lacks {len(absent)} of {len(channels)} asked for: "
            f"{', '.join(absent)}; regrid, or leave these channels out"
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
    if channel.axis == "level" and np.nanmax(values) > 1100:
        raise UserError(
            f"{where}: expected pressures up to 1100 hPa on the axis {vertical!r}, got up to "
            f"{np.nanmax(values):g}; set level_units=Pa if they are that"
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
            f"{where}: channel {channel.name!r}: {error}; correct it by units={{{name}: …}}"
        ) from error


def require(parts: Iterable[tuple[Located, ...]], channels: Channels, held: Iterable[str]) -> None:
    """Refuses channels that no file has, with the nearest name of what they have."""
    found = {n for located in parts for entry in located for n in entry.channels}
    absent = [c for n, c in enumerate(channels) if n not in found]
    if not absent:
        return
    channel, held = absent[0], sorted(set(held))
    raise UserError(
        f"archive: expected channel {channel.name!r} ({channel.at}), found no such variable; "
        f"{nearest(channel.variable, held)}; a renamed one is given by "
        f"names={{{channel.variable}: …}}"
    )

"""From files to an archive: everything that can be wrong with them is found here, at the door."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from sciml.contracts import UserError
from sciml.globe.archive import credible, locate, opening
from sciml.globe.archive import times as clock
from sciml.globe.archive.archive import Archive
from sciml.globe.archive.coordinates import Horizontal, horizontal
from sciml.globe.archive.described import Described
from sciml.globe.archive.fingerprint import fingerprint
from sciml.globe.archive.part import Located, Part
from sciml.globe.channels import Channels

#: Degrees by which grids of two files of one archive may differ.
SAME_GRID = 1e-3


def open_archive(
    path: opening.Source,
    channels: Channels | Sequence[str | Mapping[str, Any]],
    *,
    described: Described | Mapping[str, Any] | None = None,
    period: Sequence[str] | None = None,
    gaps: str = "refused",
    missing: Collection[str] = (),
) -> Archive:
    """Fields of NetCDF files or Zarr stores in canonical form, read when they are asked for.

    WeatherBench2's layout, ARCO-ERA5's, CDS', ERA-Interim's and whatever else follows CF or
    `described`; axes in any order.

    Args:
        path: a file, a store, a pattern such as `era5_*.nc`, or a list: files may have different
            variables or different times.
        channels: which fields, in which order; names such as z500 and t2m, or `Channels`.
        described: what the files do not say of themselves.
        period: first and last date, both included; a year or month stands for all of it.
        gaps: "refused", or "allowed" in the time axis.
        missing: channels that are NaN at points which are the same at all times, as on land.

    Raises:
        UserError: a missing or renamed channel, levels or units that differ, times that are not
            even, an uneven grid, a broken file.
    """
    wanted = channels if isinstance(channels, Channels) else Channels.named(channels)
    said = described if isinstance(described, Described) else Described(**(described or {}))
    for name in missing:
        wanted.index(name)
    opened = [(name, _opened(name, said)) for name in opening.paths(path)]
    held = [str(v) for _, data in opened for v in data.data_vars]
    located = [locate.locate(data, wanted, said, name) for name, data in opened]
    locate.require(located, wanted, held)
    pairs = zip(opened, located, strict=True)
    parts = [_part(name, data, entries, said) for (name, data), entries in pairs if entries]
    used = sorted(parts, key=lambda part: (part.times[:1].tolist(), part.path))
    grid = _one_grid(used)
    times = _times(used, wanted)
    step = clock.spacing(times)
    times = clock.within(times, period)
    clock.check(times, step, gaps, str(path))
    for part in used:
        for entry in part.located:
            values = part.values(entry)
            for at, number in enumerate(entry.channels):
                credible.check(wanted[number], values[0, at], said, part.path)
    return Archive(wanted, times, step, grid, tuple(used), frozenset(missing))


def _opened(path: str, described: Described) -> xarray.Dataset:
    data = opening.dataset(path)
    chosen = {k: v for k, v in described.select.items() if k in data.dims}
    single = [
        dim
        for dim in ("number", "realization", "expver", "member")
        if dim in data.dims and data.sizes[dim] == 1
    ]
    return data.isel(chosen | dict.fromkeys(single, 0))


def _part(
    path: str, data: xarray.Dataset, located: tuple[Located, ...], described: Described
) -> Part:
    axes = {entry.dims[0] for entry in located}
    if None in axes:
        bare = next(entry.name for entry in located if entry.dims[0] is None)
        raise UserError(
            f"{path}: expected a time axis of {bare!r}, got none; open fields that do not change "
            "by open_static"
        )
    if len(axes) > 1:
        raise UserError(f"{path}: expected one time axis, got {sorted(map(str, axes))}")
    with opening.reading(path):
        times = clock.decoded(data, str(axes.pop()), described.stamps, path)
    grids = {entry.dims[2:] for entry in located}
    if len(grids) > 1:
        raise UserError(f"{path}: expected one grid, got axes {sorted(map(str, grids))}")
    return Part(
        path, data, times, _horizontal(data, *grids.pop(), path), located, fingerprint(path)
    )


def _horizontal(data: xarray.Dataset, lat: str, lon: str, path: str) -> Horizontal:
    for dim in (lat, lon):
        if dim not in data.variables:
            raise UserError(f"{path}: expected values of the axis {dim!r}, got none")
    with opening.reading(path):
        values = [np.asarray(data[dim].values, dtype=np.float64) for dim in (lat, lon)]
    return horizontal(values[0], values[1], path)


def _one_grid(parts: list[Part]) -> Any:
    first = parts[0].horizontal.grid
    for part in parts[1:]:
        grid = part.horizontal.grid
        close = grid.shape == first.shape and all(
            np.allclose(getattr(grid, axis), getattr(first, axis), atol=SAME_GRID)
            for axis in ("lat", "lon")
        )
        if not close:
            raise UserError(
                f"{part.path}: expected the grid {first.shape} of {parts[0].path}, got "
                f"{grid.shape}; regrid one of them"
            )
    return first


def _times(parts: list[Part], channels: Channels) -> np.ndarray:
    """The times of all files, which every channel must have."""
    by_channel = {}
    for number, channel in enumerate(channels):
        have = [p.times for p in parts for e in p.located if number in e.channels]
        by_channel[channel.name] = np.concatenate(have)
    first = by_channel[channels.names[0]]
    for name, times in by_channel.items():
        if not np.array_equal(times, first):
            differing = np.setxor1d(times, first)
            at = f", first at {clock.iso(differing[0])}" if len(differing) else ""
            raise UserError(
                f"archive: expected the same times for all channels, got {len(times)} of {name!r} "
                f"and {len(first)} of {channels.names[0]!r}{at}; complete the files"
            )
    return first


def open_static(
    path: opening.Source,
    channels: Channels | Sequence[str | Mapping[str, Any]],
    *,
    described: Described | Mapping[str, Any] | None = None,
) -> np.ndarray:
    """float32 `[C, lat, lon]` of fields that do not change: orography, land mask.

    Of a variable that has a time axis all the same, the first time.

    Raises:
        UserError: as for `open_archive`.
    """
    wanted = channels if isinstance(channels, Channels) else Channels.named(channels)
    said = described if isinstance(described, Described) else Described(**(described or {}))
    opened = [(name, _opened(name, said)) for name in opening.paths(path)]
    parts = []
    for name, data in opened:
        located = locate.locate(data, wanted, said, name)
        for entry in located:
            h = _horizontal(data, entry.dims[2], entry.dims[3], name)
            parts.append(Part(name, data, np.zeros(1, np.int64), h, (entry,), fingerprint(name)))
    locate.require([p.located for p in parts], wanted, [str(v) for _, d in opened for v in d])
    fields = np.empty((len(wanted), *_one_grid(parts).shape), np.float32)
    for part in parts:
        entry = part.located[0]
        fields[list(entry.channels)] = part.values(entry)[0]
    for number, channel in enumerate(wanted):
        credible.check(channel, fields[number], said, str(path))
    return fields

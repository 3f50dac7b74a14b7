"""From files to an archive: everything that can be wrong with them is found here, at the door."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray

from sciml.contracts import UserError
from sciml.globe.archive import credible, locate, opening
from sciml.globe.archive import times as clock
from sciml.globe.archive.archive import ANYWHERE, FIXED, Archive
from sciml.globe.archive.coordinates import Horizontal, horizontal
from sciml.globe.archive.described import Described
from sciml.globe.archive.fingerprint import fingerprint
from sciml.globe.archive.part import Located, Part
from sciml.globe.channels import Channels

#: Degrees by which grids of two files of one archive may differ.
SAME_GRID = 1e-3
#: The time of what does not change.
_ANY = np.zeros(1, np.int64)


def open_archive(
    path: opening.Source,
    channels: Channels | Sequence[str | Mapping[str, Any]],
    *,
    described: Described | Mapping[str, Any] | None = None,
    period: Sequence[str] | None = None,
    gaps: str = "refused",
    missing: Collection[str] | Mapping[str, str] = (),
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
        missing: channels that have no values at some points: `[sst]` at the same ones at all times,
            as on land; `{zos: anywhere}` at others too, which staging then masks at all times.

    Raises:
        UserError: a missing or renamed channel, levels or units that differ, times that are not
            even, an uneven grid, a broken file.
    """
    wanted = channels if isinstance(channels, Channels) else Channels.named(channels)
    said = described if isinstance(described, Described) else Described(**(described or {}))
    masked = _missing(missing, wanted)
    opened = [(name, _opened(name, said)) for name in opening.paths(path)]
    located = [locate.locate(data, wanted, said, name) for name, data in opened]
    locate.require(located, wanted, [data for _, data in opened])
    pairs = zip(opened, located, strict=True)
    parts = [_part(name, data, entries, said) for (name, data), entries in pairs if entries]
    used = sorted(parts, key=lambda part: (part.times[:1].tolist(), part.path))
    grid = _one_grid(used)
    times = _times(used, wanted)
    clock.require_ascending(times, str(path))
    step = clock.spacing(times)
    times = clock.within(times, period)
    clock.require_even(times, step, gaps, str(path))
    _check_ranges(used, wanted, said)
    return Archive(wanted, times, step, grid, tuple(used), masked)


def _missing(missing: Collection[str] | Mapping[str, str], channels: Channels) -> dict[str, str]:
    given = dict(missing) if isinstance(missing, Mapping) else dict.fromkeys(missing, FIXED)
    for name, where in given.items():
        channels.index(name)
        if where not in (FIXED, ANYWHERE):
            raise UserError(f"missing: {name}: expected '{FIXED}' or '{ANYWHERE}', got {where!r}")
    return given


def _check_ranges(parts: list[Part], channels: Channels, described: Described) -> None:
    """One field of every variable, wherever its units are declared differently."""
    seen = set()
    for part in parts:
        for entry in part.located:
            declared = str(part.data[entry.name].attrs.get("units"))
            if (key := (entry.name, entry.factor, declared)) in seen:
                continue
            seen.add(key)
            at = int(np.argmin([channels[n].level or 0 for n in entry.channels]))
            one = replace(entry, channels=(entry.channels[at],), levels=(entry.levels[at],))
            channel, scale = channels[one.channels[0]], (one.factor, one.offset)
            credible.check(channel, part.values(one), described, part.path, scale)


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
    return Part(path, data, times, _horizontal(data, located, path), located, fingerprint(path))


def _horizontal(data: xarray.Dataset, located: tuple[Located, ...], path: str) -> Horizontal:
    grids = {entry.dims[2:] for entry in located}
    if len(grids) > 1:
        raise UserError(f"{path}: expected one grid, got axes {sorted(map(str, grids))}")
    with opening.reading(path):
        return horizontal(data, tuple(map(str, grids.pop())), path)


def _one_grid(parts: list[Part]) -> Any:
    first = parts[0].horizontal.grid
    for part in parts[1:]:
        grid = part.horizontal.grid
        pairs = zip(grid.cells, first.cells, strict=True)
        close = grid.shape == first.shape and all(
            np.allclose(mine, theirs, atol=SAME_GRID) for mine, theirs in pairs
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
    located = [locate.locate(data, wanted, said, name) for name, data in opened]
    locate.require(located, wanted, [data for _, data in opened])
    parts = [
        Part(name, data, _ANY, _horizontal(data, entries, name), entries, fingerprint(name))
        for (name, data), entries in zip(opened, located, strict=True)
        if entries
    ]
    fields = np.empty((1, len(wanted), *_one_grid(parts).shape), np.float32)
    for part in parts:
        part.read(_ANY, fields)
    for channel, field in zip(wanted, fields[0], strict=True):
        credible.check(channel, field, said, str(path))
    return fields[0]

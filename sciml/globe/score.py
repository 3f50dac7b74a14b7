"""Forecasts judged by the truth: every score by channel and lead time, one start at a time.

RMSE and bias in the channel's units, both beside the forecast that nothing changes; anomaly
correlation and activity against the mean of the truth; the power of every total wavenumber. Of an
ensemble all but the last are of its mean, beside CRPS, spread, and spread over error; the power is
that of its members. Areas are WeatherBench 2's (`metrics.definitions.cell_areas`), so that numbers
can be compared; on a grid of cells, its quadrature's.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe import variables
from sciml.globe.archive import Archive, open_archive, open_forecast
from sciml.globe.archive.coordinates import Horizontal, reduced, regular
from sciml.globe.channels import Channel, Channels, number
from sciml.globe.metrics import Ensembles, Errors, Spectra
from sciml.globe.metrics.definitions import cell_areas
from sciml.globe.metrics.forecast import by_lead, lead
from sciml.globe.schema import CELL, LAT, LEAD, LON, NUMBER, TIME

#: States of the truth whose mean is the climatology, at most, evenly over its times.
MEAN_OF = 500


def write(forecast: str | Path, truth: str | Path, folder: Path) -> str:
    """Scores a forecast store and writes `scores.json` and figures; the table that is printed.

    Raises:
        UserError: no forecast, a truth that lacks its channels, its grid or all of its times.
    """
    from sciml.globe.figures import scores as figures

    data = open_forecast(forecast)
    channels = channels_of(data)
    archive = open_archive(truth, channels, gaps="allowed")
    members = data.sizes.get(NUMBER, 1)
    found, starts = scores(data, channels, archive)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    document = {"starts": starts, "members": members, **found}
    atomic.write(folder / "scores.json", json.dumps(document, indent=1) + "\n")
    table = figures.arranged(found)
    units = {channel.name: channel.units for channel in channels}
    drawn = [str(path) for path, _ in figures.draw(table, folder, units)]
    return "\n".join([printed(table, starts, members), *drawn, f"scores: {folder / 'scores.json'}"])


def channels_of(data: xarray.Dataset) -> Channels:
    """The channels of a forecast store, level by level.

    Variables share an axis of levels; one that a variable has no channel for is all NaN there.

    Raises:
        UserError: a variable that is not known by its name.
    """
    found = []
    for name in map(str, data.data_vars):
        if TIME not in data[name].dims or name.endswith("_reference"):
            continue
        known = variables.find(name)
        if known is None:
            raise UserError(f"score: expected known quantities in the forecast, got {name!r}")
        plain = (TIME, NUMBER, LEAD, LON, LAT, CELL)
        axes = [str(d) for d in data[name].dims if d not in plain]
        levels = _levels(data[name], axes[0]) if axes else [None]
        for level in levels:
            short = known.short if level is None else f"{known.short}{level:g}"
            found.append(
                Channel(
                    short, known.name, level, known.units, known.standard_name,
                    known.name.replace("_", " "), axes[0] if axes else "level",
                )
            )  # fmt: skip
    return Channels(tuple(found))


def _levels(variable: xarray.DataArray, axis: str) -> list[float | int]:
    """Those with a value in the first field that was forecast."""
    plain = {name: 0 for name in (TIME, NUMBER, LEAD) if name in variable.dims}
    first = variable.isel(plain)
    held = first.notnull().any([dim for dim in first.dims if dim != axis])
    return [number(float(level)) for level in first[axis].values[held.values]]


def scores(
    data: xarray.Dataset, channels: Channels, archive: Archive
) -> tuple[dict[str, float], int]:
    """All scores by their flat names (`rmse/z500/24h`), and how many starts they are the mean of.

    Starts whose times the truth does not hold are left out. The states of one lead time are held
    at a time, those of all members together.
    """
    leads = (data[LEAD].values / np.timedelta64(1, "s")).astype(np.int64)
    places = _places(data, archive)
    judges = _judges(channels, archive, data.sizes.get(NUMBER, 1))
    whole = _whole(data, leads, archive)
    totals: dict[str, torch.Tensor] = {}
    for start in whole:
        initial = _truth(archive, start)
        for n, step in enumerate(leads):
            one, true = _state(data, channels, places, start, n), _truth(archive, start + int(step))
            for judge in judges:
                members = one[None] if isinstance(judge, Ensembles) else one
                truth = true.expand_as(one) if isinstance(judge, Spectra) else true
                for name, pair in judge.statistics(members, truth, initial).items():
                    key = f"{name}/{lead(1, step / 3600)}"
                    sums = torch.stack([torch.as_tensor(part).double() for part in pair])
                    totals[key] = totals.get(key, 0) + sums
    means = {name: float(total / weight) for name, (total, weight) in totals.items()}
    values = [judge.value for judge in judges]
    found: dict[str, float] = {}
    for step in leads:
        found |= by_lead(means, [1], step / 3600, values)
    return found, len(whole)


def _judges(channels: Channels, archive: Archive, members: int) -> list[Any]:
    """Errors, or an ensemble's scores; and spectra where the grid resolves them."""
    mean, grid = climatology(archive), archive.grid
    area = grid.area if len(grid.shape) == 1 else cell_areas(grid.lat, grid.shape[1])
    errors = Errors if members == 1 else Ensembles
    judges: list[Any] = [errors(area, channels.names, mean)]
    if grid.exact_degree > 4:
        judges.append(Spectra(grid, channels.names, mean=mean.reshape(len(mean), -1).mean(1)))
    return judges


def _whole(data: xarray.Dataset, leads: np.ndarray, archive: Archive) -> list[int]:
    """The starts, seconds since 1970, whose every time the truth holds."""
    starts = data[TIME].values.astype("datetime64[s]").astype(np.int64)
    held = set(archive.times.tolist())
    whole = [int(s) for s in starts if all(int(s + step) in held for step in (0, *leads))]
    if not whole:
        raise UserError(
            f"score: expected the truth at the times of the forecast, got none of its "
            f"{len(starts)} starts whole; the truth has {len(archive.times)} times"
        )
    return whole


def _truth(archive: Archive, time: int) -> torch.Tensor:
    """`[1, C, lat, lon]` at a time that the archive holds."""
    return torch.from_numpy(archive.read([int(np.searchsorted(archive.times, time))]))


def climatology(archive: Archive) -> np.ndarray:
    """The mean `[C, lat, lon]` of states spread evenly over an archive's times."""
    chosen = np.unique(np.linspace(0, len(archive.times) - 1, MEAN_OF).astype(int))
    total = np.zeros(archive.shape[1:])
    for one in chosen:
        total += archive.read([one])[0]
    return total / len(chosen)


def _state(
    data: xarray.Dataset, channels: Channels, places: Horizontal, start: int, step: int
) -> torch.Tensor:
    """float32 `[M, C, *grid]` of one start and lead time; M = 1 where there is no ensemble."""
    at = data.sel({TIME: np.datetime64(start, "s")}).isel({LEAD: step})
    at = at if NUMBER in data.dims else at.expand_dims(NUMBER)
    axes, fields = _axes(data), []
    for channel in channels:
        one = at[channel.variable]
        if channel.level is not None:
            one = one.sel({channel.axis: channel.level})
        fields.append(places.canonical(one.transpose(NUMBER, *axes).values))
    return torch.from_numpy(np.stack(fields, 1).astype(np.float32))


def _axes(data: xarray.Dataset) -> tuple[str, ...]:
    return (CELL,) if CELL in data.dims else (LAT, LON)


def _places(data: xarray.Dataset, archive: Archive) -> Horizontal:
    """Where the forecast's values lie on the truth's grid.

    Raises:
        UserError: another grid.
    """
    canonical = reduced if CELL in data.dims else regular
    found = canonical(data[LAT].values, data[LON].values, "forecast")
    ours, theirs = found.grid, archive.grid
    if ours.shape != theirs.shape or not all(
        np.allclose(a, b, atol=1e-3) for a, b in zip(ours.cells, theirs.cells, strict=True)
    ):
        raise UserError(
            f"score: expected the grid of the forecast, {_size(ours)}, "
            f"got {_size(theirs)} in the truth; regrid one"
        )
    return found


def _size(grid: Any) -> str:
    return " × ".join(map(str, grid.shape)) + (" cells" if len(grid.shape) == 1 else "")


def printed(table: dict[str, dict[str, dict[float, float]]], starts: int, members: int = 1) -> str:
    """RMSE, its ratio to persistence, ACC, and the scores of an ensemble, as aligned text."""
    of_ensembles = ("crps", "spread", "spread_over_error")
    kinds = [k for k in ("rmse", "rmse_over_persistence", "acc", *of_ensembles) if k in table]
    hours = sorted(next(iter(table["rmse"].values())))
    count = f"{starts} forecasts" + (f" of {members} members" if members > 1 else "")
    lines = [count, "score".ljust(30) + "".join(f"{h:>10g} h" for h in hours)]
    for kind in kinds:
        for channel, by_hour in table[kind].items():
            row = "".join(f"{by_hour[hour]:>12.4g}" for hour in hours)
            lines.append(f"{kind}/{channel}".ljust(30) + row)
    return "\n".join(lines)

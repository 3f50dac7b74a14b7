"""A forecast beside what came true: maps at some lead times, and the spectra.

Cells of a reduced grid are shown on the latitudes and longitudes of its longest circle, each with
the nearest value of its own circle; their spectra are taken on the cells.
"""

from pathlib import Path

import numpy as np
import torch
import xarray

from sciml.calculus.sphere import Harmonics, LatLon, ReducedGaussian
from sciml.calculus.sphere.spectrum import power
from sciml.drawing import Drawn
from sciml.drawing.sheet import sheet
from sciml.globe.archive.coordinates import reduced
from sciml.globe.figures import curves, maps
from sciml.globe.schema import CELL, LAND, LAT, LEAD, LON

REFERENCE = "_reference"
#: Channels, and lead times, that are shown.
MOST = 3
#: Power over the largest, from which on a truth counts as resolved: rounding of single precision
#: leaves 1e-13 and less, of a field whose mean is not far above its waves.
RESOLVED = 1e-11


def read(path: Path) -> xarray.Dataset:
    """Forecasts and references, in memory."""
    return xarray.load_dataset(path, decode_timedelta=True)


def draw(data: xarray.Dataset, run: Path) -> Drawn:
    """Maps of the first forecast, spectra of all, of at most three channels."""
    if not {LAT, LON} <= set(data.variables) or not channels(data):
        return []
    drawn = [_draw_maps(on_circles(data), run)]
    grid = grid_of(data)
    if grid.exact_degree > 4:
        drawn += [_draw_spectra(data, grid, list(channels(data))[-1], run)]
    return drawn


def channels(data: xarray.Dataset) -> dict[str, tuple[xarray.DataArray, xarray.DataArray]]:
    """Name → (forecast, truth) `[start, lead, *grid]`: a level in the middle where many are."""
    found = {}
    grid = (CELL,) if CELL in data.dims else (LAT, LON)
    order = ("time", LEAD, *grid)
    for name in map(str, data.data_vars):
        if name.endswith(REFERENCE) or f"{name}{REFERENCE}" not in data:
            continue
        pair = [data[name], data[f"{name}{REFERENCE}"]]
        vertical = [d for d in pair[0].dims if d not in order]
        label = name.replace("_", " ")
        for axis in vertical:
            level = data.sizes[axis] // 2
            label += f" {data[axis].values[level]:g}"
            pair = [one.isel({axis: level}) for one in pair]
        found[label] = (pair[0].transpose(*order), pair[1].transpose(*order))
    return dict(list(found.items())[:MOST])


def grid_of(data: xarray.Dataset) -> LatLon | ReducedGaussian:
    """The grid that a run's result lies on, in its order."""
    if CELL in data.dims:
        return reduced(data[LAT].values, data[LON].values, "result.nc").grid
    return LatLon(data[LAT].values, data[LON].values)


def on_circles(data: xarray.Dataset) -> xarray.Dataset:
    """Cells as latitudes and longitudes, by the nearest on each circle; anything else as it is."""
    if CELL not in data.dims:
        return data
    grid = grid_of(data)
    lon = np.arange(max(grid.lengths)) * 360 / max(grid.lengths)
    nearest = np.round(lon / 360 * grid.lengths[:, None]).astype(int) % grid.lengths[:, None]
    first = np.cumsum(grid.lengths) - grid.lengths
    chosen = xarray.DataArray(first[:, None] + nearest, dims=(LAT, LON))
    flat = data.drop_vars([LAT, LON]).isel({CELL: chosen})
    return flat.assign_coords({LAT: grid.lat, LON: lon})


def land(data: xarray.Dataset) -> np.ndarray | None:
    """`[lat, lon]` share of land, where the planet has some."""
    return data[LAND].transpose(LAT, LON).values if LAND in data else None


def hours(data: xarray.Dataset) -> np.ndarray:
    """Lead times, h."""
    return data[LEAD].values / np.timedelta64(1, "h")


def _some(leads: np.ndarray) -> list[int]:
    """Indices of one day, three days, and the last lead time, where there are."""
    wanted = [24.0, 72.0, float(leads[-1])]
    return sorted({int(np.abs(leads - hour).argmin()) for hour in wanted})


def _draw_maps(data: xarray.Dataset, run: Path) -> tuple[Path, str]:
    fields, leads = channels(data), hours(data)
    last = _some(leads)[-1]
    start = np.datetime_as_string(data.time.values[0], unit="h")
    with sheet(run, "maps", (10.5, 1.9 * len(fields) + 0.25)) as (figure, path):
        figure.suptitle(f"start {start}, lead time {leads[last]:g} h", fontsize=9.5)
        rows = figure.subplots(len(fields), 3, squeeze=False)
        for row, (name, (forecast, truth)) in zip(rows, fields.items(), strict=True):
            f, t = forecast.values[0, last], truth.values[0, last]
            units = forecast.attrs.get("units", "1")
            difference = f"difference ({units})"
            panels = {
                f"{name} ({units}), forecast": f,
                f"what came true ({units})": t,
                difference: f - t,
            }
            maps.panels(
                row, panels, data[LAT].values, data[LON].values, difference, land=land(data)
            )
    return path, f"The forecast from {start} at {leads[last]:g} h, the truth, and the difference."


def spectrum(fields: np.ndarray, harmonics: Harmonics) -> np.ndarray:
    """Mean power `[l]` of fields `[n, *grid]`, their mean value taken off."""
    centred = torch.from_numpy(fields - fields.mean()).double()
    return power(harmonics.analysis(centred)).mean(0).numpy()


def resolved(fields: np.ndarray, harmonics: Harmonics) -> int:
    """The largest degree that fields `[n, *grid]` have, at most the harmonics'.

    A component of the wind ends nowhere, as it has a direction at the poles where it has none; but
    cos φ times it is a polynomial of one degree more than the wind's potentials.
    """
    last = harmonics.truncation
    lat = np.radians(harmonics.grid.cells[0]).reshape(fields.shape[1:])
    found = []
    for field, more in ((fields, 0), (fields * np.cos(lat), 1)):
        powers = spectrum(field, harmonics)
        above = np.flatnonzero(powers > RESOLVED * powers.max())
        if len(above) and above[-1] < last:
            found.append(max(1, int(above[-1]) - more))
    return min(found, default=last)


def _draw_spectra(
    data: xarray.Dataset, grid: LatLon | ReducedGaussian, name: str, run: Path
) -> tuple[Path, str]:
    forecast, truth = channels(data)[name]
    harmonics, leads = Harmonics(grid).double(), hours(data)
    shown = _some(leads)
    end = resolved(truth.values[:, shown].reshape(-1, *grid.shape), harmonics)
    with sheet(run, "spectra", (5.0, 4.6)) as (figure, path):
        powers = {
            f"{leads[k]:g} h": (
                spectrum(forecast.values[:, k], harmonics)[: end + 1],
                spectrum(truth.values[:, k], harmonics)[: end + 1],
            )
            for k in shown
        }
        curves.spectra(figure, powers, name, forecast.attrs.get("units", "1"))
    return path, (
        f"Power of {name} by total wavenumber, of the forecasts in result.nc by lead time and, "
        "dashed in the same colour, of the truth at that time; below, their ratio: under 1 is "
        f"blurred, over 1 is noise, a triangle is over {curves.RATIOS:g}. It ends at l = {end}, "
        + (
            "the largest that the grid resolves exactly."
            if end == harmonics.truncation
            else f"where the truth does; the grid resolves {harmonics.truncation}."
        )
    )

"""A forecast as a film: forecast, what came true, and their difference on maps, lead by lead.

Written into the `figures/` of a run from the first forecast of its `result.nc`. It stands beside
the report and not in it, which would grow by its size.
"""

from pathlib import Path

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure

from sciml.drawing import film
from sciml.drawing.sheet import style
from sciml.globe.figures import forecasts, maps
from sciml.globe.schema import LAT, LON

#: Lead times that are shown, and bytes, at most.
FRAMES, BYTES = 25, 2 * 10**6


def draw(data: xarray.Dataset, run: Path) -> Path | None:
    """Writes `figures/forecast.gif` of one channel; None where there are no maps to draw.

    Args:
        data: forecasts and `…_reference`, as in `result.nc`.
    """
    if not {LAT, LON} <= set(data.variables) or not forecasts.channels(data):
        return None
    data = forecasts.on_circles(data)
    fields, land = forecasts.channels(data), forecasts.land(data)
    name = list(fields)[-1]
    forecast, truth = (one.isel(time=0) for one in fields[name])
    path = Path(run) / "figures" / "forecast.gif"
    start = np.datetime_as_string(data.time.values[0], unit="h")
    _write(path, forecast, truth, name, start, land)
    return path


def _write(
    path: Path,
    forecast: xarray.DataArray,
    truth: xarray.DataArray,
    name: str,
    start: str,
    land: np.ndarray | None,
) -> None:
    """A GIF in which colours mean the same in all frames."""
    hours = forecasts.hours(forecast)
    chosen = film.shown(forecast.sizes[forecasts.LEAD], FRAMES)
    units = forecast.attrs.get("units", "1")
    difference = f"difference ({units})"
    fields = {
        f"{name} ({units}), forecast": forecast.values[chosen],
        f"what came true ({units})": truth.values[chosen],
        difference: forecast.values[chosen] - truth.values[chosen],
    }
    first = {title: values[0] for title, values in fields.items()}
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(10.5, 2.1))
        meshes = maps.panels(
            figure.subplots(1, 3), first, forecast.latitude.values, forecast.longitude.values,
            difference, covered=fields, land=land,
        )  # fmt: skip
        title = figure.suptitle(" ", fontsize=9)

        def show(frame: int) -> None:
            for mesh, values in zip(meshes, fields.values(), strict=True):
                mesh.set_array(np.ma.masked_invalid(values[frame]))
            title.set_text(f"from {start}: {hours[chosen[frame]]:g} h")

        show(0)
        film.write(path, figure, show, np.arange(len(chosen)), BYTES)

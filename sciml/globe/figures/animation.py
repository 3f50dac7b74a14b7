"""A forecast as a film: forecast, what came true, and their difference on maps, lead by lead.

Written into the `figures/` of a run from the first forecast of its `result.nc`. It stands beside
the report and not in it, which would grow by its size.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np
import xarray
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from sciml import atomic
from sciml.drawing.sheet import style
from sciml.globe.figures import forecasts, maps
from sciml.globe.schema import LAT, LON

#: Lead times that are shown, and bytes, at most.
FRAMES, BYTES = 25, 2 * 10**6
#: Frames per second; dots per inch, from which on it is made smaller until it fits.
RATE, DOTS = 4, 100


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
    pair = tuple(one.isel(time=0) for one in fields[name])
    path = Path(run) / "figures" / "forecast.gif"
    start = np.datetime_as_string(data.time.values[0], unit="h")
    dots = DOTS
    film = _film(pair, name, start, dots, land)
    while len(film) > BYTES:
        dots = int(dots * min(0.9, (BYTES / len(film)) ** 0.5))
        film = _film(pair, name, start, dots, land)
    atomic.write(path, film)
    return path


def shown(leads: int) -> np.ndarray:
    """Indices of at most `FRAMES` lead times, evenly and with the last."""
    return np.arange(leads - 1, -1, -max(1, -(-leads // FRAMES)))[::-1]


def _film(
    pair: tuple[xarray.DataArray, ...], name: str, start: str, dots: int, land: np.ndarray | None
) -> bytes:
    """A GIF in which colours mean the same in all frames."""
    forecast, truth = pair
    hours, chosen = forecasts.hours(forecast), shown(forecast.sizes[forecasts.LEAD])
    units = forecast.attrs.get("units", "1")
    difference = f"difference ({units})"
    fields = {
        f"{name} ({units}), forecast": forecast.values[chosen],
        f"what came true ({units})": truth.values[chosen],
        difference: forecast.values[chosen] - truth.values[chosen],
    }
    first = {title: values[0] for title, values in fields.items()}
    with matplotlib.rc_context(style()), TemporaryDirectory() as folder:
        figure = Figure(figsize=(10.5, 2.1))
        meshes = maps.panels(
            figure.subplots(1, 3), first, forecast.latitude.values, forecast.longitude.values,
            difference, covered=fields, land=land,
        )  # fmt: skip
        title = figure.suptitle(" ", fontsize=9)

        def show(frame: int) -> list[Artist]:
            for mesh, values in zip(meshes, fields.values(), strict=True):
                mesh.set_array(np.ma.masked_invalid(values[frame]))
            title.set_text(f"from {start}: {hours[chosen[frame]]:g} h")
            return [*meshes, title]

        show(0)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # or else maps tremble as the title's width changes
        film = FuncAnimation(figure, show, frames=len(chosen), cache_frame_data=False)
        path = Path(folder) / "film.gif"
        film.save(path, writer=PillowWriter(fps=RATE), dpi=dots)
        return path.read_bytes()

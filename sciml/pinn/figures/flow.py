"""A plane flow (u, v on x, y): speed with streamlines, and velocity along both centrelines."""

from pathlib import Path

import numpy as np
import xarray
from matplotlib.axes import Axes

from sciml.drawing import Drawn
from sciml.drawing.sheet import colour_bar, label, lines, sheet
from sciml.pinn.figures.fields import plane, truth


def draw(data: xarray.Dataset, run: Path) -> Drawn:
    """One figure where the data hold a velocity (u, v) on (x, y), else none."""
    if not {"u", "v"} <= set(data) or any(plane(data, n).dims != ("y", "x") for n in "uv"):
        return []
    with sheet(run, "flow", (11.5, 3.6)) as (figure, path):
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
        speed = _draw_speed(left, data)
        _draw_centreline(middle, data, "u", "y")
        _draw_centreline(right, data, "v", "x")
    where = speed.isel(speed.argmax(...))
    u, v = (_centreline(plane(data, n), along) for n, along in (("u", "y"), ("v", "x")))
    lowest = float(u.y[int(np.nanargmin(u.values))])
    return [
        (
            path,
            f"Streamlines over the speed, at most {float(speed.max()):.3g} at x = "
            f"{float(where.x):.3g}, y = {float(where.y):.3g}. Along the vertical centreline u "
            f"falls to {float(u.min()):.3g} at y = {lowest:.3g}; along the "
            f"horizontal one v runs from {float(v.min()):.3g} to {float(v.max()):.3g}.",
        )
    ]


def _draw_speed(axes: Axes, data: xarray.Dataset) -> xarray.DataArray:
    u, v = plane(data, "u"), plane(data, "v")
    speed = np.hypot(u, v)
    mesh = axes.pcolormesh(u.x, u.y, speed, cmap="viridis", shading="nearest", rasterized=True)
    x, y = (np.linspace(float(u[d].min()), float(u[d].max()), u.sizes[d]) for d in ("x", "y"))
    even_u, even_v = (_on_even_grid(array, x, y) for array in (u, v))
    axes.streamplot(x, y, even_u, even_v, color="white", linewidth=0.6, arrowsize=0.7, density=1.3)
    axes.set(xlabel=label(u.x), ylabel=label(u.y), aspect="equal", title="speed and streamlines")
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.grid(False)
    colour_bar(axes, mesh)
    return speed


def _on_even_grid(array: xarray.DataArray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Linear interpolation, axis by axis; streamlines need evenly spaced points."""
    rows = np.array([np.interp(x, array.x, row) for row in array.values])
    return np.array([np.interp(y, array.y, column) for column in rows.T]).T


def _draw_centreline(axes: Axes, data: xarray.Dataset, name: str, along: str) -> None:
    predicted, known = _centreline(plane(data, name), along), truth(data, name)
    if known is None:
        lines(axes, _upright(predicted, along), None, "")
    else:
        exact = _upright(_centreline(known[0], along), along)
        lines(axes, _upright(predicted, along), exact, known[1])
        axes.legend(loc="best")
    across = "x" if along == "y" else "y"
    names = (label(data[name]), label(data[along]))
    axes.set(title=f"{name} along {across} = {float(predicted[across]):.3g}")
    axes.set_xlabel(names[0] if along == "y" else names[1])
    axes.set_ylabel(names[1] if along == "y" else names[0])


def _upright(line: xarray.DataArray, along: str) -> tuple[xarray.DataArray, xarray.DataArray]:
    return (line, line[along]) if along == "y" else (line[along], line)


def _centreline(array: xarray.DataArray, along: str) -> xarray.DataArray:
    across = "x" if along == "y" else "y"
    middle = float(array[across].min() + array[across].max()) / 2
    index = int(np.abs(array[across] - middle).values.argmin())
    return array.isel({across: index})

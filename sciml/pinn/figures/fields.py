"""Solution, truth and error of every unknown: maps in two dimensions, lines in one."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize

from sciml.drawing import Drawn
from sciml.drawing.sheet import colour_bar, label, lines, quantity, sheet, times_ten

TRUTHS = {"exact": "exact solution", "reference": "reference"}


def read(path: Path) -> xarray.Dataset:
    """The prediction, in memory; a time in seconds stays a number."""
    return xarray.load_dataset(path, decode_timedelta=False)


def draw(data: xarray.Dataset, order: tuple[str, ...], run: Path) -> Drawn:
    """Maps or lines of every unknown, and snapshots where one of two coordinates is time."""
    names = ordered(data, order)
    flat = {name: plane(data, name) for name in names}
    maps = [name for name in names if flat[name].ndim == 2]
    curves = [name for name in names if flat[name].ndim == 1]
    known = [name for name in maps if truth(data, name)]
    others = [name for name in maps if name not in known]
    drawn: Drawn = []
    if known:
        drawn.append(_draw_maps(data, known, run))
    if others:
        drawn.append(_draw_others(data, others, run))
    if curves:
        drawn.append(_draw_lines(data, curves, run))
    if maps and flat[maps[0]].dims[0] == "t":
        drawn.append(_draw_snapshots(data, maps, run))
    return drawn


def ordered(data: xarray.Dataset, order: tuple[str, ...]) -> list[str]:
    """Unknowns first, in the problem's order, then whatever else the file predicts."""
    tails = (*TRUTHS, "error")
    found = [str(name) for name in data if not str(name).endswith(tuple(f"_{t}" for t in tails))]
    return sorted(
        (name for name in found if data[name].ndim > 0),
        key=lambda name: order.index(name) if name in order else len(order),
    )


def plane(data: xarray.Dataset, name: str) -> xarray.DataArray:
    """A variable in at most two dimensions: the last time, and the middle of further axes."""
    array = data[name]
    while array.ndim > 2:
        first = array.dims[0]
        array = array.isel({first: -1 if first == "t" else array.sizes[first] // 2})
    return array


def truth(data: xarray.Dataset, name: str) -> tuple[xarray.DataArray, str] | None:
    """The exact solution or reference of a variable, and which of the two it is."""
    for kind, words in TRUTHS.items():
        if f"{name}_{kind}" in data:
            return plane(data, f"{name}_{kind}"), words
    return None


def sentence(data: xarray.Dataset, name: str) -> str:
    """What a caption says of a variable: relative error in l2, largest error and where it is."""
    array, known = plane(data, name), truth(data, name)
    if known is None:
        low, high = float(array.min()), float(array.max())
        return f"{name} lies between {low:.3g} and {high:.3g}."
    error = np.abs(array - known[0])
    worst = error.isel(error.argmax(...))
    place = ", ".join(f"{dim} = {float(worst[dim]):.3g}" for dim in reversed(array.dims))
    size, rest = (float(np.sqrt((a**2).sum())) for a in (known[0], error))
    relative = f"relative l2 error {times_ten(rest / size)} against the" if size > 0 else "zero"
    return f"{name}: {relative} {known[1]}; largest error {times_ten(float(worst))} at {place}."


def show(axes: Axes, array: xarray.DataArray, norm: Normalize | None, colours: str) -> Any:
    """One map; time runs to the right, and equal units of space are drawn equally long."""
    if array.dims[0] == "t":
        array = array.transpose()
    vertical, horizontal = (array[dim] for dim in array.dims)
    mesh = axes.pcolormesh(
        horizontal, vertical, array, norm=norm, cmap=colours, shading="nearest", rasterized=True
    )
    axes.set(xlabel=label(horizontal), ylabel=label(vertical))
    axes.grid(False)
    if "t" not in array.dims and _proportion(array) is not None:
        axes.set_aspect("equal")
    return mesh


def colours_of(array: xarray.DataArray) -> tuple[Normalize, str]:
    """Centred on zero for a field of both signs, else from smallest to largest."""
    low, high = float(array.min()), float(array.max())
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        return CenteredNorm(0, max(-low, high)), "RdBu_r"
    return Normalize(low, high), "viridis"


def _proportion(array: xarray.DataArray) -> float | None:
    """Height over width of a map with equal scales; None where that would be a sliver."""
    spans = [float(array[dim].max() - array[dim].min()) for dim in array.dims]
    same = len({array[dim].attrs.get("units", "1") for dim in array.dims}) == 1
    ratio = spans[0] / spans[1] if spans[1] > 0 else 0.0
    return ratio if same and 0.2 <= ratio <= 4 else None


def _height(array: xarray.DataArray, width: float) -> float:
    ratio = None if "t" in array.dims else _proportion(array)
    return min(5.0, max(1.5, width * (ratio or 0.75)))


def _draw_maps(data: xarray.Dataset, names: list[str], run: Path) -> tuple[Path, str]:
    """One row for every unknown with a truth: prediction, truth, absolute error."""
    height = _height(plane(data, names[0]), 2.5) + 0.75
    with sheet(run, "fields", (11.0, height * len(names))) as (figure, path):
        grid = figure.subplots(len(names), 3, squeeze=False)
        for row, name in zip(grid, names, strict=True):
            _draw_row(row, data, name)
    cut = _cut(data, names[0])
    said = " ".join(sentence(data, name) for name in names)
    return path, f"Prediction, truth and absolute error{cut}. {said}"


def _draw_row(row: Any, data: xarray.Dataset, name: str) -> None:
    array, (exact, words) = plane(data, name), truth(data, name) or (plane(data, name), "")
    error = np.abs(array - exact)
    norm, colours = colours_of(exact)
    _map(row[0], array, norm, colours, f"{label(array)}, predicted")
    _map(row[1], exact, norm, colours, f"{label(array)}, {words}")
    _map(row[2], error, Normalize(0, float(error.max())), "cividis", f"|error| of {label(array)}")


def _draw_others(data: xarray.Dataset, names: list[str], run: Path) -> tuple[Path, str]:
    """Unknowns of which no truth is known, three in a row."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    height = _height(plane(data, names[0]), 2.5) + 0.75
    with sheet(run, "predictions", (3.65 * columns, height * rows)) as (figure, path):
        cells = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(cells, names, strict=False):
            array = plane(data, name)
            _map(axes, array, *colours_of(array), f"{label(array)}, predicted")
        for axes in cells[len(names) :]:
            axes.set_axis_off()
    said = " ".join(sentence(data, name) for name in names)
    return path, f"Prediction{_cut(data, names[0])}. {said}"


def _map(axes: Axes, array: xarray.DataArray, norm: Normalize, colours: str, title: str) -> None:
    colour_bar(axes, show(axes, array, norm, colours))
    axes.set_title(title)


def _cut(data: xarray.Dataset, name: str) -> str:
    """Where a field of more than two dimensions was cut."""
    array, whole = plane(data, name), data[name]
    gone = [dim for dim in whole.dims if dim not in array.dims]
    return "".join(f", at {dim} = {float(array[dim]):.3g}" for dim in gone if dim in array.coords)


def _draw_lines(data: xarray.Dataset, names: list[str], run: Path) -> tuple[Path, str]:
    known = any(truth(data, name) for name in names)
    with sheet(run, "lines", (4.2 * len(names) + 1.6, 4.6 if known else 2.8)) as (figure, path):
        ratios = [2, 1] if known else [1]
        grid = figure.subplots(
            len(ratios), len(names), squeeze=False, sharex="col", height_ratios=ratios
        )
        for column, name in zip(grid.T, names, strict=True):
            _draw_line(column, data, name)
    return path, " ".join(sentence(data, name) for name in names)


def _draw_line(column: Any, data: xarray.Dataset, name: str) -> None:
    array, known = plane(data, name), truth(data, name)
    along = array[array.dims[0]]
    lines(column[0], (along, array), known and (along, known[0]), known[1] if known else "")
    column[0].set(ylabel=label(array))
    column[-1].set(xlabel=label(along))
    if known is None:
        return
    column[0].legend()
    error = np.abs(array - known[0])
    column[1].semilogy(along, error.where(error > 0), color="C1")
    column[1].set(ylabel=f"|error| of {label(array)}")


def _draw_snapshots(data: xarray.Dataset, names: list[str], run: Path) -> tuple[Path, str]:
    """Profiles at four times of every unknown that depends on (t, x)."""
    times = data["t"].values
    chosen = [round(share * (len(times) - 1)) for share in (0, 1 / 3, 2 / 3, 1)]
    with sheet(run, "snapshots", (11.5, 2.4 * len(names) + 0.4)) as (figure, path):
        grid = figure.subplots(len(names), len(chosen), squeeze=False, sharex=True, sharey="row")
        for row, name in zip(grid, names, strict=True):
            for axes, index in zip(row, chosen, strict=True):
                _draw_snapshot(axes, data, name, index)
            row[0].set_ylabel(label(data[name]))
        grid[0, 0].legend(loc="best")
    first, last = float(times[chosen[0]]), quantity(data["t"][chosen[-1]])
    worst = ", ".join(filter(None, (_worst_snapshot(data, name) for name in names)))
    ending = f"; the error is largest {worst}" if worst else ""
    return path, f"Profiles at four times from t = {first:.3g} to {last}{ending}."


def _draw_snapshot(axes: Axes, data: xarray.Dataset, name: str, index: int) -> None:
    known = truth(data, name)
    profile = plane(data, name).isel(t=index)
    along = profile[profile.dims[0]]
    exact = known and (along, known[0].isel(t=index))
    lines(axes, (along, profile), exact, known[1] if known else "")
    axes.set(title=f"t = {quantity(profile['t'])}", xlabel=label(along))


def _worst_snapshot(data: xarray.Dataset, name: str) -> str:
    known = truth(data, name)
    if known is None:
        return ""
    error = np.sqrt(((plane(data, name) - known[0]) ** 2).mean(dim=known[0].dims[1]))
    at = quantity(error["t"][int(np.nanargmax(error.values))])
    return f"for {name} at t = {at} (root mean square {times_ten(float(error.max()))})"

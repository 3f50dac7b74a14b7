"""Slices through a field of the cells: what made a recording, what was found, what can be known."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogLocator

from sciml.calculus.simplex import gradients
from sciml.drawing import Drawn
from sciml.drawing.sheet import sheet
from sciml.tactile.elements import Elements
from sciml.tactile.inclusion import middle

#: Points across a slice.
ACROSS = 96
#: Points that are looked for in all cells at once.
CHUNK = 512


def draw(dataset: xarray.Dataset, elements: Elements, run: Path) -> Drawn:
    """`map_NAME.png` of every field that was unknown."""
    names = [str(name).removesuffix("_bound") for name in dataset if str(name).endswith("_bound")]
    return [_field(dataset, name, elements, run) for name in names]


def inside(points: Float[np.ndarray, "n 3"], elements: Elements) -> Int[np.ndarray, " n"]:
    """The cell of every point, the nearest one for points just outside."""
    corners = elements.nodes[elements.cells[:, :4]]
    slopes, at = gradients(corners), corners.mean(1)
    found = []
    for some in np.array_split(points, -(-len(points) // CHUNK)):
        off = some[:, None] - at
        least = np.min(0.25 + np.einsum("maj,nmj->nma", slopes, off), axis=-1)
        found.append(least.argmax(1))
    return np.concatenate(found)


def _field(dataset: xarray.Dataset, name: str, elements: Elements, run: Path) -> tuple[Path, str]:
    known = f"{name}_truth" in dataset
    columns = {"found": dataset[name].values}
    if known:
        columns = {"true": dataset[f"{name}_truth"].values, **columns}
    bound = dataset[f"{name}_bound"]
    at = middle(next(iter(columns.values())), elements)
    values = np.concatenate(list(columns.values()))
    norm = Normalize(values.min() / 1e3, values.max() / 1e3)
    count = len(columns) + 1
    with sheet(run, f"map_{name}", (3.5 * count, 5.4)) as (figure, path):
        panels = figure.subplots(2, count, squeeze=False, height_ratios=(1.6, 1.0))
        for column, (title, value) in enumerate(columns.items()):
            for row, axis in enumerate((2, 1)):
                shown = _slice(panels[row, column], value / 1e3, elements, at, axis, norm)
                _bar(panels[row, column], shown, "kPa")
            panels[0, column].set_title(f"{title} {name}, z = {1e3 * at[2]:.2f} mm", pad=18)
            panels[1, column].set_title(f"y = {1e3 * at[1]:.2f} mm", pad=18)
        limits = LogNorm(bound.values.min(), bound.values.max())
        for row, axis in enumerate((2, 1)):
            shown = _slice(panels[row, -1], bound.values, elements, at, axis, limits, "magma_r")
            _bar(panels[row, -1], shown, "")
        panels[0, -1].set_title(f"least s.d. of log {name} of one cell", pad=18)
    low, high = columns["found"].min() / 1e3, columns["found"].max() / 1e3
    parts = [f"Slices through the found {name}, {low:.3g} to {high:.3g} kPa"]
    if known:
        parts.append("beside what made the recording")
    parts.append(
        "and the least standard deviation of the logarithm of one cell that the recording alone "
        "allows (all other cells known): where it is above about 1 nothing is resolved"
    )
    return path, f"{', '.join(parts)}."


def _slice(
    axes: Axes,
    values: Float[np.ndarray, " m"],
    elements: Elements,
    at: Float[np.ndarray, "3"],
    normal: int,
    norm: Normalize,
    colours: str = "viridis",
) -> Any:
    """Values in the plane through a point, normal to an axis."""
    u, v = (axis for axis in range(3) if axis != normal)
    low, high = elements.nodes.min(0), elements.nodes.max(0)
    size = high - low
    down = max(int(ACROSS * size[v] / size[u]), 1)
    points = np.empty((down, ACROSS, 3))
    points[...] = at
    points[..., u] = low[u] + size[u] * (np.arange(ACROSS) + 0.5) / ACROSS
    points[..., v] = (low[v] + size[v] * (np.arange(down) + 0.5) / down)[:, None]
    cell = inside(points.reshape(-1, 3), elements).reshape(down, ACROSS)
    shown = axes.imshow(
        values[cell], origin="lower", norm=norm, cmap=colours, interpolation="nearest",
        extent=1e3 * np.array([low[u], high[u], low[v], high[v]]),
    )  # fmt: skip
    axes.grid(False)
    axes.set(xlabel=f"{'xyz'[u]} (mm)", ylabel=f"{'xyz'[v]} (mm)")
    return shown


def _bar(axes: Axes, shown: Any, unit: str) -> None:
    """A colour bar as tall as its map, linear or logarithmic, with the unit on top."""
    bar: Any = axes.inset_axes((1.03, 0, 0.045, 1))
    drawn = axes.figure.colorbar(shown, cax=bar)
    drawn.outline.set_linewidth(0.5)
    if isinstance(shown.norm, LogNorm):
        drawn.set_ticks(LogLocator(subs=(1.0, 2.0, 5.0)), format="%g")
        drawn.minorticks_off()
    bar.set_title(unit, fontsize=8.5, loc="left", pad=4)

"""Histograms of back-propagated gradients by layer and loss term: which term decides the step.

Where the gradients of one term crowd at zero while another's spread, the second term alone
decides the step. Source: Wang, Teng, Perdikaris (2021), doi:10.1137/20M1318043.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from sciml.drawing import Drawn
from sciml.drawing.sheet import sheet, times_ten

COLUMNS = 6
STAGES = ("start", "middle", "end")


def draw(path: Path, run: Path) -> Drawn:
    """A row for each stage, a panel for each layer of the main stack, a curve for each term."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    index = json.loads(str(arrays.pop("index")))
    stages = [stage for stage in STAGES if stage in index["stages"]]
    every = layers(_recorded(arrays, index["parameters"]))
    if not stages or not every:
        return []
    shown = _some(every, COLUMNS)
    size = (2.35 * len(shown) + 0.9, 2.0 * len(stages) + 0.6)
    with sheet(run, "gradients", size) as (figure, picture):
        grid = figure.subplots(len(stages), len(shown), squeeze=False)
        for row, stage in zip(grid, stages, strict=True):
            for axes, parameter in zip(row, shown, strict=True):
                _draw_panel(axes, arrays, stage, parameter, index["terms"])
            row[0].set_ylabel(f"step {index['stages'][stage] + 1:,}\ndensity")
        for axes, parameter in zip(grid[0], shown, strict=True):
            axes.set_title(title(parameter))
        for axes in grid[-1]:
            axes.set_xlabel("weighted gradient")
        legends = [axes.get_legend_handles_labels() for axes in grid.flat]
        handles, labels = max(legends, key=lambda legend: len(legend[1]))
        figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)))
    return [(picture, _caption(arrays, index, stages, every, shown))]


def _recorded(arrays: dict[str, np.ndarray], last: list[str]) -> list[str]:
    """The parameters of any stage, those of the last one first: phases may train different ones."""
    keys = (key.split("_", 2) for key in arrays if key.startswith("edges_"))
    return [*dict.fromkeys([*last, *(parameter for _, _, parameter in keys)])]


def layers(parameters: list[str]) -> list[str]:
    """Weight matrices of the main stack: no biases, no encoders, no embedding."""
    aside = re.compile(r"(^|\.)(bias$|encoder|embedding)")
    return [name for name in parameters if not aside.search(name)]


def title(parameter: str) -> str:
    """`hidden.0.weight` → hidden layer 1; names of other networks are shown as they are."""
    found = re.search(r"(?:^|\.)hidden\.(\d+)\.(\w+)$", parameter)
    if found:
        extra = "" if found[2] == "weight" else f", {found[2]}"
        return f"hidden layer {int(found[1]) + 1}{extra}"
    return "output layer" if re.search(r"(^|\.)output\.weight$", parameter) else parameter


def density(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts as a density, smoothed by a Gaussian of Silverman's width 0.9 σ n^(-1/5)."""
    width, n = edges[1] - edges[0], max(int(counts.sum()), 1)
    smoothing = max(0.7, 0.9 * spread(counts, edges) / width * n**-0.2)  # in bins
    offsets = np.arange(len(counts)) - len(counts) // 2
    kernel = np.exp(-0.5 * (offsets / smoothing) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same") / (n * width)


def spread(counts: np.ndarray, edges: np.ndarray) -> float:
    """Standard deviation of a histogram about zero, at least that of values inside one bin."""
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    variance = (counts * middle**2).sum() / max(counts.sum(), 1)
    return float(np.sqrt(variance + width**2 / 12))


def _some(names: list[str], most: int) -> list[str]:
    picks = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return [names[i] for i in picks]


def _draw_panel(
    axes: Axes, arrays: dict[str, np.ndarray], stage: str, parameter: str, terms: list[str]
) -> None:
    edges = arrays.get(f"edges_{stage}_{parameter}")
    if edges is None:
        axes.text(0.5, 0.5, "not trained", ha="center", va="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    middle, curves = (edges[1:] + edges[:-1]) / 2, {}
    for term in terms:
        counts = arrays.get(f"counts_{stage}_{term}_{parameter}")
        if counts is not None:
            curves[term] = density(counts, edges)
            floor = 0.2 / (counts.sum() * (edges[1] - edges[0]))
    for i, (term, values) in enumerate(curves.items()):
        seen = np.where(values > floor, values, np.nan)
        axes.plot(middle, seen, color=f"C{i % 8}", label=term, linewidth=1.3)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())  # else a short axis labels 6 × 10⁻¹ and so on
    axes.set_ylim(bottom=floor)
    axes.set_xlim(edges[0], edges[-1])
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 2))
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=7.5)
    axes.xaxis.get_offset_text().set_fontsize(7.5)


def _caption(
    arrays: dict[str, np.ndarray],
    index: dict[str, Any],
    stages: list[str],
    every: list[str],
    shown: list[str],
) -> str:
    some = "" if shown == every else f" ({len(shown)} of {len(every)} layers)"
    steps = [index["stages"][stage] + 1 for stage in stages]
    said = [_comparison(arrays, stage, every, index["terms"]) for stage in stages]
    parts = [f"at step {step:,} {words}" for step, words in zip(steps, said, strict=True)]
    return (
        f"Gradients of each weighted loss term, as the optimiser sees them, by layer{some}; "
        "log-scaled density. Widest against narrowest term, median over the layers: "
        f"{'; '.join(parts)}."
    )


def _comparison(
    arrays: dict[str, np.ndarray], stage: str, parameters: list[str], terms: list[str]
) -> str:
    table = [
        [
            spread(arrays[f"counts_{stage}_{t}_{p}"], arrays[f"edges_{stage}_{p}"])
            for t in terms
            if f"counts_{stage}_{t}_{p}" in arrays
        ]
        for p in parameters
        if f"edges_{stage}_{p}" in arrays
    ]
    if not table:
        return "none of these layers was trained"
    by_term = np.median(np.array(table), axis=0)
    wide, narrow = int(by_term.argmax()), int(by_term.argmin())
    ratio = times_ten(float(by_term[wide] / by_term[narrow]))
    return f"{terms[wide]} spreads {ratio} times as wide as {terms[narrow]}"

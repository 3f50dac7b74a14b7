"""How training went: loss terms and weights by step, errors by step and by CPU-seconds."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sciml.contracts import UserError
from sciml.drawing import Drawn
from sciml.drawing.sheet import sheet, times_ten

History = dict[str, np.ndarray]

#: Metrics in one picture.
MOST = 8


def read(path: Path) -> History:
    """Columns of `history.csv` as numbers, NaN where a cell is empty; `phase` stays text."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" not in rows[0]:
        raise UserError(f"expected rows with a column 'step' in {path}, found none; train first")
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in rows[0]}
    columns["phase"] = np.array([row.get("phase") or "" for row in rows])
    return columns


def draw(
    history: History, run: Path, prefix: str = "rel_l2", quantity: str = "relative l2 error"
) -> Drawn:
    """Losses and weights; errors, where they were computed.

    Args:
        prefix: of the metrics that are shown; all of them where none begins with it.
        quantity: what these are.
    """
    drawn = [_draw_losses(history, run)] if columns(history, "loss/") else []
    if columns(history, "metric/"):
        drawn.append(_draw_errors(history, run, prefix, quantity))
    return drawn


def columns(history: History, prefix: str) -> dict[str, np.ndarray]:
    """Columns by the rest of their name; those that are empty throughout are left out."""
    found = {n.removeprefix(prefix): v for n, v in history.items() if n.startswith(prefix)}
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _draw_losses(history: History, run: Path) -> tuple[Path, str]:
    losses, weights = columns(history, "loss/"), columns(history, "weight/")
    rows = 2 if weights else 1
    with sheet(run, "training", (8.0, 2.6 * rows + 0.4)) as (figure, path):
        stack = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
        colours = {name: f"C{i % 8}" for i, name in enumerate(losses)}
        for axes, group, title in zip(
            stack, (losses, weights), ("loss term (unweighted)", "weight"), strict=False
        ):
            for name, values in group.items():
                colour = colours.get(name, "C7")
                _line(axes, history["step"], values, name, colour, _starts(history))
            axes.set(yscale="log", ylabel=title)
            _mark_phases(axes, history, named=axes is stack[0])
        stack[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
        stack[-1].set_xlabel("step")
    ends = ", ".join(f"{name} {times_ten(_last(values))}" for name, values in losses.items())
    caption = f"Loss terms after {int(history['step'].max()):,} steps: {ends}."
    if _starts(history):
        caption += " Lines end with their phase, as a phase may train on another objective."
    if weights:
        last = ", ".join(f"{name} {times_ten(_last(v))}" for name, v in weights.items())
        caption += f" Their weights: {last}."
    return path, caption


def _draw_errors(history: History, run: Path, prefix: str, quantity: str) -> tuple[Path, str]:
    metrics = columns(history, "metric/")
    wanted = {name: values for name, values in metrics.items() if name.startswith(prefix)}
    shown = dict(list((wanted or metrics).items())[:MOST])
    with sheet(run, "errors", (8.0, 3.0)) as (figure, path):
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, name, words in ((left, "step", "step"), (right, "cpu_s", "CPU-seconds")):
            for i, (metric, values) in enumerate(shown.items()):
                _line(axes, history[name], values, metric, f"C{i % 8}")
            axes.set(yscale="log", xlabel=words)
        left.set_ylabel(quantity if wanted else "metric")
        _mark_phases(left, history, named=True)
        right.legend(loc="best")
    ends = ", ".join(f"{n} {times_ten(_last(v))}" for n, v in shown.items())
    seconds = float(np.nanmax(history["cpu_s"]))
    best = ", ".join(f"{n} {times_ten(float(np.nanmin(v)))}" for n, v in shown.items())
    return path, f"After {seconds:,.0f} CPU-seconds: {ends}. Best on the way: {best}."


def _line(
    axes: Axes, x: np.ndarray, y: np.ndarray, name: str, colour: Any, breaks: Sequence[int] = ()
) -> None:
    """A line that is not joined to the rows `breaks`, where what it shows became another thing."""
    there = np.isfinite(x) & np.isfinite(y) & (y > 0)
    few = there.sum() < 40
    for piece in np.split(np.arange(len(x)), breaks):
        rows = piece[there[piece]]
        marker = "o" if few or len(rows) == 1 else None
        axes.plot(x[rows], y[rows], color=colour, label=name, marker=marker, markersize=3)
        name = "_" + name.lstrip("_")  # one entry in the legend


def _starts(history: History) -> list[int]:
    """The rows where a phase begins, but for the first."""
    phases = history["phase"]
    return [i for i in range(1, len(phases)) if phases[i] and phases[i] != phases[i - 1]]


def _mark_phases(axes: Axes, history: History, named: bool) -> None:
    """A thin upright line where a phase begins, with its name above it."""
    phases = history["phase"]
    for i in _starts(history):
        at = history["step"][i - 1]
        axes.axvline(at, color="#5b6570", linewidth=0.8, linestyle=":")
        if named:
            axes.annotate(
                f" {phases[i]}",
                (at, 1),
                xycoords=("data", "axes fraction"),
                va="bottom",
                fontsize=8,
            )


def _last(values: np.ndarray) -> float:
    return float(values[np.isfinite(values)][-1])

"""Scores as curves and tables: error by lead time, spectra by wavenumber, the scorecard."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

#: Hours from tick to tick: the first with at most eight steps to the last lead time.
STEPS = (1, 6, 24, 48, 120, 240, 720, 2400, 8760, 87600)

T = TypeVar("T")
#: Largest ratio of power to the truth's that is drawn.
RATIOS = 2.0


def some(channels: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of them, evenly from the first on."""
    count = len(channels)
    return channels if count <= most else [channels[i * count // most] for i in range(most)]


def in_order(found: Mapping[str, T], channels: Iterable[str]) -> dict[str, T]:
    """What is found by channel in the channels' own order; what is none of theirs comes last."""
    known = [name for name in channels if name in found]
    return {name: found[name] for name in [*known, *found]}


def left_out(shown: Sequence[str], channels: Sequence[str]) -> str:
    """A sentence on the channels that are not shown, with a space before it; empty if all are."""
    missing = [name for name in channels if name not in shown]
    return f" Left out for want of room: {', '.join(missing)}." if missing else ""


def legend_above(axes: Axes, columns: int, shown: int, channels: int) -> None:
    """One legend for all panels, off their lines; it says how many of the channels these are."""
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns,
        alignment="left", title=f"{shown} of {channels} channels" if shown < channels else None,
    )  # fmt: skip


def by_lead(axes: Axes, hours: np.ndarray, curves: Mapping[str, np.ndarray], ylabel: str) -> None:
    """Scores `[lead]` by name; baselines, whose names are in the legend, are dashed."""
    for i, (name, values) in enumerate(curves.items()):
        baseline = name in ("persistence", "climatology")
        style = {"color": "#5b6570" if name == "persistence" else "#8c6d31", "linestyle": "--"}
        axes.plot(hours, values, label=name, **(style if baseline else {"color": f"C{i}"}))
    axes.set(xlabel="lead time (h)", ylabel=ylabel, ylim=(0, None))
    step = next((step for step in STEPS if hours[-1] <= 8 * step), hours[-1])
    axes.set_xticks(np.arange(0, hours[-1] + 1e-6 * step, step))


def spectra(
    figure: Figure, powers: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str, units: str
) -> None:
    """Power by degree `[l]` above, its ratio to the truth's below; degree 0 is left out.

    A truth is dashed in the colour of its forecast; a ratio above `RATIOS` is marked at the edge.

    Args:
        powers: of forecast and truth at the same times, by name, such as the lead time.
    """
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for i, (label, (forecast, truth)) in enumerate(powers.items()):
        degrees, colour, ratio = np.arange(1, len(truth)), f"C{i}", forecast[1:] / truth[1:]
        upper.loglog(degrees, forecast[1:], color=colour, label=label)
        upper.loglog(degrees, truth[1:], color=colour, linewidth=0.9, linestyle=(0, (4, 2)))
        lower.semilogx(degrees, ratio, color=colour)
        off = degrees[ratio > RATIOS]
        at = np.full(len(off), RATIOS * (1 + 0.05 * i))  # one above the other, or they would hide
        lower.plot(off, at, "^", color=colour, markersize=3.5, markeredgewidth=0, clip_on=False)
    upper.plot([], [], color="black", linewidth=0.9, linestyle=(0, (4, 2)), label="truth then")
    lower.axhline(1.0, color="black", linewidth=0.8)
    lower.set(xlabel="total wavenumber l", ylabel="ratio to truth", ylim=(0, RATIOS))
    upper.set_ylabel(f"power of {name}\n({units})²")
    upper.legend(loc="lower left")


def scorecard(
    axes: Axes, table: np.ndarray, rows: Sequence[str], hours: Sequence[float], title: str
) -> None:
    """Ratios `[row, lead]` as coloured cells with their numbers; 1 is white, less is blue.

    The colour is that of the number as it is printed, and means the same in every scorecard.
    """
    table, norm = np.round(table, 2), Normalize(0.0, 2.0)
    shown = axes.pcolormesh(table, norm=norm, cmap="RdBu_r", edgecolors="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(table):
        dark = value < 0.4 or value > 1.7
        axes.text(
            column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=6.5,
            color="white" if dark else "black",
        )  # fmt: skip
    axes.set_xticks(np.arange(len(hours)) + 0.5, [f"{hour:g}" for hour in hours])
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(xlabel="lead time (h)")
    axes.set_title(title)
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.04, 1)))
    bar.set_ticks([0.0, 0.5, 1.0, 1.5, 2.0])
    bar.outline.set_linewidth(0.5)

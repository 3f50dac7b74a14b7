"""Draws what `weather.py` has measured of small scales: docs/pictures/weather_losses.png.

python benchmarks/weather_figures.py
"""

from pathlib import Path
from statistics import median

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from weather import SCALES, degrees_of, recorded

from sciml import atomic
from sciml.drawing.sheet import style

PICTURES = Path(__file__).resolve().parents[1] / "docs/pictures"
CHANNELS = {"z": "Φ", "u": "u", "v": "v"}
HOURS = (24, 72, 120)


def losses(runs: list[dict], rows: list[str], reference: str) -> Figure:
    """Above, power of v over the truth's by degree; below, RMSE over that of `reference`.

    Lines and bars are medians over the seeds; shades and whiskers reach from least to largest.
    """
    figure = Figure(figsize=(9.5, 5.2))
    axes = figure.subplots(2, len(HOURS), sharey="row", height_ratios=(3, 2))
    by_row = {
        row: [one["metrics"] for one in runs if one["row"].endswith(f"/{row}")] for row in rows
    }
    degrees = degrees_of(by_row[reference][0])
    for column, hour in enumerate(HOURS):
        above, below = axes[:, column]
        for i, (row, found) in enumerate(by_row.items()):
            names = [f"power_ratio/v/l{l}/{hour}h" for l in degrees]
            ratios = np.array([[metrics[name] for name in names] for metrics in found])
            label = row.removeprefix("small_").replace("_", " + ")
            above.plot(
                degrees, np.median(ratios, 0), "o-", color=f"C{i}", markersize=3, label=label
            )
            above.fill_between(
                degrees, ratios.min(0), ratios.max(0), color=f"C{i}", alpha=0.15, lw=0
            )
            place = np.arange(len(CHANNELS)) + 0.16 * (i - 2)
            errors = [relative(found, by_row[reference], channel, hour) for channel in CHANNELS]
            middle = np.array([median(values) for values in errors])
            reach = [[m - min(v), max(v) - m] for m, v in zip(middle, errors, strict=True)]
            whiskers = {"yerr": np.array(reach).T, "error_kw": {"lw": 0.7}}
            below.bar(place, middle - 1, 0.15, bottom=1, color=f"C{i}", **whiskers)
        above.axhline(1.0, color="black", linewidth=0.8)
        below.axhline(1.0, color="black", linewidth=0.8)
        above.set(xlabel="total wavenumber l", title=f"after {hour} h")
        below.set_xticks(np.arange(len(CHANNELS)), list(CHANNELS.values()))
    axes[0, 0].set_ylabel("power of v, forecast over truth")
    axes[1, 0].set_ylabel(f"RMSE over that of {reference.removeprefix('small_')}")
    axes[0, 0].legend(loc="lower left")
    return figure


def relative(found: list[dict], others: list[dict], channel: str, hour: int) -> list[float]:
    """RMSE of each seed over that of the same seed of another row."""
    name = f"rmse_over_persistence/{channel}/{hour}h"
    return [one[name] / other[name] for one, other in zip(found, others, strict=True)]


def main() -> None:
    runs = recorded()["runs"]
    (rows,) = SCALES.values()
    with matplotlib.rc_context(style()):
        figure = losses(runs, rows, "small_mse")
        with atomic.replacing(PICTURES / "weather_losses.png") as path:
            figure.savefig(path, format="png", metadata={"Software": None})
    print(PICTURES / "weather_losses.png")


if __name__ == "__main__":
    main()

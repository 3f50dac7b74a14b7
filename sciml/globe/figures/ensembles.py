"""An ensemble by lead time: CRPS beside the error of its mean, and whether its spread is honest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sciml.drawing.sheet import sheet
from sciml.globe.figures import curves

#: Channels whose error is shown, and lines of spread over error: as many as there are colours.
MOST, LINES = 3, 8


def draw(
    table: Mapping[str, Mapping[str, Mapping[float, float]]], run: Path, units: Mapping[str, str]
) -> tuple[Path, str]:
    """CRPS and RMSE of at most three channels, and spread over error of at most eight.

    Args:
        table: kind → channel → hours → value.
        units: of the channels.
    """
    channels = list(table["crps"])
    shown = curves.some(channels, MOST)
    hours = np.array(sorted(table["crps"][shown[0]]))
    ratios = table.get("spread_over_error", {})
    honest = curves.some([c for c in channels if c in ratios], LINES)
    with sheet(run, "ensemble", (3.1 * (len(shown) + 1) + 0.7, 2.6)) as (figure, path):
        *panels, last = figure.subplots(1, len(shown) + 1)
        for axes, channel in zip(panels, shown, strict=True):
            lines = {
                name: np.array([table[kind][channel][h] for h in hours])
                for name, kind in (("CRPS", "crps"), ("RMSE of the mean", "rmse"))
            }
            unit = f" ({units[channel]})" if channel in units else ""
            curves.by_lead(axes, hours, lines, f"error of {channel}{unit}")
        curves.legend_above(panels[0], 2, len(shown), len(channels))
        lines = {c: np.array([ratios[c][h] for h in hours]) for c in honest}
        curves.by_lead(last, hours, lines, "spread / error of the mean")
        last.axhline(1.0, color="black", linewidth=0.8, linestyle=":", label="honest")
        last.set_ylim(0, max(1.1, last.get_ylim()[1]))
        last.legend(loc="upper left", bbox_to_anchor=(1, 1.05))
    return path, (
        f"The ensemble by lead time: continuous ranked probability score and error of its mean, of "
        f"{', '.join(shown)}; spread over that error, which is 1 for an ensemble that tells its "
        f"own error, of {', '.join(honest)}.{curves.left_out([*shown, *honest], channels)}"
    )

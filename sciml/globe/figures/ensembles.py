"""An ensemble by lead time: CRPS beside the error of its mean, and whether its spread is honest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sciml.drawing.sheet import sheet
from sciml.globe.figures import curves

#: Channels that are shown.
MOST = 3


def draw(
    table: Mapping[str, Mapping[str, Mapping[float, float]]], run: Path, units: Mapping[str, str]
) -> tuple[Path, str]:
    """CRPS and RMSE of at most three channels, and spread over error of all of them.

    Args:
        table: kind → channel → hours → value.
        units: of the channels.
    """
    channels = list(table["crps"])
    shown = curves.some(channels, MOST)
    hours = np.array(sorted(table["crps"][shown[0]]))
    with sheet(run, "ensemble", (3.1 * (len(shown) + 1), 2.5)) as (figure, path):
        *panels, last = figure.subplots(1, len(shown) + 1)
        for axes, channel in zip(panels, shown, strict=True):
            lines = {
                name: np.array([table[kind][channel][h] for h in hours])
                for name, kind in (("CRPS", "crps"), ("RMSE of the mean", "rmse"))
            }
            unit = f" ({units[channel]})" if channel in units else ""
            curves.by_lead(axes, hours, lines, f"error of {channel}{unit}")
        panels[0].legend()
        ratios = table.get("spread_over_error", {})
        lines = {c: np.array([ratios[c][h] for h in hours]) for c in channels if c in ratios}
        curves.by_lead(last, hours, lines, "spread / error of the mean")
        last.axhline(1.0, color="black", linewidth=0.8)
        if len(lines) <= 6:
            last.legend()
    return path, (
        "The ensemble by lead time: continuous ranked probability score, error of its mean, and "
        "spread over that error, which is 1 for an ensemble that tells its own error."
    )

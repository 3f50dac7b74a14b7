"""Scores by channel and lead time: the scorecard against persistence, and curves of RMSE."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sciml.drawing import Drawn
from sciml.drawing.sheet import sheet
from sciml.globe.figures import curves, ensembles

#: Channels whose error is shown by lead time.
MOST = 12
#: kind → channel → hours → value, from names such as `rmse/z500/24h`.
Table = dict[str, dict[str, dict[float, float]]]
_NAME = re.compile(r"(\w+)/(.+)/([\d.]+)h")
RATIO, OTHER = "rmse_over_persistence", "rmse_over_climatology"


def read(path: Path) -> Table:
    """The scores in a `metrics.json`."""
    return arranged(json.loads(path.read_text(encoding="utf-8")))


def arranged(metrics: Mapping[str, object]) -> Table:
    """Flat names as a table; what is no score by lead time is left out."""
    table: Table = {}
    for name, value in metrics.items():
        parts = _NAME.fullmatch(name)
        if parts and isinstance(value, int | float):
            kind, channel, hours = parts.groups()
            table.setdefault(kind, {}).setdefault(channel, {})[float(hours)] = float(value)
    return table


def draw(table: Table, run: Path, units: Mapping[str, str]) -> Drawn:
    """Scorecard, curves, and those of an ensemble, where there are scores.

    Args:
        units: of the channels, in whose order they are shown.
    """
    if RATIO not in table:
        return []
    table = {kind: curves.in_order(scores, units) for kind, scores in table.items()}
    drawn = [_draw_scorecard(table[RATIO], run), _draw_curves(table, run, units)]
    return drawn + ([ensembles.draw(table, run, units)] if "crps" in table else [])


def _draw_scorecard(ratios: Mapping[str, Mapping[float, float]], run: Path) -> tuple[Path, str]:
    channels, hours = list(ratios), sorted(next(iter(ratios.values())))
    values = np.array([[ratios[c][hour] for hour in hours] for c in channels])
    size = (max(4.0, 1.9 + 0.55 * len(hours)), max(2.2, 1.3 + 0.24 * len(channels)))
    with sheet(run, "scorecard", size) as (figure, path):
        axes = figure.subplots()
        curves.scorecard(axes, values, channels, hours, "RMSE / RMSE of persistence")
    worst = np.unravel_index(values.argmax(), values.shape)
    caption = (
        f"Error against that of the forecast that nothing changes, over the test set: blue is "
        f"better. Worst: {channels[worst[0]]} at {hours[worst[1]]:g} h, {values[worst]:.3f}."
    )
    return path, caption


def _draw_curves(table: Table, run: Path, units: Mapping[str, str]) -> tuple[Path, str]:
    channels = list(table["rmse"])
    shown = curves.some(channels, MOST)
    columns = min(3 if len(shown) <= 6 else 4, len(shown))
    rows = -(-len(shown) // columns)
    with sheet(run, "lead_times", (max(4.6, 3.1 * columns), 2.5 * rows + 0.3)) as (figure, path):
        stack = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, channel in zip(stack, shown, strict=False):
            hours = np.array(sorted(table["rmse"][channel]))
            unit = f" ({units[channel]})" if channel in units else ""
            curves.by_lead(axes, hours, _lines(table, channel, hours), f"RMSE of {channel}{unit}")
        for axes in stack[len(shown) :]:
            axes.set_visible(False)
        curves.legend_above(stack[0], 2 * columns, len(shown), len(channels))
    return path, (
        "Root mean square error over the test set by lead time, beside the forecasts that nothing "
        "changes and that the mean state holds"
        + ("; of an ensemble, that of its mean, and its spread." if "spread" in table else ".")
        + curves.left_out(shown, channels)
    )


def _lines(table: Table, channel: str, hours: np.ndarray) -> dict[str, np.ndarray]:
    """Error of the forecast or of the ensemble's mean, its spread, and errors of the baselines."""

    def values(kind: str) -> np.ndarray:
        return np.array([table[kind][channel][h] for h in hours])

    ensemble = channel in table.get("spread", {})
    lines = {"ensemble mean" if ensemble else "forecast": values("rmse")}
    lines |= {"spread of the ensemble": values("spread")} if ensemble else {}
    for name, kind in (("persistence", RATIO), ("climatology", OTHER)):
        if channel in table.get(kind, {}):
            lines[name] = values("rmse") / values(kind)
    return lines

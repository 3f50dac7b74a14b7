"""Several runs in one picture: error against processor time."""

import csv
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sciml import atomic
from sciml.contracts import UserError
from sciml.drawing.sheet import style

FORMATS = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Curve:
    """One run's error by CPU-seconds, and its last value."""

    name: str
    seconds: list[float]
    errors: list[float]


def figure(runs: Sequence[Path], out: Path, metric: str | None = None) -> Path:
    """Error against CPU-seconds of several runs, one line each.

    Args:
        out: a file of one of the `FORMATS`.
        metric: such as "rel_l2/u"; by default the first error that all runs recorded.

    Raises:
        UserError: a run has no history, no metric is common to all, or `out` cannot be written.
    """
    out = Path(out)
    if out.suffix not in FORMATS:
        raise UserError(f"compare: expected a figure in {', '.join(FORMATS)}, got {out.name}")
    histories = {name: _read(Path(run)) for name, run in zip(names(runs), runs, strict=True)}
    metric = metric or common_metric(histories)
    curves = [curve(name, rows, metric) for name, rows in histories.items()]
    with matplotlib.rc_context(style()), atomic.replacing(out) as temporary:
        sheet = Figure(figsize=(7.5, 4.2))
        _draw(sheet, curves, metric)
        sheet.savefig(temporary, format=out.suffix[1:])
    return out


def names(runs: Sequence[Path]) -> list[str]:
    """The shortest endings of the paths that tell the runs apart."""
    parts = [Path(os.path.abspath(run)).parts for run in runs]
    if not parts:
        raise UserError("compare: expected run folders, got none; name two or more")
    if len(set(parts)) < len(parts):
        raise UserError("compare: expected different run folders, got one of them twice")
    for depth in range(1, max(map(len, parts)) + 1):
        endings = ["/".join(part[-depth:]) for part in parts]
        if len(set(endings)) == len(endings):
            return endings
    return [str(run) for run in runs]


def common_metric(histories: dict[str, list[dict[str, str]]]) -> str:
    """The first error, relative ones first, that the history of every run holds."""
    found = [_metrics(rows) for rows in histories.values()]
    shared = [name for name in found[0] if all(name in other for other in found)]
    if not shared:
        held = "; ".join(
            f"{name}: {', '.join(metrics) or 'none'}"
            for name, metrics in zip(histories, found, strict=True)
        )
        raise UserError(f"compare: expected a metric common to all runs, got {held}")
    return shared[0]


def curve(name: str, rows: list[dict[str, str]], metric: str) -> Curve:
    """The recorded pairs of CPU-seconds and error, both above zero."""
    pairs = [(_number(row["cpu_s"]), _number(row.get(f"metric/{metric}"))) for row in rows]
    pairs = [(s, e) for s, e in pairs if s > 0 and e > 0 and math.isfinite(s * e)]
    if not pairs:
        have = ", ".join(_metrics(rows)) or "none"
        raise UserError(f"compare: {name} recorded no {metric!r}; it has {have}")
    return Curve(name, [s for s, _ in pairs], [e for _, e in pairs])


def _draw(sheet: Figure, curves: list[Curve], metric: str) -> None:
    axes = sheet.subplots()
    for i, line in enumerate(curves):
        axes.plot(
            line.seconds,
            line.errors,
            color=f"C{i % 8}",
            linestyle=("-", "--", ":")[i // 8 % 3],
            label=ending(line),
            marker="o",
            markersize=5,
            markevery=[len(line.seconds) - 1],
        )
    axes.set(xscale="log", yscale="log", xlabel="CPU-seconds", ylabel=metric)
    for axis in (axes.xaxis, axes.yaxis):
        number_plainly(axis)
    axes.set_title(f"{metric} against processor time")
    sheet.legend(loc="outside lower center", ncols=1)


def ending(line: Curve) -> str:
    """`name  (0.0123 in 4.5 s)`: the last error and when it was reached."""
    seconds = line.seconds[-1]
    return f"{line.name}  ({line.errors[-1]:.3g} in {seconds:,.{1 if seconds < 9.95 else 0}f} s)"


def number_plainly(axis: Axis) -> None:
    """Label a log axis with plain numbers where it spans less than two powers of ten."""
    low, high = axis.get_view_interval()
    if high >= 100 * low:
        axis.set_minor_formatter(NullFormatter())
        return
    wide = high > 5 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _metrics(rows: list[dict[str, str]]) -> list[str]:
    filled = {n.removeprefix("metric/") for row in rows for n, v in row.items() if v}
    columns = dict.fromkeys(name for row in rows for name in row)
    named = [n.removeprefix("metric/") for n in columns if n.startswith("metric/")]
    return sorted((n for n in named if n in filled), key=lambda n: not n.startswith("rel_l2"))


def _read(run: Path) -> list[dict[str, str]]:
    path = run / "history.csv"
    if not path.is_file():
        raise UserError(f"compare: expected history.csv in {run}, found none; give run folders")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "cpu_s" not in rows[0]:
        raise UserError(f"compare: {path} holds no rows with cpu_s; train the run first")
    return rows if _metrics(rows) else [*rows, *_end(run)]


def _end(run: Path) -> list[dict[str, str]]:
    """What the finished run was judged by, as a row: all that a run too short to validate has."""
    path = run / "metrics.json"
    if not path.is_file():
        return []
    metrics = {name: str(v) for name, v in json.loads(path.read_text()).items()}
    judged = {
        f"metric/{name}": v for name, v in metrics.items() if "/" in name or name == "held_out"
    }
    return [{"cpu_s": metrics.get("cpu_s", "nan"), **judged}]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")

"""`report.html`: one page that carries its pictures and styles in itself and asks no network."""

import base64
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sciml import atomic, runs

STYLE = Path(__file__).with_name("page.css")
ROWS = 9
#: Costs of a run in `metrics.json`: how the page calls them, and their unit.
COSTS = {
    "steps": ("optimiser steps", ""),
    "cpu_s": ("processor time", "s"),
    "wall_s": ("elapsed time", "s"),
    "parameters": ("parameters", ""),
    "peak_rss_mb": ("peak memory", "MB"),
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def write(run: Path, figures: Sequence[tuple[Path, str]]) -> Path:
    """Assembles `report.html` of a run folder from its files and the figures given.

    Args:
        run: a run folder; what it lacks is left out of the page.
        figures: picture (PNG) and caption, in the order of the page.
    """
    run = Path(run)
    config = runs.load_config(run) if (run / "config.yaml").exists() else {}
    metrics, provenance = _json(run / "metrics.json"), _json(run / "provenance.json")
    published = _published(config.get("published"))
    case = str(config.get("title") or config.get("case") or run.name)
    sections = [
        _head(case, metrics, published, provenance),
        _metrics(metrics, published),
        _figures(figures),
        _history(run / "history.csv"),
        _details(run, provenance),
    ]
    body = "\n".join(filter(None, sections))
    page = PAGE.format(title=escape(case), style=STYLE.read_text(encoding="utf-8"), body=body)
    path = run / "report.html"
    atomic.write(path, page)
    return path


def number(value: Any) -> str:
    """A number as it is read: 5,551; 0.0123; 2.8×10⁻³; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None or value == "" else str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    if value == 0 or 1e-2 <= abs(value) < 1e5 or value != value:
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.3g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    superscript = str(int(exponent or 0)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}×10{superscript}" if exponent else mantissa


def judged(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the metrics against the truth, as `rel_l2/u`; they come first."""
    named = [name for name in metrics if "/" in name and not name.startswith("held_out")]
    return sorted(named, key=lambda name: not name.startswith("rel_l2/"))


def _head(
    case: str,
    metrics: Mapping[str, Any],
    published: Mapping[str, tuple[Any, str]],
    provenance: Mapping[str, Any],
) -> str:
    lines = [f"<h1>{escape(case)}</h1>"]
    names = judged(metrics)
    if names:
        parts = [f"{escape(n)} = <b>{escape(number(metrics[n]))}</b>" for n in names[:2]]
        first = names[0]
        if first in published:
            parts[0] += f" (published: {escape(number(published[first][0]))})"
        lines.append(f'<p class="result">{", ".join(parts)}{escape(_cost(metrics))}.</p>')
    elif metrics:
        lines.append(f'<p class="result">Trained{escape(_cost(metrics))}.</p>')
    if provenance.get("command"):
        lines.append(f'<p class="command"><code>{escape(str(provenance["command"]))}</code></p>')
    return "\n".join(lines)


def _cost(metrics: Mapping[str, Any]) -> str:
    words = []
    if metrics.get("steps") is not None:
        words.append(f"{number(metrics['steps'])} steps")
    if metrics.get("cpu_s") is not None:
        words.append(f"{number(metrics['cpu_s'])} CPU-seconds")
    return f" after {' and '.join(words)}" if words else ""


def _metrics(metrics: Mapping[str, Any], published: Mapping[str, tuple[Any, str]]) -> str:
    if not metrics and not published:
        return ""
    names = [*judged(metrics), *(name for name in published if name not in metrics)]
    others = [name for name in metrics if name not in names]
    compared = bool(published)
    rows = []
    for name in (*names, *others):
        words, unit = COSTS.get(name, (name, ""))
        known, source = published.get(name, ("", ""))
        cells = [("number", f"{number(metrics.get(name))} {unit}".strip())]
        if compared:
            cells += [("number", number(known) if name in published else ""), ("", source)]
        rows.append((' class="judged"' if name in names else "", words, cells))
    heads = [("", "metric"), ("number", "ours")]
    heads += [("number", "published"), ("", "source")] if compared else []
    return f"<h2>Numbers</h2>\n{_table(heads, rows)}"


def _table(
    heads: Iterable[tuple[str, str]], rows: Iterable[tuple[str, str, list[tuple[str, str]]]]
) -> str:
    head = "".join(f"<th{_class(kind)}>{escape(text)}</th>" for kind, text in heads)
    body = "\n".join(
        f"<tr{attributes}><th>{escape(first)}</th>"
        + "".join(f"<td{_class(kind)}>{escape(text)}</td>" for kind, text in cells)
        + "</tr>"
        for attributes, first, cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _figures(figures: Sequence[tuple[Path, str]]) -> str:
    blocks = []
    for i, (path, caption) in enumerate(figures, 1):
        picture = Path(path).read_bytes()
        data, alternative = base64.b64encode(picture).decode("ascii"), escape(caption, quote=True)
        blocks.append(
            f'<figure><img alt="{alternative}" width="{_width(picture)}" '
            f'src="data:image/png;base64,{data}">\n'
            f"<figcaption><b>Figure {i}.</b> {escape(caption)}</figcaption></figure>"
        )
    return "<h2>Figures</h2>\n" + "\n".join(blocks) if blocks else ""


def _width(picture: bytes) -> int:
    """Width on the page: what a PNG's header says at 150 dots per inch, brought to 96."""
    return round(int.from_bytes(picture[16:20], "big") * 96 / 150)


def _history(path: Path) -> str:
    """A few rows of the history, from the first to the last."""
    if not path.exists():
        return ""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return ""
    names = [
        n for n in rows[0] if n.split("/")[0] in ("phase", "cpu_s", "loss", "weight", "metric")
    ]
    body = [
        ("", number(_read(row["step"])), [_cell(name, row[name]) for name in names])
        for row in _some(rows)
    ]
    heads = [("", "step"), *(("" if n == "phase" else "number", n) for n in names)]
    return (
        f"<h2>History</h2>\n{_table(heads, body)}\n"
        f'<p class="note">{len(body)} of {len(rows)} rows of <code>history.csv</code>.</p>'
    )


def _some(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Evenly spread rows, of those at which metrics were computed where there are enough."""
    measured = [r for r in rows if any(v for n, v in r.items() if n.startswith("metric/"))]
    rows = measured if len(measured) >= ROWS else rows
    picks = sorted({round(i * (len(rows) - 1) / (ROWS - 1)) for i in range(ROWS)})
    return [rows[i] for i in picks]


def _cell(name: str, text: str | None) -> tuple[str, str]:
    return ("", text or "") if name == "phase" else ("number", number(_read(text)))


def _read(text: str | None) -> Any:
    try:
        value = float(text or "nan")
    except ValueError:
        return text
    if value != value:
        return None
    return int(value) if text and text.isdigit() else value


def _details(run: Path, provenance: Mapping[str, Any]) -> str:
    blocks = []
    if (run / "config.yaml").exists():
        text = (run / "config.yaml").read_text(encoding="utf-8")
        blocks.append(
            f"<details><summary>Configuration</summary><pre>{escape(text)}</pre></details>"
        )
    if provenance:
        text = json.dumps(provenance, indent=2, ensure_ascii=False)
        blocks.append(f"<details><summary>Provenance</summary><pre>{escape(text)}</pre></details>")
    return "<h2>Made from</h2>\n" + "\n".join(blocks) if blocks else ""


def _published(entries: Any) -> dict[str, tuple[Any, str]]:
    """metric → (value, source); an entry may be a number alone."""
    return {
        str(name): (entry.get("value"), str(entry.get("source") or ""))
        if isinstance(entry, Mapping)
        else (entry, "")
        for name, entry in (entries or {}).items()
    }


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

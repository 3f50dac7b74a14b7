"""What the commands print: configurations, ours beside published, runs side by side."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml import runs

_NEVER = {"case", "run_dir"}
_COSTS = ("steps", "cpu_s", "wall_s")


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Rows of cells as aligned columns; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [isinstance(value, int | float) for value in rows[-1]]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def against_published(metrics: Mapping[str, Any], published: Mapping[str, Any]) -> str:
    """Metric, ours, and the published value with its source where the case names one."""
    names = [name for name in metrics if not name.startswith("held_out/")]
    if any("/" in name for name in names):
        names = [name for name in names if name != "held_out"]
    names += [name for name in published if name not in metrics]
    rows = [(name, metrics.get(name), *_published(published.get(name))) for name in names]
    if not published:
        return table([("metric", "value"), *(row[:2] for row in rows)])
    return table([("metric", "ours", "published", "source"), *rows])


def _published(entry: Any) -> tuple[Any, str]:
    if isinstance(entry, Mapping):
        return entry.get("value"), str(entry.get("source", ""))
    return entry, ""


def comparison(folders: Sequence[Path]) -> str:
    """One row for each run: its folder, where its configuration differs, its metrics and costs."""
    metrics = [runs.read_metrics(folder) for folder in folders]
    differing = differences([runs.load_config(folder) for folder in folders])
    names = list(dict.fromkeys(name for own in metrics for name in own))
    judged = [n for n in names if "/" in n and not n.startswith("held_out")] or ["held_out"]
    columns = [name for name in (*judged, *_COSTS) if name in names]
    rows: list[list[Any]] = [["run", *columns, *differing]]
    for i, folder in enumerate(folders):
        own = [_short(values[i]) for values in differing.values()]
        rows.append([str(folder), *(metrics[i].get(name) for name in columns), *own])
    return table(rows)


def overview() -> str:
    """One row for each run under `./runs`: what it is of, how far it has come, its error."""
    rows: list[Sequence[Any]] = [("run", "case", "steps", "rel_l2", "state")]
    for folder in runs.find_runs():
        seen = runs.state(folder)
        planned = "?" if seen.planned is None else seen.planned
        steps = str(seen.done) if seen.finished else f"{seen.done} of {planned}"
        word = "finished" if seen.finished else "unfinished"
        rows.append((folder, seen.case, steps, seen.error, word))
    return table(rows) if len(rows) > 1 else f"no runs under ./{runs.ROOT}"


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Key → its value in each configuration, for the keys in which they differ.

    A node whose `_target_` differs is one column; of its keys only those in which runs with the
    same `_target_` differ too.
    """
    flats = [runs.flat(config) for config in configs]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    found = {key: [flat.get(key) for flat in flats] for key in keys}
    found = {
        key: values
        for key, values in found.items()
        if any(value != values[0] for value in values)
        and key not in _NEVER
        and not key.startswith(("published", "trainer."))
        and not key.endswith("._partial_")
    }
    groups = {
        key.removesuffix("._target_"): found[key] for key in found if key.endswith("._target_")
    }
    return {
        key.removesuffix("._target_"): values
        for key, values in found.items()
        if key.endswith("._target_") or not _follows(key, values, groups)
    }


def _follows(key: str, values: list[Any], groups: Mapping[str, list[Any]]) -> bool:
    """Whether a key's values differ only because a node around it has another `_target_`."""
    for group, targets in groups.items():
        if key.startswith(f"{group}.") or key == group:
            pairs = {
                str(t): [v for v, o in zip(values, targets, strict=True) if o == t] for t in targets
            }
            return all(value == same[0] for same in pairs.values() for value in same)
    return False


def _short(value: Any) -> Any:
    """An import path by its last name."""
    path = isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value)
    return value.rsplit(".", 1)[-1] if path else value


def annotated(
    plain: Mapping[str, Any], resolved: Mapping[str, Any], origins: Mapping[str, str]
) -> str:
    """A configuration as YAML whose comments name the file that each value came from.

    References to single values are resolved; references to whole nodes stay as they are written.
    """
    lines = list(_lines(plain, resolved, origins, ""))
    width = min(60, max(len(text) for text, _ in lines))
    return "\n".join(
        f"{text.ljust(width)}  # {origin}" if origin else text for text, origin in lines
    )


def _lines(
    plain: Mapping[str, Any], resolved: Mapping[str, Any], origins: Mapping[str, str], path: str
) -> list[tuple[str, str]]:
    found = []
    indent = "  " * path.count(".")
    for key, value in plain.items():
        here = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            found.append((f"{indent}{key}:", ""))
            found += _lines(value, resolved[key], origins, f"{here}.")
        else:
            shown = value if isinstance(resolved[key], Mapping) else resolved[key]
            found.append((f"{indent}{key}: {_yaml(shown)}", origins.get(here, "")))
    return found


def _yaml(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()

"""Where a case's fields come from: an archive that is there, or one that is simulated first."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe.archive import Archive, open_archive


def opened(
    path: str,
    channels: Sequence[str | Mapping[str, Any]],
    make: Callable[[Path], Any] | None = None,
    described: Mapping[str, Any] | None = None,
    period: Sequence[str] | None = None,
    gaps: str = "refused",
    missing: Collection[str] = (),
) -> Archive:
    """An archive of fields, made before it is opened where it is not there.

    Args:
        path: a store, a file, or a pattern.
        channels: which fields, in which order: names such as z500.
        make: partial of a simulator, called with the path. What it was made with stands beside it
            in PATH.json.
        described, period, gaps, missing: see `open_archive`.

    Raises:
        UserError: nothing there and nothing that makes it; a set that was made with other
            arguments; what `open_archive` refuses.
    """
    if make is not None:
        _make(Path(path), make)
    elif "://" not in path and not any(sign in path for sign in "*?[") and not Path(path).exists():
        raise UserError(
            f"archive.path: expected data at {path}, found nothing; set archive.path to where they "
            "lie"
        )
    return open_archive(
        path, channels, described=described, period=period, gaps=gaps, missing=missing
    )


def _make(path: Path, make: Callable[[Path], Any]) -> None:
    """Makes the set, unless it stands there whole; goes on with one that was cut short."""
    note, recipe = path.with_name(f"{path.name}.json"), _recipe(make)
    if note.exists() and path.exists():
        made = json.loads(note.read_text(encoding="utf-8"))
        if made != recipe:
            key = next(k for k in {**made, **recipe} if made.get(k) != recipe.get(k))
            raise UserError(
                f"{path} was made with {key}={made.get(key)}, the case asks for "
                f"{recipe.get(key)}; delete it, or set archive.path to another place"
            )
        return
    if path.exists():  # made by hand, or brought from elsewhere
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    atomic.write(note, json.dumps(recipe, indent=1) + "\n")


def _recipe(make: Callable[[Path], Any]) -> dict[str, Any]:
    """What a set is made by and with, as JSON has it."""
    if not isinstance(make, partial):
        return {"made_by": getattr(make, "__qualname__", str(make))}
    name = f"{make.func.__module__}.{make.func.__qualname__}"
    return json.loads(json.dumps({"made_by": name, **make.keywords}, default=str))

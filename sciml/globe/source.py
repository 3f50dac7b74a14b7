"""Where a case's fields come from: an archive that is there, or one that is simulated first."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

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
        make: partial of a simulator, called with the path: it leaves a set that is whole alone,
            goes on with one that was cut short, and refuses one that was made otherwise.
        described, period, gaps, missing: see `open_archive`.

    Raises:
        UserError: nothing there and nothing that makes it; what `open_archive` refuses.
    """
    if make is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        make(Path(path))
    elif "://" not in path and not any(sign in path for sign in "*?[") and not Path(path).exists():
        raise UserError(
            f"archive.path: expected data at {path}, found nothing; set archive.path to where they "
            "lie"
        )
    return open_archive(
        path, channels, described=described, period=period, gaps=gaps, missing=missing
    )

"""A run that is refused before its first checkpoint takes back what it wrote.

The corrected command then finds the folder as it was before, and does not meet another run in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml import atomic, diagnosis, runs
from sciml.contracts import UserError

#: What a run writes before its first checkpoint, and writes again when it goes on.
_WRITTEN = ("config.yaml", "provenance.json", "history.csv", "gradients.npz", ".lock")
_CHECKPOINTS = "checkpoints"


@contextmanager
def opened(
    path: str | Path | None, config: Mapping[str, Any], command: Sequence[str]
) -> Iterator[Path]:
    """The folder of a run, by `runs.open_run`, while it is trained.

    Where a mistake of the user's ends the training before a checkpoint is saved, what this call
    made is gone and files of before are as they were. Rank 0, which writes, also takes back.
    """
    before = _look(path, str(config.get("case") or "unnamed"))
    folder = runs.open_run(path, config, command)
    try:
        yield folder
    except Exception as error:
        if runs.rank() == 0 and diagnosis.is_refusal(error):
            _restore(folder, before)
        raise


@dataclass(frozen=True)
class _Before:
    """What stood where a run is about to write.

    Args:
        existed: whether its folder did.
        files: contents by name, of those that a run writes.
        checkpoints: when they were saved.
        missing: folders that have to be made around it, innermost first.
    """

    existed: bool
    files: Mapping[str, bytes]
    checkpoints: Mapping[Path, int]
    missing: Sequence[Path]


def _look(path: str | Path | None, case: str) -> _Before:
    folder = runs.known_folder(path, case)
    around = folder or Path(runs.ROOT) / case
    missing = [place for place in (around, *around.parents) if not place.exists()]
    if folder is None:  # it will get a name that nothing has
        return _Before(False, {}, {}, missing)
    files = [folder / name for name in _WRITTEN if (folder / name).is_file()]
    contents = {file.name: file.read_bytes() for file in files}
    return _Before(folder.exists(), contents, _saved(folder), missing)


def _saved(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (folder / _CHECKPOINTS).glob("*.ckpt")}


def _restore(folder: Path, before: _Before) -> None:
    """Puts it back, unless a checkpoint was saved since or another process trains there."""
    if _saved(folder) != before.checkpoints:
        return
    with suppress(OSError, UserError), atomic.held(folder):
        for name in _WRITTEN:
            if name not in before.files:
                (folder / name).unlink(missing_ok=True)
            elif (folder / name).read_bytes() != before.files[name]:
                atomic.write(folder / name, before.files[name])
    made = [] if before.existed else [folder, *before.missing]
    for place in (folder / _CHECKPOINTS, *made):
        with suppress(OSError):  # it is not empty: what is in it is somebody else's
            place.rmdir()

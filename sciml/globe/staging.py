"""An archive once more as one flat array on a near disk, or in memory: what training reads from.

Reading a sample through a file format costs a hundred times its copying from a memory map
(0.1 … 2 ms against 0.01 ms of processor time for four fields of 64 × 128).

A staged array is a folder named after a hash of

    the fingerprint of every file (absolute path, size, time of change), the variables, levels and
    conversions taken from it, the channels, which of them may lack values, the times, the grid and
    the version of this layout

so that whatever would change its numbers changes its name. One process writes it while others that
want the same wait; it gets its name when it is whole.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe.archive import Archive
from sciml.globe.archive import times as clock
from sciml.globe.archive.archive import ANYWHERE
from sciml.globe.archive.fingerprint import fingerprint
from sciml.globe.channels import Channels

#: Where staged arrays lie unless said otherwise: the scratch disk of a node, say.
VARIABLE, FOLDER = "SCIML_STAGE", "runs/staged"
#: Bytes read at once.
PIECE = 64 * 2**20
_VERSION = 1
_FIELDS, _META = "fields.npy", "meta.json"


@final
@dataclass(frozen=True, eq=False)
class Staged:
    """States at times.

    Args:
        fields: float32 `[T, C, *grid]`, memory-mapped or in memory.
        times: `[T]` int64 seconds since 1970-01-01, ascending.
        channels: of the states, in physical units.
        grid: of the sphere.
        step: between times, s; found from them where None.
        folder: where the staged array lies; None in memory.

    Raises:
        UserError: shapes that do not belong together.
    """

    fields: np.ndarray
    times: np.ndarray
    channels: Channels
    grid: Any
    step: int | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        expected = (len(self.times), len(self.channels), *self.grid.shape)
        if self.fields.shape != expected:
            raise UserError(
                f"states: expected [time, channel, *grid] = {list(expected)}, "
                f"got {list(self.fields.shape)}"
            )
        if self.step is None:
            object.__setattr__(self, "step", clock.spacing(self.times))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Stretches `[start, stop)` of times without a gap."""
        return clock.runs(self.times, self.step)

    @property
    def mask(self) -> np.ndarray:
        """`[C, *grid]` where values are, at all times."""
        return np.isfinite(self.fields[0])

    def beside(self, what: str, *key: Any) -> Path | None:
        """Where something that follows from the states and a key is kept; None in memory."""
        if self.folder is None:
            return None
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        return self.folder / f"{what}-{digest}.safetensors"


def stage(archive: Archive, folder: str | Path | None = None, memory: bool = False) -> Staged:
    """The states of an archive as one array.

    Args:
        archive: what to read.
        folder: where staged arrays are kept; `$SCIML_STAGE` or runs/staged where None.
        memory: keep it in memory and write nothing.

    Raises:
        UserError: it does not fit on the disk or into memory, or the archive is faulty.
    """
    target = None
    if memory:
        _require_memory(archive)
        fields = np.empty(archive.shape, np.float32)
        _fill(fields, archive)
    else:
        target = _on_disk(archive, Path(folder or os.environ.get(VARIABLE) or FOLDER))
        fields = np.load(target / _FIELDS, mmap_mode="r")
    return Staged(fields, archive.times, archive.channels, archive.grid, archive.step, target)


def key(archive: Archive) -> str:
    """The name of its staged array: 16 hexadecimal digits of a SHA-256."""
    described = {
        "version": _VERSION,
        "parts": [[part.seen, [asdict(entry) for entry in part.located]] for part in archive.parts],
        "channels": archive.channels.to_dict(),
        "missing": dict(archive.missing),
    }
    digest = hashlib.sha256(json.dumps(described).encode())
    for array in (archive.times, *archive.grid.cells):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _on_disk(archive: Archive, root: Path) -> Path:
    """The folder of the staged array, written first where it is not there."""
    target = root / key(archive)
    with _locked(root, target.name):
        if not (target / _META).exists():
            _clean(root)
            _require_disk(archive, root)
            _write(archive, target)
    return target


@contextmanager
def _locked(root: Path, name: str) -> Iterator[None]:
    """One process at a time; the operating system lets go however a process ends."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / f".{name}.lock").open("a")
    except OSError as error:
        raise UserError(
            f"{root}: staged data cannot be kept there: {atomic.reason(error)}; set {VARIABLE}"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(archive: Archive, target: Path) -> None:
    """Under another name until it is whole."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        fields = np.lib.format.open_memmap(
            part / _FIELDS, mode="w+", dtype=np.float32, shape=archive.shape
        )
        _fill(fields, archive)
        fields.flush()
        meta = {"seen": [part.seen for part in archive.parts], "shape": archive.shape}
        atomic.write(part / _META, json.dumps(meta))
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"{target} could not be staged: {atomic.reason(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(fields: np.ndarray, archive: Archive) -> None:
    """Piece by piece; then masks at all times what a channel lacks at some."""
    gappy = [n for n, c in enumerate(archive.channels) if archive.missing.get(c.name) == ANYWHERE]
    present = np.ones((len(gappy), *archive.grid.shape), bool)
    size = max(1, PIECE // max(1, fields[0].nbytes))
    for start in range(0, len(fields), size):
        piece = archive.read(slice(start, start + size))
        present &= np.isfinite(piece[:, gappy]).all(0)
        fields[start : start + size] = piece
    archive.check_unchanged()
    for n, kept in zip(gappy, present, strict=True):
        if not kept.any():
            raise UserError(
                f"channel {archive.channels.names[n]!r}: expected points that have values at all "
                "times, got none; leave out times without data"
            )
        for start in range(0, len(fields), size):
            fields[start : start + size, n][:, ~kept] = np.nan


def _clean(root: Path) -> None:
    """Deletes what was cut short, and what stands for earlier states of files that are there."""
    for part in root.glob(".*.part"):
        with suppress(BlockingIOError), (root / f"{part.stem}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(part, ignore_errors=True)
    for meta in root.glob(f"*/{_META}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            seen = json.loads(meta.read_text())["seen"]
            if any(_changed(source) for source in seen):
                shutil.rmtree(meta.parent, ignore_errors=True)


def _changed(seen: list[str]) -> bool:
    now = fingerprint(seen[0])
    return len(now) > 1 and list(now) != seen


def _require_disk(archive: Archive, root: Path) -> None:
    needed, free = 4 * int(np.prod(archive.shape)), shutil.disk_usage(root).free
    if needed > 0.98 * free:
        raise UserError(
            f"{root}: expected {needed / 2**30:.1f} GiB of room for {len(archive)} states of "
            f"{len(archive.channels)} channels, got {free / 2**30:.1f}; set {VARIABLE} to a larger "
            "disk, shorten the period, or read fewer channels"
        )


def _require_memory(archive: Archive) -> None:
    needed = 4 * int(np.prod(archive.shape))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > 0.8 * free:
        raise UserError(
            f"data: expected {needed / 2**30:.1f} GiB of memory for {len(archive)} states, got "
            f"{free / 2**30:.1f}; stage them on disk by memory=false"
        )

"""An archive once more as one flat array on a near disk, or in memory: what training reads from.

Reading a sample through a file format costs a hundred times its copying from a memory map
(0.1 … 2 ms against 0.01 ms of processor time for four fields of 64 × 128).

A staged array is a folder named after a hash of

    the fingerprint of every file (absolute path, size, time of change), the variables, levels and
    conversions taken from it, the channels, which of them may lack values, the times, the grid and
    the version of this layout

so that whatever would change its numbers changes its name. One process writes it while others that
want the same wait; it gets its name when it is whole.

Where nodes have disks of their own (`node_disk`), the array is copied to that of each node, once,
and mapped from there.
"""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from sciml import atomic, locks, node_disk
from sciml.contracts import UserError
from sciml.globe.archive import Archive
from sciml.globe.archive import times as clock
from sciml.globe.archive.archive import ANYWHERE
from sciml.globe.archive.fingerprint import fingerprint
from sciml.globe.channels import Channels

#: Where staged arrays lie unless said otherwise; all nodes of a run see it.
VARIABLE, FOLDER = "SCIML_STAGE", "runs/staged"
#: Bytes read at once.
PIECE = 64 * 2**20
#: Seconds after which what a process of another node has begun to write counts as left behind.
LEFT = 24 * 3600.0
_VERSION = 2
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
        copy: of `fields` on the node's own disk, kept from being deleted; None without one.

    Raises:
        UserError: shapes that do not belong together.
    """

    fields: np.ndarray
    times: np.ndarray
    channels: Channels
    grid: Any
    step: int | None = None
    folder: Path | None = None
    copy: node_disk.Copy | None = None

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
    target = copy = None
    if memory:
        _require_memory(archive)
        fields = np.empty(archive.shape, np.float32)
        _fill(fields, archive)
    else:
        target = _on_disk(archive, Path(folder or os.environ.get(VARIABLE) or FOLDER))
        copy = _on_node(target)
        fields = np.load(copy.path if copy else target / _FIELDS, mmap_mode="r")
    return Staged(fields, archive.times, archive.channels, archive.grid, archive.step, target, copy)


def _on_node(target: Path) -> node_disk.Copy | None:
    """The copy of a staged array on this node's own disk, where there is one."""
    disk = node_disk.root()
    if disk is None:
        return None
    meta = json.loads((target / _META).read_text(encoding="utf-8"))
    return node_disk.copied(target / _FIELDS, meta["sha256"], disk)


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
    with _locked(target):
        if not (target / _META).exists():
            _clean(root, target.name)
            _require_disk(archive, root)
            _write(archive, target)
    return target


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time; the operating system lets go however a process ends."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _lock_of(target).open("a")
    except OSError as error:
        raise UserError(
            f"{target.parent}: staged data cannot be kept there: {atomic.reason(error)}; set "
            f"{VARIABLE}"
        ) from error
    with file:
        locks.take(file, wait=True)
        yield


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _write(archive: Archive, target: Path) -> None:
    """Under another name until it is whole.

    Where nodes do not hear of each other's locks, each writes one, and the first that is whole
    gets the name.
    """
    part = target.with_name(f".{target.name}.{_node()}.{os.getpid()}.part")
    try:
        part.mkdir()
        fields = np.lib.format.open_memmap(
            part / _FIELDS, mode="w+", dtype=np.float32, shape=archive.shape
        )
        _fill(fields, archive)
        fields.flush()
        with (part / _FIELDS).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        meta = {
            "version": _VERSION,
            "seen": [part.seen for part in archive.parts],
            "shape": archive.shape,
            "sha256": sha256,
        }
        atomic.write(part / _META, json.dumps(meta))
        os.replace(part, target)
    except OSError as error:
        if (target / _META).exists():
            return
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


def _clean(root: Path, ours: str) -> None:
    """Deletes what was cut short, and what is of earlier layouts or states of files."""
    for part in root.glob(".*.*.*.part"):
        if _is_left(part, ours):
            shutil.rmtree(part, ignore_errors=True)
    for meta in root.glob(f"*/{_META}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(meta.read_text(encoding="utf-8"))
            if said.get("version") != _VERSION or any(_changed(one) for one in said["seen"]):
                shutil.rmtree(meta.parent, ignore_errors=True)


def _is_left(part: Path, ours: str) -> bool:
    """Whether nobody writes it any more; of the array `ours` this process has the lock."""
    _, name, node, process, _ = part.name.split(".")
    with suppress(FileNotFoundError), _lock_of(part.with_name(name)).open("a") as file:
        if name != ours and not locks.take(file):
            return False
        if time.time() - part.stat().st_mtime > LEFT:
            return True
    return node == _node() and not Path(f"/proc/{process}").exists()


def _node() -> str:
    return platform.node().partition(".")[0]


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

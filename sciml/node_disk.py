"""Copies of files on a node's own disk: made once on a node, checked, shared by its processes.

A copy is named by the SHA-256 of its content, so one that is there is used again, by the next job
too. One process makes it while the others of the node wait at a lock; if it dies, the operating
system lets go of the lock and the next one begins again. Whoever uses a copy holds a shared lock on
it. The copies together take `KEPT` of the disk at most: the one that was not used for longest goes
first, never one in use.
"""

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import samestat
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, final

from sciml import atomic, locks
from sciml.contracts import UserError

#: The folder, with variables that are set on the node: $SLURM_TMPDIR/sciml; no copies where empty.
VARIABLE = "SCIML_NODE_DISK"
#: Share of the disk that copies take together before old ones are deleted.
KEPT = 0.5
#: Bytes read at once.
PIECE = 16 * 2**20
_PART, _LOCK = ".part", ".lock"


@final
@dataclass(frozen=True)
class Copy:
    """A file that none of us deletes while this object lives.

    Args:
        path: of the copy.
        file: open, and locked for all who share it.
    """

    path: Path
    file: IO


def root() -> Path | None:
    """The folder of the copies on this node; None where no copies are wanted.

    Raises:
        UserError: a variable in its path is not set here.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return None
    expanded = os.path.expanduser(os.path.expandvars(wanted))
    if "$" in expanded:
        raise UserError(
            f"{VARIABLE}: a variable of {wanted} is not set on {platform.node()}; give "
            "hpc.node_disk=PATH, or hpc.node_disk=null for no copies"
        )
    return Path(expanded)


def copied(source: Path, sha256: str, folder: Path) -> Copy:
    """The copy of a file in `folder`, made first where it is not there.

    Args:
        sha256: of the file's content, 64 hexadecimal digits.

    Raises:
        UserError: too little room, another content, a folder that is not ours to write.
    """
    with _refusing(folder):
        _own(folder)
        target = folder / f"{sha256[:32]}{source.suffix}"
        size = source.stat().st_size
        while (copy := _used(target, size)) is None:
            with _lock_of(target).open("a") as alone:
                locks.take(alone, wait=True)
                if not _is_whole(target, size):  # nobody else was faster
                    _copy(source, target, sha256, size)
        return copy


def _used(target: Path, size: int) -> Copy | None:
    """The copy, kept from now on, with the time of its last use set; None where there is none."""
    with suppress(FileNotFoundError):
        file = target.open("rb")
        locks.take(file, shared=True, wait=True)
        if _is_whole(target, size) and samestat(target.stat(), os.fstat(file.fileno())):
            os.utime(target)
            return Copy(target, file)
        file.close()
    return None


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: copies cannot be kept there: {atomic.reason(error)}; {_remedy()}"
        ) from error


def _remedy() -> str:
    return f"give another disk by hpc.node_disk=PATH ({VARIABLE}), or null for no copies"


def _own(folder: Path) -> None:
    """Makes the folder; on a disk for all its name may be taken by somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user; {_remedy()}")
    with NamedTemporaryFile(dir=folder) as probe, open(probe.name) as again:
        if locks.take(probe) and locks.take(again):
            raise UserError(f"{folder} has no locks, so it is no disk of a node; {_remedy()}")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}{_LOCK}")


def _is_whole(target: Path, size: int) -> bool:
    """A copy has its name, which is its content's, from the moment it is whole."""
    return target.is_file() and target.stat().st_size == size


def _copy(source: Path, target: Path, sha256: str, size: int) -> None:
    """Under another name until every byte is there and checked; the lock of `target` is ours."""
    target.unlink(missing_ok=True)  # of another size: somebody has meddled with it
    part = target.with_name(f".{target.name}{_PART}")
    begin = time.monotonic()
    try:
        with part.open("wb") as file:
            _reserve(file, source, size)
            found = _write(source, file)
        if found != sha256:
            raise UserError(
                f"{source}: expected a content of SHA-256 {sha256[:16]}…, read {found[:16]}…; it "
                f"was changed or damaged: delete {source.parent} to have it made again"
            )
        part.chmod(0o400)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    took = time.monotonic() - begin
    print(
        f"copied {size / 2**30:.2f} GiB to {target} on {platform.node()} in {took:.1f} s",
        file=sys.stderr,
    )


def _write(source: Path, file: IO) -> str:
    """Writes a file's bytes into an open one, to the disk; the SHA-256 of what was read."""
    digest = hashlib.sha256()
    with source.open("rb") as reading:
        while piece := reading.read(PIECE):
            digest.update(piece)
            file.write(piece)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _reserve(file: IO, source: Path, size: int) -> None:
    """Has the disk set the bytes of a copy aside, one process at a time.

    Raises:
        UserError: they are not there, and no copy is left that nobody uses.
    """
    folder = Path(file.name).parent
    with (folder / _LOCK).open("a") as alone:
        locks.take(alone, wait=True)
        _make_room(folder, size)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise UserError(
                f"{folder} on {platform.node()}: expected {size} bytes of room for a copy of "
                f"{source}, got {free} available; {_remedy()}"
            )
        if size:
            os.posix_fallocate(file.fileno(), 0, size)


def _make_room(folder: Path, size: int) -> None:
    """Deletes what killed processes left, and old copies while there are too many of them."""
    for part in folder.glob(f".*{_PART}"):
        _delete_unused(part, part.with_suffix(_LOCK))
    copies = [path for path in folder.iterdir() if not path.name.startswith(".")]
    copies.sort(key=lambda path: path.stat().st_mtime_ns)
    limit = KEPT * shutil.disk_usage(folder).total
    for path in copies:
        together = size + sum(one.stat().st_size for one in copies if one.exists())
        if size <= shutil.disk_usage(folder).free and together <= limit:
            return
        _delete_unused(path, path)


def _delete_unused(path: Path, lock: Path) -> None:
    with suppress(OSError), lock.open("rb") as file:
        if locks.take(file):
            path.unlink(missing_ok=True)

"""Files never half-written: a temporary file beside the target, synced, then renamed over it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sciml import locks
from sciml.contracts import UserError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; it becomes `target`, or is deleted on failure.

    The temporary file never lies in TMPDIR: that may be another file system, and a rename a copy.

    Raises:
        UserError: the folder cannot be written, or the disk is full; the old target is untouched.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(
            f"{target} could not be written: {reason(error)}; what stood there before is kept; "
            "free the disk or make the folder writable, then start the same command again"
        ) from error
    finally:
        with suppress(OSError):  # a disk that was made read-only keeps it; `remove_stale` does not
            temporary.unlink(missing_ok=True)


def write(target: Path, content: str | bytes) -> None:
    """Write text or bytes to `target` so that a whole file stands there at every moment."""
    with replacing(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Ask the operating system to have the file's bytes on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def keep_as(target: Path, previous: Path) -> None:
    """Give the file at `target`, if there is one, the second name `previous`, atomically."""
    if not target.exists():
        return
    link = previous.with_name(f".{previous.name}.{os.getpid()}.part")
    link.unlink(missing_ok=True)
    os.link(target, link)
    os.replace(link, previous)


@contextmanager
def held(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder for this process; the operating system lets go of it however the process ends.

    A file system without locks, as parallel ones are mounted at times, holds nothing.

    Args:
        patience: seconds to wait for another process to let go.

    Raises:
        UserError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise UserError(f"{folder} could not be written: {reason(error)}") from error
    end = time.monotonic() + patience
    with file:
        while not locks.take(file):
            if time.monotonic() >= end:
                raise UserError(
                    f"{folder} is being trained by another process; wait for it, or choose "
                    "another run_dir"
                )
            time.sleep(0.2)
        yield


def remove_stale(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """One line of what the operating system (or a library above it) said."""
    said = getattr(error, "strerror", None) or str(error)
    return said.splitlines()[0][:160] if said else type(error).__name__

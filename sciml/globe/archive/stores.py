"""NetCDF files and Zarr stores while they are written: axes, variables, blocks of them.

Both are marked incomplete from the moment they are made until `complete()`.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe.archive.netcdf_store import NetcdfStore
from sciml.globe.archive.opening import INCOMPLETE, STATUS, is_zarr
from sciml.globe.archive.zarr_store import ZarrStore

#: Bytes free below which a disk counts as full.
ROOM = 1 << 16


class Store(Protocol):
    """A store that is being written."""

    def axis(
        self, name: str, dims: tuple[str, ...], values: np.ndarray, attributes: Mapping[str, Any]
    ) -> None:
        """A coordinate; one that has no values yet grows."""
        ...

    def field(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        block: tuple[int, ...],
        attributes: Mapping[str, Any],
    ) -> None:
        """A float32 variable, NaN until written.

        Along the leading axes `chunk` entries are compressed together, `block` written at once.
        """
        ...

    def put(self, name: str, start: tuple[int, ...], values: np.ndarray) -> None:
        """Writes `values` from `start` on along the leading axes; the first axis grows."""
        ...

    def flush(self) -> None:
        """Has what was put on the disk, so that a kill loses nothing of it."""
        ...

    def get(self, name: str) -> np.ndarray: ...

    def whole(self, name: str, start: tuple[int, ...]) -> bool:
        """Whether the block has been written whose last entry is at `start`."""
        ...

    def note(self, attributes: Mapping[str, Any]) -> None:
        """Sets attributes of the store."""
        ...

    @property
    def attributes(self) -> dict[str, Any]: ...

    def complete(self) -> None:
        """Marks it whole."""
        ...

    def close(self) -> None: ...


def suffix_of(path: Path) -> str:
    """`.zarr` or `.nc`, which decides the format.

    Raises:
        UserError: another one.
    """
    if path.suffix not in (".zarr", ".nc"):
        raise UserError(f"{path}: expected a name that ends in .zarr or .nc")
    return path.suffix


def create(path: Path) -> Store:
    """A new, empty store, marked incomplete.

    Raises:
        UserError: something is there already, or the folder cannot be written.
    """
    if path.exists():
        raise UserError(f"{path} is there already; delete it, or give another name")
    zarr = suffix_of(path) == ".zarr"
    with writing(path, begun=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if zarr else path.touch(exist_ok=False)  # ours from here on, or refused
        with undone(path):
            store = ZarrStore(path, "w-") if zarr else NetcdfStore(path, "w")
            store.note({STATUS: INCOMPLETE})
    return store


def reopen(path: Path, mode: str = "r+") -> Store:
    """A store that was begun earlier, to be gone on with.

    Raises:
        UserError: it cannot be opened.
    """
    kind = ZarrStore if is_zarr(str(path)) else NetcdfStore
    try:
        return kind(path, mode)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(
            f"{path} was begun but cannot be gone on with ({atomic.reason(error)}); delete it"
        ) from error


@contextmanager
def writing(path: Path, begun: bool = True) -> Iterator[None]:
    """Turns what the operating system or a library says into one line.

    Args:
        begun: there is something to go on with.

    Raises:
        UserError: the disk is full, the folder cannot be written, a package is absent.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: {error.name} is needed to write it; pip install 'sciml-suite[archive]', or "
            "give a name that ends in .nc"
        ) from error
    except (OSError, RuntimeError) as error:
        full = _full(path, error)
        said = "the disk is full" if full else atomic.reason(error)
        if begun:
            left = (
                "it is left marked incomplete: make room, then start the same command again, which "
                "goes on where it stopped"
            )
        else:
            left = "nothing of it is left: " + ("make room" if full else "give another name")
        raise UserError(f"{path} could not be written: {said}; {left}") from error


def _full(path: Path, error: BaseException) -> bool:
    """By the error, or by the room there is: HDF5 does not hand the error on."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    room = shutil.disk_usage(folder)
    return not isinstance(error, FileExistsError) and room.total > 0 and room.free < ROOM


@contextmanager
def undone(path: Path) -> Iterator[None]:
    """Takes a store away that could not be begun; only for whoever has made it just now."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise

"""NetCDF files and Zarr stores while they are written: axes, variables, blocks of them.

Both are marked incomplete from the moment they are made until `complete()`.
"""

import errno
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe.archive.opening import COMPLETE, INCOMPLETE, STATUS, is_zarr

if TYPE_CHECKING:
    import zarr

#: Entries of a growing axis in one piece of it.
PIECE = 4096
#: What NetCDF fills int64 with lies below.
_UNWRITTEN = -(2**62)


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
    kind = ZarrStore if suffix_of(path) == ".zarr" else NetcdfStore
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        store = kind(path, "w-")
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
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system or a library says into one line.

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
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        said = "the disk is full" if full else atomic.reason(error)
        raise UserError(
            f"{path} could not be written: {said}; it is left marked incomplete: make room, then "
            "start the same command again, which goes on where it stopped"
        ) from error


@final
class ZarrStore:
    """Zarr, format 3; several entries of the leading axes are one file (a shard)."""

    def __init__(self, path: Path, mode: Any) -> None:
        import zarr

        self.path = path
        self.group: zarr.Group = zarr.open_group(path, mode=mode, zarr_format=3)

    def axis(
        self, name: str, dims: tuple[str, ...], values: np.ndarray, attributes: Mapping[str, Any]
    ) -> None:
        chunks = tuple(n or PIECE for n in values.shape)
        array = self._array(name, dims, values.shape, values.dtype, attributes, chunks=chunks)
        if values.size:
            array[...] = values

    def field(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        block: tuple[int, ...],
        attributes: Mapping[str, Any],
    ) -> None:
        rest = shape[len(block) :]
        self._array(
            name, dims, shape, np.dtype("float32"), attributes,
            chunks=(*chunk, *rest), shards=(*block, *rest), fill_value=float("nan"),
        )  # fmt: skip

    def _array(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype,
        attributes: Mapping[str, Any],
        **layout: Any,
    ) -> "zarr.Array":
        return self.group.create_array(
            name, shape=shape, dtype=dtype, dimension_names=dims, attributes=dict(attributes),
            config={"write_empty_chunks": True}, **layout,
        )  # fmt: skip

    def put(self, name: str, start: tuple[int, ...], values: np.ndarray) -> None:
        array: Any = self.group[name]
        stop = start[0] + values.shape[0]
        if stop > array.shape[0]:
            array.resize((stop, *array.shape[1:]))
        array[tuple(slice(a, a + n) for a, n in zip(start, values.shape, strict=False))] = values

    def flush(self) -> None:
        """Every file is whole as soon as it is there."""

    def get(self, name: str) -> np.ndarray:
        array: Any = self.group[name]
        return np.asarray(array[...])

    def whole(self, name: str, start: tuple[int, ...]) -> bool:
        array: Any = self.group[name]
        corner = (*start, *[0] * (array.ndim - len(start)))
        numbers = [a // n for a, n in zip(corner, array.shards or array.chunks, strict=True)]
        if not (self.path / name / "c" / "/".join(map(str, numbers))).exists():
            return False
        try:
            array[tuple(slice(a, a + 1) for a in corner)]  # a shard cut short fails its checksum
        except (ValueError, OSError, RuntimeError):
            return False
        return True

    def note(self, attributes: Mapping[str, Any]) -> None:
        self.group.attrs.update(dict(attributes))

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.group.attrs)

    def complete(self) -> None:
        """One file of metadata for all, so that readers open it at once."""
        import zarr

        self.note({STATUS: COMPLETE})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            zarr.consolidate_metadata(self.path, zarr_format=3)

    def close(self) -> None:
        self.group.store.close()


@final
class NetcdfStore:
    """NetCDF 4, by one process."""

    def __init__(self, path: Path, mode: Any) -> None:
        import netCDF4

        self.path = path
        self.file: netCDF4.Dataset = netCDF4.Dataset(path, {"w-": "x"}.get(mode, mode))
        self.file.set_auto_mask(False)

    def axis(
        self, name: str, dims: tuple[str, ...], values: np.ndarray, attributes: Mapping[str, Any]
    ) -> None:
        self._dimensions(dims, values.shape)
        variable = self.file.createVariable(name, values.dtype, dims)
        variable.setncatts(dict(attributes))
        if values.size:
            variable[...] = values

    def field(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        block: tuple[int, ...],
        attributes: Mapping[str, Any],
    ) -> None:
        self._dimensions(dims, shape)
        variable = self.file.createVariable(
            name, "f4", dims, fill_value=np.float32("nan"),
            chunksizes=(*chunk, *shape[len(chunk) :]),
        )  # fmt: skip
        variable.setncatts(dict(attributes))

    def _dimensions(self, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
        for dim, size in zip(dims, shape, strict=True):
            if dim not in self.file.dimensions:
                self.file.createDimension(dim, size or None)

    def put(self, name: str, start: tuple[int, ...], values: np.ndarray) -> None:
        variable = self.file.variables[name]
        at = tuple(slice(a, a + n) for a, n in zip(start, values.shape, strict=False))
        variable[at] = values

    def flush(self) -> None:
        self.file.sync()

    def get(self, name: str) -> np.ndarray:
        """Values of an axis, up to the last that was written."""
        values = np.asarray(self.file.variables[name][...])
        return values[values > _UNWRITTEN] if values.dtype == np.int64 else values

    def whole(self, name: str, start: tuple[int, ...]) -> bool:
        block = self.file.variables[name][start]
        return bool(np.isfinite(block).any())

    def note(self, attributes: Mapping[str, Any]) -> None:
        self.file.setncatts(dict(attributes))
        self.file.sync()

    @property
    def attributes(self) -> dict[str, Any]:
        return {name: self.file.getncattr(name) for name in self.file.ncattrs()}

    def complete(self) -> None:
        self.note({STATUS: COMPLETE})

    def close(self) -> None:
        self.file.close()

"""A Zarr store while it is written."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.globe.archive.opening import COMPLETE, STATUS

if TYPE_CHECKING:
    import zarr

#: Entries of a growing axis in one piece of it.
PIECE = 4096


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

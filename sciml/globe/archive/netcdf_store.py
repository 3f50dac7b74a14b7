"""A NetCDF file while it is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.globe.archive.opening import COMPLETE, STATUS

if TYPE_CHECKING:
    pass

#: What NetCDF fills int64 with lies below.
_UNWRITTEN = -(2**62)


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
        rest = shape[len(block) :]
        variable = self.file.createVariable(
            name, "f4", dims, fill_value=np.float32("nan"),
            chunksizes=[min(c, n or c) for c, n in zip(chunk, shape, strict=False)] + [*rest],
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

    def piece(self, name: str, start: tuple[int, ...], count: tuple[int, ...]) -> np.ndarray:
        """Values from `start` on, so many along the leading axes."""
        at = tuple(slice(a, a + n) for a, n in zip(start, count, strict=True))
        return np.asarray(self.file.variables[name][at])

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

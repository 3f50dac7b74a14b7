"""Reads a reference solution: a NetCDF file, or an `.npz` of one array per coordinate and field.

Either on a grid (coordinates are axes `[k]`; in an `.npz` fields have the shape of the axes in the
order of the coordinates) or scattered (all arrays `[n]`); nan where there is no value.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final
from zipfile import BadZipFile

import numpy as np

from sciml.contracts import UserError


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """A reference solution.

    Args:
        x: `[n, d]`, where it is known.
        values: name of a field → `[n]`.
        axes: of the grid; None if scattered.
        mask: shape of the grid, where it is known; None if scattered.
    """

    x: np.ndarray
    values: dict[str, np.ndarray]
    axes: list[np.ndarray] | None = None
    mask: np.ndarray | None = None


def read(path: Path, coordinates: tuple[str, ...], fields: tuple[str, ...]) -> Reference:
    """The reference solution of those of `fields` the file has, where all of them have a value."""
    arrays = _arrays(path, coordinates)
    missing = [name for name in coordinates if name not in arrays]
    known = [name for name in fields if name in arrays]
    if missing or not known:
        raise UserError(
            f"reference: expected arrays {coordinates} and some of {fields} in {path.name}, "
            f"got {tuple(arrays)}"
        )
    axes = [arrays[name] for name in coordinates]
    shape = tuple(len(axis) for axis in axes)
    values = {name: arrays[name] for name in known}
    scattered = all(value.shape == axes[0].shape for value in values.values())
    if len(axes) > 1 and len(set(shape)) == 1 and scattered:
        mask = np.all([np.isfinite(value) for value in values.values()], axis=0)
        known = {name: value[mask] for name, value in values.items()}
        return Reference(np.stack(axes, axis=1)[mask], known)
    for name, value in values.items():
        if value.shape != shape:
            raise UserError(
                f"reference: expected {name} of shape {shape} for {coordinates} in {path.name}, "
                f"got {value.shape}"
            )
    mask = np.all([np.isfinite(value) for value in values.values()], axis=0)
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[mask]
    return Reference(x, {name: value[mask] for name, value in values.items()}, axes, mask)


def _arrays(path: Path, coordinates: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(
            f"reference: expected a file, got {path}, which does not exist; "
            "make it with the command in the case's README"
        )
    try:
        arrays = _netcdf(path, coordinates) if path.suffix == ".nc" else _npz(path)
    except (ValueError, OSError, BadZipFile) as error:
        raise UserError(f"reference: expected an .nc or .npz file, got {path}: {error}") from error
    return {name: np.asarray(array, dtype=float) for name, array in arrays.items()}


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return {name: array for name, array in arrays.items() if array.dtype.kind in "fiu"}


def _netcdf(path: Path, coordinates: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Numeric variables, axes in the order of the coordinates."""
    import xarray

    dataset = xarray.load_dataset(path, decode_timedelta=False)
    ordered = dataset.transpose(*(c for c in coordinates if c in dataset.dims), ...)
    return {str(k): v.to_numpy() for k, v in ordered.variables.items() if v.dtype.kind in "fiu"}

"""Opens a NetCDF file or Zarr store as it is, lazily; a file that cannot be read is one line."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import xarray

from sciml import atomic
from sciml.contracts import UserError
from sciml.globe.archive.wholeness import require_whole

#: Root attribute of stores of ours, and its value until they are whole.
STATUS, INCOMPLETE, COMPLETE = "status", "incomplete", "complete"
_ZARR = ("zarr.json", ".zgroup", ".zmetadata")

Source = str | Path | Sequence[str | Path]


def paths(source: Source) -> list[str]:
    """The files and stores of a path, a pattern such as `era5_*.nc`, or a list of them.

    Raises:
        UserError: nothing is there.
    """
    if isinstance(source, (list, tuple)):
        return [path for entry in source for path in paths(entry)]
    text = str(source)
    found = sorted(glob(text)) if any(sign in text for sign in "*?[") else [text]
    if not found or not ("://" in text or all(Path(path).exists() for path in found)):
        raise UserError(f"archive: expected a NetCDF file or Zarr store at {text}, found nothing")
    return found


def is_zarr(path: str) -> bool:
    """Whether a path is a Zarr store and not a file."""
    return "://" in path or any((Path(path) / name).exists() for name in _ZARR)


def dataset(path: str) -> xarray.Dataset:
    """Everything in a file or store, scaled, fill values as NaN, times as they are stored.

    Raises:
        UserError: not NetCDF and not Zarr, truncated, or a store that is not whole.
    """
    engine = "zarr" if is_zarr(path) else "netcdf4"
    if engine == "netcdf4" and Path(path).is_dir():
        raise UserError(f"{path}: expected a NetCDF file or Zarr store, got another folder")
    if engine == "netcdf4":
        with reading(path):
            require_whole(path)
    with reading(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=xarray.SerializationWarning)
        warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
        found = xarray.open_dataset(
            path, engine=engine, chunks=None, cache=False, decode_times=False, decode_coords=False
        )
    if found.attrs.get(STATUS) == INCOMPLETE:
        found.close()
        raise UserError(
            f"{path} is marked incomplete: its writing was cut short; start the command that wrote "
            "it again, which goes on where it stopped"
        )
    return found


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what a library says of a broken file, or of a store out of reach, into one line.

    Raises:
        UserError: names the file.
    """
    broken = (OSError, ValueError, RuntimeError, IndexError, KeyError)
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        needed = "sciml-suite[archive]" if error.name in ("zarr", "dask") else error.name
        raise UserError(
            f"{path} could not be opened: {atomic.reason(error)}"
            + (f"; pip install '{needed}'" if needed else "")
        ) from error
    except Exception as error:
        if "://" not in path and not isinstance(error, broken):
            raise
        remedy = (
            "check the address and the network"
            if "://" in path
            else "it may be truncated, of another format, or have changed while it was read: get "
            "it again"
        )
        raise UserError(f"{path} could not be read: {atomic.reason(error)}; {remedy}") from error

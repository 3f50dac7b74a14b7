"""Opens a forecast of ours or anybody's in WeatherBench2's layout, lazily."""

import warnings
from pathlib import Path

import xarray

from sciml.contracts import UserError
from sciml.globe.archive import opening
from sciml.globe.schema import NUMBER, REALIZATION


def open_forecast(path: str | Path) -> xarray.Dataset:
    """The forecasts in a Zarr store or NetCDF file, read when they are looked at.

    Returns:
        Variables over (time, prediction_timedelta, [level], longitude, latitude): time is when a
        forecast starts, prediction_timedelta how far it reaches. The members of an ensemble lie
        along `number`, also where the file says realization.

    Raises:
        UserError: nothing there, not a forecast, or one that is marked incomplete.
    """
    (found,) = opening.paths(path)
    opening.dataset(found).close()
    with opening.reading(found), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
        engine = "zarr" if opening.is_zarr(found) else "netcdf4"
        data = xarray.open_dataset(found, engine=engine, chunks=None, decode_timedelta=True)
    absent = [dim for dim in ("time", "prediction_timedelta") if dim not in data.dims]
    if absent:
        raise UserError(
            f"{found}: expected a forecast with axes time and prediction_timedelta, got "
            f"{', '.join(map(str, data.dims))}; a series of states is opened by open_archive"
        )
    if REALIZATION in data.dims:
        data = data.rename({REALIZATION: NUMBER})
    return data

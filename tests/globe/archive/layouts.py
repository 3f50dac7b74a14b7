"""One atmosphere in the layouts in which files of others have it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray

from sciml.globe.channels import Channels

LAT = np.linspace(-90, 90, 7)
LON = np.arange(8) * 45.0
LEVELS = np.array([500, 850])
TIMES = np.datetime64("2020-01-01T00") + np.arange(4) * np.timedelta64(6, "h")
CHANNELS = Channels.named(["z500", "u850", "t500", "u500", "t2m", "msl"])


def truth() -> np.ndarray:
    """float32 `[T, C, lat, lon]` in canonical order."""
    fields = np.random.default_rng(3).normal(size=(4, 6, 7, 8)) * 5
    fields[:, 0] += 54e3
    fields[:, 2] += 250
    fields[:, 4] += 280
    fields[:, 5] = 1e5 + 100 * fields[:, 5]
    return fields.astype(np.float32)


def weatherbench() -> xarray.Dataset:
    """WeatherBench2: long names, longitude before latitude, no attributes of levels."""
    z500, u850, t500, u500, t2m, msl = np.moveaxis(truth(), 1, 0)
    other = truth()[:, 0] * 0 + 20e3
    levels = ("time", "level", "longitude", "latitude")
    surface = ("time", "longitude", "latitude")

    def stacked(*fields: np.ndarray) -> np.ndarray:
        return np.stack(fields, 1).swapaxes(-1, -2)

    return xarray.Dataset(
        {
            "geopotential": (levels, stacked(z500, other), {"units": "m**2 s**-2"}),
            "temperature": (levels, stacked(t500, t500 + 20), {"units": "K"}),
            "u_component_of_wind": (levels, stacked(u500, u850), {"units": "m s**-1"}),
            "2m_temperature": (surface, t2m.swapaxes(-1, -2), {"units": "K"}),
            "mean_sea_level_pressure": (surface, msl.swapaxes(-1, -2), {"units": "Pa"}),
        },
        {"time": TIMES, "level": LEVELS, "longitude": LON, "latitude": LAT},
    )


def arco() -> xarray.Dataset:
    """ARCO-ERA5: latitude before longitude and from the north, and more of everything."""
    data = weatherbench().transpose("time", "level", "latitude", "longitude")
    more = data.reindex(level=[1, 200, 500, 850, 1000], method="nearest")
    return more.isel(latitude=slice(None, None, -1))


def cds() -> xarray.Dataset:
    """The Climate Data Store's NetCDF: short names, valid_time, pressure_level, scalars."""
    data = arco().rename(
        {"time": "valid_time", "level": "pressure_level", "geopotential": "z", "temperature": "t",
         "u_component_of_wind": "u", "2m_temperature": "t2m", "mean_sea_level_pressure": "msl"}
    )  # fmt: skip
    data["pressure_level"].attrs = {"units": "hPa", "positive": "down"}
    data["latitude"].attrs = {"units": "degrees_north", "standard_name": "latitude"}
    data = data.isel(pressure_level=slice(None, None, -1))
    return data.assign_coords(number=0, expver=("valid_time", ["0001"] * 4))


def cmip() -> xarray.Dataset:
    """CMIP: plev in Pa, lon from -180, ps in hPa as some have it, height of the 2-m temperature."""
    data = arco().rename(
        {"level": "plev", "geopotential": "zg", "temperature": "ta", "latitude": "lat",
         "u_component_of_wind": "ua", "2m_temperature": "tas", "longitude": "lon",
         "mean_sea_level_pressure": "psl"}
    )  # fmt: skip
    data = data.assign_coords(plev=data.plev * 100.0, lon=(data.lon + 180) % 360 - 180)
    data = data.sortby("lon").assign(zg=data.zg / 9.80665, psl=data.psl / 100)
    data["plev"].attrs = {"units": "Pa", "standard_name": "air_pressure"}
    data["zg"].attrs, data["psl"].attrs = {"units": "m"}, {"units": "hPa"}
    data = data.assign(tas=data.tas - 273.15).assign_coords(height=2.0)
    data["tas"].attrs = {"units": "degC"}
    return data.transpose("lat", "plev", "lon", "time")


def zarr(path: Path, data: xarray.Dataset, version: int) -> Path:
    """As a Zarr store of that version of the format."""
    data.to_zarr(path / "set.zarr", zarr_format=version, consolidated=version == 2)
    return path / "set.zarr"


def netcdf(path: Path, data: xarray.Dataset) -> Path:
    """As a NetCDF file."""
    data.to_netcdf(path / "set.nc")
    return path / "set.nc"


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "WeatherBench2, Zarr 2": lambda path: zarr(path, weatherbench(), 2),
    "WeatherBench2, Zarr 3": lambda path: zarr(path, weatherbench(), 3),
    "ARCO-ERA5": lambda path: zarr(path, arco(), 2),
    "CDS": lambda path: netcdf(path, cds()),
    "CMIP": lambda path: netcdf(path, cmip()),
}

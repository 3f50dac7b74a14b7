"""Every name, axis, order and type of WeatherBench2's layout."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

from sciml.calculus.sphere.grids import equiangular
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.globe.archive import open_archive
from sciml.globe.channels import Channel, Channels
from sciml.globe.writer import ArchiveWriter, ForecastWriter

GRID = equiangular(5)
CHANNELS = Channels.named(["z850", "t500", "z500", "msl", "u10"])
STARTS = 1577836800 + 43200 * np.arange(3)
LEADS = 21600 * np.arange(1, 6)
#: WeatherBench2's mock of a forecast has these axes and types (weatherbench2/schema.py).
COORDINATES = {
    "time": ("datetime64[ns]", ("time",)),
    "prediction_timedelta": ("timedelta64[ns]", ("prediction_timedelta",)),
    "level": ("int64", ("level",)),
    "longitude": ("float64", ("longitude",)),
    "latitude": ("float64", ("latitude",)),
}
SURFACE = ("time", "prediction_timedelta", "longitude", "latitude")
LEVELS = ("time", "prediction_timedelta", "level", "longitude", "latitude")
VARIABLES = {
    "geopotential": LEVELS,
    "temperature": LEVELS,
    "mean_sea_level_pressure": SURFACE,
    "10m_u_component_of_wind": SURFACE,
}


def forecasts() -> np.ndarray:
    """`[start, lead, C, lat, lon]`."""
    shape = (len(STARTS), len(LEADS), len(CHANNELS), *GRID.shape)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def written(path: Path) -> Path:
    with ForecastWriter(path, CHANNELS, GRID, STARTS, LEADS, attributes={"title": "test"}) as out:
        for start, states in zip(STARTS, forecasts(), strict=True):
            out.put(start, states)
    return path


@pytest.fixture(params=["zarr", "nc"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> xarray.Dataset:
    path = written(tmp_path / f"forecast.{request.param}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xarray.open_zarr(path) if request.param == "zarr" else xarray.open_dataset(path)
    return found.load()


def test_names_axes_order_and_types(data: xarray.Dataset) -> None:
    assert {str(n): (str(v.dtype), v.dims) for n, v in data.coords.items()} == COORDINATES
    assert {str(n): v.dims for n, v in data.data_vars.items()} == VARIABLES
    assert {str(v.dtype) for v in data.data_vars.values()} == {"float32"}


def test_values_lie_where_the_coordinates_say(data: xarray.Dataset) -> None:
    assert data.level.values.tolist() == [500, 850]
    assert (np.diff(data.latitude) > 0).all()
    assert data.longitude.values[0] == 0 and data.longitude.values[-1] < 360
    one = {"time": "2020-01-01T12", "prediction_timedelta": np.timedelta64(18, "h"),
           "latitude": GRID.lat[3], "longitude": GRID.lon[6]}  # fmt: skip
    value = forecasts()[1, 2, :, 3, 6]
    assert (
        data.geopotential.sel(one).sel(level=[850, 500]).values.tolist() == value[[0, 2]].tolist()
    )
    assert data.temperature.sel(one).sel(level=500) == value[1]
    assert np.isnan(data.temperature.sel(level=850)).all()  # not a channel
    assert data.mean_sea_level_pressure.sel(one) == value[3]


def test_attributes_follow_cf(data: xarray.Dataset) -> None:
    """What an independent checker of CF-1.11 asks of every variable."""
    assert data.attrs["Conventions"] == "CF-1.11" and data.attrs["title"] == "test"
    assert data.attrs["status"] == "complete" and "written by sciml" in data.attrs["history"]
    for variable in data.data_vars.values():
        assert variable.attrs["units"] and variable.attrs["standard_name"]
        assert variable.attrs["long_name"]
    assert data.geopotential.attrs["units"] == "m2 s-2"
    standard = {str(n): v.attrs.get("standard_name") for n, v in data.coords.items()}
    assert standard == {
        "time": "forecast_reference_time", "prediction_timedelta": "forecast_period",
        "level": "air_pressure", "longitude": "longitude", "latitude": "latitude",
    }  # fmt: skip
    axes = {data[n].attrs["axis"]: n for n in ("time", "level", "longitude", "latitude")}
    assert axes == {"T": "time", "Z": "level", "X": "longitude", "Y": "latitude"}
    assert data.level.attrs["units"] == "hPa" and data.level.attrs["positive"] == "down"
    assert data.time.encoding["calendar"] == "proleptic_gregorian"
    assert all("_FillValue" not in v.encoding for v in data.coords.values())


def test_states_have_their_own_layout(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "set.zarr", CHANNELS, GRID) as out:
        out.append(STARTS, forecasts()[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(tmp_path / "set.zarr")
    assert data.geopotential.dims == ("time", "level", "longitude", "latitude")
    assert data.mean_sea_level_pressure.dims == ("time", "longitude", "latitude")
    assert data.time.attrs["standard_name"] == "time"
    expected = forecasts()[:, 0, 2].swapaxes(-1, -2)
    assert np.array_equal(data.geopotential.sel(level=500), expected)


def test_depths_and_cells(tmp_path: Path) -> None:
    grid = ReducedGaussian(3)
    channels = Channels((
        *Channels.named(["thetao_0.5", "thetao_10", "uo_10"], axis="depth"),
        Channel("flux", "momentum_flux", 3.0, "mPa", axis="ray"),
    ))  # fmt: skip
    states = np.random.default_rng(0).normal(size=(2, 4, *grid.shape)).astype(np.float32)
    with ArchiveWriter(tmp_path / "set.zarr", channels, grid) as out:
        out.append([0, 3600], states)
    data = xarray.open_zarr(tmp_path / "set.zarr")
    assert data.sea_water_potential_temperature.dims == ("time", "depth", "cell")
    assert data.momentum_flux.dims == ("time", "ray", "cell")
    assert data.depth.values.tolist() == [0.5, 10] and data.depth.attrs["positive"] == "down"
    assert data.depth.dtype == np.float64 and data.depth.attrs["units"] == "m"
    assert np.array_equal(data.sea_water_potential_temperature.values, states[:, :2])
    assert np.array_equal(data.latitude, grid.cells[0])
    archive = open_archive(tmp_path / "set.zarr", channels)
    assert archive.grid.kind == "octahedral" and np.array_equal(archive.read(slice(None)), states)

"""Archives of every layout give the same canonical fields; what is wrong with one is one line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray
from globe.archive import layouts, sets

from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.contracts import UserError
from sciml.globe.archive import Archive, open_archive, open_static
from sciml.globe.archive.times import MONTH
from sciml.globe.channels import Channel, Channels
from sciml.globe.staging import stage

NAMES = list(layouts.CHANNELS.names)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_gives_the_same_fields(tmp_path: Path, layout: str) -> None:
    path = layouts.LAYOUTS[layout](tmp_path)
    archive = open_archive(path, NAMES)
    assert np.array_equal(archive.grid.lat, layouts.LAT)
    assert np.array_equal(archive.grid.lon, layouts.LON)
    assert archive.times[0] == 1577836800 and archive.step == 21600
    fields = archive.read(slice(None))
    assert fields.dtype == np.float32
    # conversions of units round in float32: one unit in the last place of 1e5 Pa is 0.008
    np.testing.assert_allclose(fields, layouts.truth(), rtol=2e-7, atol=5e-5)


def test_reading_takes_times_in_any_order(tmp_path: Path) -> None:
    archive = open_archive(layouts.netcdf(tmp_path, layouts.cds()), NAMES)
    whole = archive.read(slice(None))
    for chosen in ([3], [0, 2], [2, 0, 2], [3, 1, 0]):
        assert np.array_equal(archive.read(chosen), whole[chosen])
    assert np.array_equal(archive.read(-1), whole[-1])
    assert archive.shape == whole.shape and len(archive) == 4


def test_files_by_time_and_by_variable_are_one_archive(tmp_path: Path) -> None:
    data = layouts.cds()
    surface, upper = ["t2m", "msl"], ["z", "t", "u"]
    for year, part in enumerate((slice(0, 3), slice(3, 4))):
        for name, members in (("surface", surface), ("upper", upper)):
            data[members].isel(valid_time=part).to_netcdf(tmp_path / f"{name}{year}.nc")
    archive = open_archive(str(tmp_path / "*.nc"), NAMES)
    np.testing.assert_allclose(archive.read(slice(None)), layouts.truth(), rtol=2e-7)
    (tmp_path / "surface1.nc").unlink()
    with pytest.raises(UserError, match="same times for all channels, got .*2020-01-01T18:00"):
        open_archive(str(tmp_path / "*.nc"), NAMES)


def test_a_region_across_greenwich_begins_west_of_it(tmp_path: Path) -> None:
    data = layouts.cds().isel(longitude=[6, 7, 0, 1], latitude=slice(1, 5))
    archive = open_archive(layouts.netcdf(tmp_path, data), ["t2m"])
    assert archive.grid.lon.tolist() == [-90, -45, 0, 45] and not archive.grid.is_global
    expected = layouts.truth()[:, 4][:, 2:6][..., [6, 7, 0, 1]]
    np.testing.assert_allclose(archive.read(slice(None))[:, 0], expected, rtol=2e-7)


def test_a_meridian_that_is_repeated_counts_once(tmp_path: Path) -> None:
    data = layouts.cds()
    again = data.isel(longitude=[0]).assign_coords(longitude=[360.0])
    closed = xarray.concat([data, again], "longitude", data_vars="minimal")
    archive = open_archive(layouts.netcdf(tmp_path, closed), NAMES)
    np.testing.assert_allclose(archive.read(slice(None)), layouts.truth(), rtol=2e-7)


@pytest.mark.parametrize("north_first", [True, False])
def test_cells_of_a_reduced_gaussian_grid(tmp_path: Path, north_first: bool) -> None:
    grid = ReducedGaussian(4)
    lat, lon = grid.cells
    order = np.lexsort((lon, -lat if north_first else lat))
    values = 280 + np.random.default_rng(0).normal(size=(2, *grid.shape)).astype(np.float32)
    data = xarray.Dataset(
        {"2t": (("time", "values"), values[:, order], {"units": "K"})},
        {
            "time": layouts.TIMES[:2],
            "latitude": ("values", lat[order]),
            "longitude": ("values", lon[order]),
        },
    )
    archive = open_archive(layouts.netcdf(tmp_path, data), ["t2m"])
    assert archive.grid.kind == "octahedral" and archive.shape == (2, 1, *grid.shape)
    assert np.array_equal(archive.read(slice(None))[:, 0], values)


def test_levels_may_be_depths(tmp_path: Path) -> None:
    theta = 10 + np.random.default_rng(0).normal(size=(2, 3, 7, 8)).astype(np.float32)
    theta[:, 2, :2] = np.nan
    data = xarray.Dataset(
        {"thetao": (("time", "depth", "lat", "lon"), theta, {"units": "degrees_C"})},
        {"time": layouts.TIMES[:2], "depth": ("depth", [0.494, 9.573, 40.34], {"units": "m"}),
         "lat": layouts.LAT, "lon": layouts.LON},
    )  # fmt: skip
    path = layouts.netcdf(tmp_path, data)
    channels = Channels.named(["thetao_40.34", "thetao_0.494"], axis="depth")
    archive = open_archive(path, channels, missing=["thetao_40.34"])
    assert np.array_equal(archive.read(slice(None)), theta[:, [2, 0]], equal_nan=True)
    assert archive.mask[:, :2].any(axis=(1, 2)).tolist() == [False, True]
    with pytest.raises(UserError, match=r"'thetao_40.34' at 2020-01-01T00:00.*16 of 56.*missing="):
        open_archive(path, channels).read([0])


def test_a_mask_that_moves_is_refused(tmp_path: Path) -> None:
    data = layouts.cds()[["t2m"]]
    data["t2m"][0, 0, 0], data["t2m"][2, 3, 3] = np.nan, np.nan
    path = layouts.netcdf(tmp_path, data)
    archive = open_archive(path, ["t2m"], missing=["t2m"])
    archive.read([0])
    with pytest.raises(UserError, match="'t2m' at 2020-01-01T12:00"):
        archive.read(slice(None))


def test_fields_that_do_not_change(tmp_path: Path) -> None:
    land = np.random.default_rng(0).uniform(size=(7, 8)).astype(np.float32)
    data = layouts.arco().isel(time=[0])
    data["land_sea_mask"] = (("latitude", "longitude"), land[::-1])
    data["z"] = (("time", "latitude", "longitude"), 9.80665 * land[None, ::-1])
    path = layouts.netcdf(tmp_path, data)
    fields = open_static(path, ["lsm", "zs"])
    np.testing.assert_allclose(fields, [land, 9.80665 * land], rtol=1e-6)
    with pytest.raises(UserError, match="no time|time axis of 'land_sea_mask'.*open_static"):
        open_archive(path, ["lsm"])


def test_periods_and_gaps(tmp_path: Path) -> None:
    times = np.append(sets.times_of(4), sets.times_of(3, start=10 * 86400))
    path = sets.written(tmp_path / "set.zarr", times, sets.states(7))
    with pytest.raises(UserError, match=r"every 6 h, got 1970-01-11T00:00 after 1970-01-01T18:00"):
        open_archive(path, ["z500"])
    archive = open_archive(path, ["z500"], gaps="allowed")
    assert archive.runs == ((0, 4), (4, 7)) and archive.step == sets.STEP
    one = open_archive(path, ["z500"], period=["1970-01-11", "1970-01-11T06"])
    assert one.times.tolist() == times[4:6].tolist()
    assert len(open_archive(path, ["z500"], period=["1969", "1970"], gaps="allowed")) == 7
    with pytest.raises(UserError, match=r"from 1971 to 1972 .*got 1970-01-01T00:00 … 1970-01-11"):
        open_archive(path, ["z500"], period=["1971", "1972"])


def test_months_are_even_by_the_calendar(tmp_path: Path) -> None:
    data = layouts.cds()[["t2m"]].isel(valid_time=[0, 1, 2, 3])
    months = np.array(["2020-01-16", "2020-02-15", "2020-03-16", "2020-04-16"], "datetime64[ns]")
    archive = open_archive(layouts.netcdf(tmp_path, data.assign_coords(valid_time=months)), ["t2m"])
    assert archive.step == MONTH and archive.runs == ((0, 4),)


Change = Callable[[xarray.Dataset], xarray.Dataset]
WRONG: dict[str, tuple[Change, str]] = {
    "renamed": (
        lambda d: d.rename(msl="mslX"),
        "expected channel 'msl' (mean_sea_level_pressure), found no such variable.*names={",
    ),
    "near": (
        lambda d: d.rename(t2m="2m_temperatur"),
        "did you mean '2m_temperatur'",
    ),
    "levels": (
        lambda d: d.sel(pressure_level=[1, 500, 1000]),
        "'u' has 3 levels on the axis 'pressure_level' .* u850",
    ),
    "declared hPa": (
        lambda d: d.assign(msl=d.msl / 100),
        "'msl': expected values within .* Pa, got .* looks like hPa: set described.units={mean_sea",
    ),
    "undeclared degC": (
        lambda d: d.assign(t2m=(d.t2m - 273.15).drop_attrs()),
        "'t2m': .*looks like degC",
    ),
    "height for geopotential": (
        lambda d: d.assign(z=(d.z / 9.80665).assign_attrs(units="m**2 s**-2")),
        "'z500': .*looks like m: set described.units={geopotential: m}",
    ),
    "other quantity": (
        lambda d: d.assign(t2m=d.t2m.assign_attrs(units="m")),
        "'t2m': units: expected 'K' .*got 'm'; correct it by described.units={t2m",
    ),
    "nonsense units": (
        lambda d: d.assign(t2m=d.t2m.assign_attrs(units="furlong")),
        "'furlong' .* is no unit known",
    ),
    "gap": (
        lambda d: d.isel(valid_time=[0, 1, 3]).pad(valid_time=0),
        "expected a time every 6 h, got 2020-01-01T18:00 after 2020-01-01T06:00",
    ),
    "twice": (
        lambda d: d.isel(valid_time=[0, 1, 1, 2]),
        "every time once, got 2020-01-01T06:00 twice",
    ),
    "unsorted": (
        lambda d: d.isel(valid_time=[0, 2, 1, 3]),
        "ascending order, got 2020-01-01T06:00 after 2020-01-01T12:00",
    ),
    "uneven": (
        lambda d: d.assign_coords(longitude=[0, 45, 90, 130, 180, 225, 270, 315.0]),
        "expected equally spaced, ascending longitudes.*regrid",
    ),
    "curvilinear": (
        lambda d: _curvilinear(d, "y", "x"),
        "axis 'y', got a curvilinear grid ('nav_lat'): regrid it",
    ),
    "curvilinear by other names": (
        lambda d: _curvilinear(d, "j", "i"),
        "axes of latitude and longitude, got .*j, i; regrid",
    ),
    "ensemble": (
        lambda d: d.drop_vars("number").expand_dims(number=2).transpose(..., "longitude"),
        "an axis 'number' of 2 too; choose one entry by select={number: 0}",
    ),
    "calendar": (
        lambda d: _with_time(d, {"units": "days since 2000-01-01", "calendar": "noleap"}),
        "the Gregorian calendar, got 'noleap'",
    ),
    "months since": (
        lambda d: _with_time(d, {"units": "months since 2000-01-01"}),
        "axis 'valid_time' such as 'hours since 1970-01-01', got 'months since.*times=",
    ),
    "no units of time": (lambda d: _with_time(d, {}), "got ''; give the dates by described.times="),
    "Pa for hPa": (
        lambda d: d.assign_coords(pressure_level=d.pressure_level.values * 100.0),
        "pressures up to 1100 hPa .* up to 100000; set level_units=Pa",
    ),
}


def _curvilinear(data: xarray.Dataset, y: str, x: str) -> xarray.Dataset:
    lat, lon = np.meshgrid(data.latitude, data.longitude, indexing="ij")
    plain = data.drop_vars(["latitude", "longitude"]).rename(latitude=y, longitude=x)
    return plain.assign(nav_lat=((y, x), lat), nav_lon=((y, x), lon))


def _with_time(data: xarray.Dataset, attributes: dict) -> xarray.Dataset:
    plain = data.assign_coords(valid_time=np.arange(data.sizes["valid_time"]) * 6)
    plain["valid_time"].attrs = attributes
    return plain


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_one_line(tmp_path: Path, fault: str) -> None:
    change, said = WRONG[fault]
    path = layouts.netcdf(tmp_path, change(layouts.cds()))
    with pytest.raises(UserError) as found:
        open_archive(path, NAMES)
    line = str(found.value)
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), line), line
    assert "\n" not in line


def test_a_description_takes_the_place_of_what_is_missing(tmp_path: Path) -> None:
    data = _with_time(layouts.cds().rename(msl="mslX"), {})
    data = data.assign(mslX=data.mslX / 100).drop_attrs()
    data = data.assign_coords(pressure_level=data.pressure_level.values * 100.0)
    described = {
        "names": {"mean_sea_level_pressure": "mslX"},
        "units": {"msl": "mb"},
        "level_units": "Pa",
        "times": [str(time) for time in layouts.TIMES],
    }
    archive = open_archive(layouts.netcdf(tmp_path, data), NAMES, described=described)
    np.testing.assert_allclose(archive.read(slice(None)), layouts.truth(), rtol=2e-7, atol=1e-4)
    described["times"] = described["times"][:3]
    with pytest.raises(UserError, match="expected 4 dates in times=, got 3"):
        open_archive(tmp_path / "set.nc", NAMES, described=described)


def test_one_field_without_a_vertical_axis_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    data = layouts.cds().sel(pressure_level=500, drop=True)[["z"]]
    path = layouts.netcdf(tmp_path, data)
    with pytest.raises(UserError, match=r"'z' on a vertical axis, got none.*levels={geopotential"):
        open_archive(path, ["z500"])
    archive = open_archive(path, ["z500"], described={"levels": {"geopotential": 500}})
    np.testing.assert_allclose(archive.read([0])[0, 0], layouts.truth()[0, 0], rtol=2e-7)
    kept = layouts.cds().sel(pressure_level=500)[["z"]]
    (tmp_path / "kept").mkdir()
    assert len(open_archive(layouts.netcdf(tmp_path / "kept", kept), ["z500"])) == 4


def test_a_channel_that_the_table_does_not_know_keeps_its_own_name_and_units(
    tmp_path: Path,
) -> None:
    data = layouts.cds()[["t2m"]].rename(t2m="flux")
    data["flux"].attrs["units"] = "mPa"
    channel = Channel("f", "flux", units="Pa")
    archive = open_archive(layouts.netcdf(tmp_path, data), Channels((channel,)))
    np.testing.assert_allclose(archive.read([0])[0, 0], layouts.truth()[0, 4] / 1000, rtol=1e-6)


def _archive(path: Path | str) -> Archive:
    return open_archive(path, ["z500"])


def test_nothing_there_and_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found nothing"):
        _archive(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no data")
    with pytest.raises(UserError, match=r"text.nc could not be read: .*Unknown file format"):
        _archive(tmp_path / "text.nc")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="got another folder"):
        _archive(tmp_path / "folder")


def test_stores_by_their_address(tmp_path: Path) -> None:
    path = sets.written(tmp_path / "set.zarr", sets.times_of(3), sets.states(3))
    assert np.array_equal(open_archive(f"file://{path}", sets.NAMES).read([2]), sets.states(3)[2:])
    for address in (f"file://{path}.old", "http://127.0.0.1:9/set.zarr", "nosuch://set.zarr"):
        with pytest.raises(UserError, match="could not be read: .*check the address") as found:
            _archive(address)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_64BIT"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, format_: str, share: float) -> None:
    whole, cut = tmp_path / "whole.nc", tmp_path / "cut.nc"
    layouts.cds()[["t2m"]].drop_vars("expver").to_netcdf(whole, format=format_)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut.nc .*(truncated|could not be read)"):
        open_archive(cut, ["t2m"])


def test_an_archive_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = sets.written(tmp_path / "set.zarr", sets.times_of(5), sets.states(5))
    archive = _archive(path)
    archive.check_unchanged()
    shorter = sets.written(tmp_path / "other.zarr", sets.times_of(2), sets.states(2))
    path.rename(tmp_path / "gone.zarr")
    shorter.rename(path)
    with pytest.raises(UserError, match=r"set.zarr has changed since it was opened"):
        archive.check_unchanged()


@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_64BIT"])
def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "set.nc"
    layouts.cds()[["t2m"]].drop_vars("expver").to_netcdf(path, format=format_)
    archive = open_archive(path, ["t2m"])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 400)
    with pytest.raises(UserError, match=r"set\.nc (could not be read|has changed since)"):
        stage(archive, memory=True)


def test_a_lost_block_of_a_store_is_not_taken_for_data(tmp_path: Path) -> None:
    path = sets.written(tmp_path / "set.zarr", sets.times_of(5), sets.states(5))
    archive = _archive(path)
    for file in (path / "geopotential" / "c").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(UserError, match="channel 'z500' at 1970-01-01T00:00.*NaN"):
        archive.read(slice(None))

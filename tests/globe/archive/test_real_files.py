"""Files of others, as they are published. They are not part of the package."""

import os
from pathlib import Path

import numpy as np
import pytest

from sciml.contracts import UserError
from sciml.globe.archive import open_archive
from sciml.globe.archive.times import MONTH
from sciml.globe.staging import stage

ROOT = Path(__file__).resolve().parents[4]
FOLDER = Path(os.environ.get("SCIML_REAL_DATA") or ROOT / "shared" / "data")


def real(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not in {FOLDER}; set SCIML_REAL_DATA to where it is")
    return path


def test_era_interim_packed_in_16_bits_without_dates() -> None:
    path = real("eraint_uvz.nc")
    with pytest.raises(
        UserError, match="axis 'month' .*got ''; give the dates by described.times="
    ):
        open_archive(path, ["z500"])
    described = {"times": ["1979-01", "1979-07"]}
    archive = open_archive(path, ["z500", "u200", "v850"], described=described)
    assert archive.grid.kind == "equiangular" and archive.grid.shape == (241, 480)
    z500, u200, _ = archive.read([0])[0]
    area = archive.grid.area
    # The mean 500-hPa height is near 5600 m, the jets at 200 hPa near 30° are westerly, and the
    # winter pole is the lower one.
    assert (z500 * area).sum() / 9.80665 == pytest.approx(5600, abs=100)
    assert z500[-1].mean() < z500[0].mean()
    assert u200[np.abs(archive.grid.lat - 30).argmin()].mean() > 25
    with pytest.raises(UserError, match=r"3 levels .*\(200, 500, 850\).* u925"):
        open_archive(path, ["u925"], described=described)


def test_climatology_on_a_gaussian_grid_with_three_level_axes_and_odd_units() -> None:
    names = ["z500", "u500", "t850", "w500", "q850", "r850", "msl", "sp", "t2m"]
    described = {"times": ["1990-06"]}
    archive = open_archive(real("NCEP_06_climo.nc"), names, described=described)
    assert archive.grid.kind == "gauss" and archive.grid.shape == (64, 128)
    mean = (archive.read([0])[0] * archive.grid.area).sum((-2, -1))
    found = dict(zip(names, mean.tolist(), strict=True))
    assert found["z500"] / 9.80665 == pytest.approx(5650, abs=100)
    assert found["msl"] == pytest.approx(101_000, abs=500)
    assert found["sp"] == pytest.approx(98_500, abs=500)
    assert found["t2m"] == pytest.approx(288.5, abs=2)
    assert abs(found["w500"]) < 0.02 and 0.004 < found["q850"] < 0.012 and 0.4 < found["r850"] < 0.8


def test_heights_that_say_little_of_themselves() -> None:
    path = real("hgt.nc")
    with pytest.raises(UserError, match=r"'HGT' on a vertical axis, got none"):
        open_archive(path, ["z500"])
    levels = {"levels": {"geopotential": 500}}
    with pytest.raises(UserError, match=r"got 'months since 1958-1-1 00:00:00'; give the dates"):
        open_archive(path, ["z500"], described=levels)
    months = [str(np.datetime64("1958-01") + n) for n in range(21)]
    archive = open_archive(path, ["z500"], described={**levels, "times": months})
    assert archive.step == MONTH and archive.runs == ((0, 21),) and archive.grid.lat[0] == -90
    height = (archive.read(slice(None))[:, 0] * archive.grid.area).sum((-2, -1)) / 9.80665
    assert np.all(np.abs(height - 5600) < 100)


def test_sea_surface_temperature_has_land() -> None:
    path = real("sst.mnmean.nc")
    with pytest.raises(UserError, match=r"'sst' at 2010-01-01T00:00: .*NaN at 5032 of 16020"):
        open_archive(path, ["sst"]).read([0])
    archive = open_archive(path, ["sst"], missing=["sst"])
    assert archive.step == MONTH and len(archive) == 128
    fields = archive.read(slice(None))
    assert np.array_equal(np.isfinite(fields[-1]), archive.mask)
    assert 271 < np.nanmin(fields) < 272 and 303 < np.nanmax(fields) < 310


def test_altimetry_of_a_sea_that_lies_across_greenwich() -> None:
    path = real("dt_med_allsat_phy_l4_2005T2.nc")
    with pytest.raises(UserError, match=r"NaN at 1 of .*set missing={zos: anywhere}"):
        open_archive(path, ["zos"], missing=["zos"]).read([0, 90])
    archive = open_archive(path, ["zos"], missing={"zos": "anywhere"})
    assert archive.step == 86400 and len(archive) == 91
    assert archive.grid.lon[[0, -1]].tolist() == [-5.9375, 36.9375] and not archive.grid.is_global
    frames = stage(archive, memory=True)
    present = np.isfinite(frames.fields)
    assert (present == frames.mask).all() and frames.mask.sum() == 16728
    assert np.nanmax(np.abs(frames.fields)) < 1.0
    spring = open_archive(path, ["zos"], missing={"zos": "anywhere"}, period=["2005-04", "2005-05"])
    assert len(spring) == 30 + 31


def test_global_altimetry_with_its_geostrophic_velocities() -> None:
    names = ["zos", "ugos", "vgos"]
    path = real("nrt_global_allsat_phy_l4_20190223_20190226.nc")
    archive = open_archive(path, names, missing=names)
    assert archive.grid.kind == "equiangular_offset" and archive.step is None
    assert archive.channels.pairs() == ((1, 2),)
    fields = archive.read([0])[0]
    row, column = (
        np.abs(archive.grid.lat - 36.9).argmin(),
        np.abs(archive.grid.lon - 288).argmin(),
    )
    eastward = fields[1, row - 8 : row + 8, column - 20 : column + 20]
    assert np.nanmax(eastward) > 1.0  # the Gulf Stream


def test_a_mask_by_depth() -> None:
    with pytest.raises(UserError, match="expected channel 'thetao_10'"):
        open_archive(real("basin_mask.nc"), ["thetao_10"])

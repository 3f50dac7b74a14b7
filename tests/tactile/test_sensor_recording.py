"""Recordings: what is written is read, by other programs too; every bad file is one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray

from sciml.contracts import UserError
from sciml.tactile.sensor import located, recording
from sciml.tactile.sensor.recording import COORDINATES, LAYOUT, VARIABLES, Recording
from tests.tactile.sensors import THICK, flat

TIMES, MARKERS = 4, 3


def press(**changes) -> Recording:
    rng = np.random.default_rng(0)
    turn = rng.normal(size=(TIMES, 4))
    values = {
        "time": 0.1 * np.arange(TIMES),
        "force": rng.normal(size=(TIMES, 3)),
        "position": 0.01 * rng.normal(size=(TIMES, 3)),
        "orientation": turn / np.linalg.norm(turn, axis=1, keepdims=True),
        "markers": rng.uniform(0, 30, (TIMES, MARKERS, 2)),
        "image": rng.integers(0, 256, (TIMES, 30, 40, 3), dtype=np.uint8),
        "press": np.array([0, 0, 1, 1]),
        "attributes": {"title": "two presses", "source": "a rig", "image_width": 40},
    }
    return Recording(**{**values, **changes})


def test_a_recording_survives_the_file(tmp_path: Path) -> None:
    written = press()
    written.markers[2, 1] = np.nan  # a lost marker
    recording.write(tmp_path / "press.nc", written)
    found = recording.read(tmp_path / "press.nc")
    for name in VARIABLES:
        there, here = getattr(found, name), getattr(written, name)
        assert there.dtype == here.dtype
        assert np.array_equal(there, here, equal_nan=name == "markers")
    assert found.attributes["title"] == "two presses" and found.attributes["layout"] == LAYOUT
    assert [path.name for path in tmp_path.iterdir()] == ["press.nc"]  # nothing half-written


@pytest.mark.parametrize("left_out", ["markers", "image", "press"])
def test_what_is_optional(tmp_path: Path, left_out: str) -> None:
    recording.write(tmp_path / "press.nc", press(**{left_out: None}))
    found = recording.read(tmp_path / "press.nc")
    if left_out == "press":
        assert (found.press == 0).all()
    else:
        assert getattr(found, left_out) is None


def test_other_programs_find_their_way(tmp_path: Path) -> None:
    recording.write(tmp_path / "press.nc", press())
    with xarray.open_dataset(tmp_path / "press.nc", decode_times=False) as dataset:
        assert dataset.attrs["Conventions"] == "CF-1.11"
        for name, (dimensions, units) in VARIABLES.items():
            assert dataset[name].dims == dimensions
            assert dataset[name].attrs["units"] == units and dataset[name].attrs["long_name"]
        for name, values in COORDINATES.items():
            assert dataset[name].values.tolist() == values
        assert float(dataset.force.sel(axis="z")[1]) == press().force[1, 2]


def test_the_documented_layout_is_the_layout() -> None:
    """The table of the docs and of the module name every variable with its dimensions and unit."""
    page = (Path(__file__).resolve().parents[2] / "docs/tactile.md").read_text(encoding="utf-8")
    for text in (page.replace("`", ""), recording.__doc__):
        for name, (dimensions, units) in VARIABLES.items():
            assert f"| {name} | {', '.join(dimensions)} | {units} |" in text


def test_dimensions_may_be_in_another_order(tmp_path: Path) -> None:
    dataset = recording.as_dataset(press()).transpose("marker", "pixel", ...)
    dataset.to_netcdf(tmp_path / "press.nc")
    assert np.array_equal(recording.read(tmp_path / "press.nc").markers, press().markers)


def test_flow_since_the_first_sample() -> None:
    flow, markers = press().flow(), press().markers
    assert (flow[0] == 0).all() and np.array_equal(flow[2], markers[2] - markers[0])


def test_a_simulated_recording_is_what_the_sensor_sees(tmp_path: Path) -> None:
    sensor = flat()
    still = sensor.surface.still()
    aside = still.clone()
    aside[:, 0] = 0.005  # the last of five columns leaves the image
    zero = np.zeros((2, 3))
    made = recording.simulated(sensor, [still, aside], np.array([0.0, 0.1]), zero, zero)
    recording.write(tmp_path / "press.nc", made)
    found = recording.read(tmp_path / "press.nc")
    assert found.size == (40, 30) and found.attributes["source"] == "simulated by sciml"
    flow = found.flow()[1].reshape(4, 5, 2)
    assert flow[:, :4] == pytest.approx(np.broadcast_to([12.5, 0], (4, 4, 2)), abs=1e-12)  # 40 5/16
    assert np.isnan(flow[:, 4]).all()
    points = located(sensor.surface, sensor.camera, found.markers[0])
    assert np.abs(points[:, 2] - THICK).max() <= 1e-15


def test_the_size_of_the_image() -> None:
    assert press().size == (40, 30)
    assert press(image=None).size is None
    known = {"image_width": 640, "image_height": 480}
    assert press(image=None, attributes=known).size == (640, 480)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"position": press().position * 1e3}, "position in m and at most 1 m, got .*; if these "
         "are millimetres multiply by 1e-3"),
        ({"force": press().force * 1e3}, "force in N and at most 1000 N, got .* millinewtons"),
        ({"orientation": 2 * press().orientation}, "expected unit quaternions .* of length 2 at"),
        ({"time": np.array([0.0, 0.1, 0.1, 0.2])}, "expected rising times, got 0.1 s at 2"),
        ({"force": press().force * np.nan}, "expected finite force, got NaN or infinity"),
        ({"markers": None, "image": None}, "expected markers or images, got neither"),
        ({"markers": press().markers + 20}, "expected markers inside the image of 40 x 30 pixels, "
         "got .* outside .marker 0 at time .*; write NaN where lost"),
        ({"press": np.zeros(3, dtype=int)}, r"expected press as \[time\] with 4 times, got "),
    ],
)  # fmt: skip
def test_bad_recordings_are_refused(changes, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        press(**changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.drop_vars("force"), r"expected a variable force \[time, axis\] in N, got "),
        (lambda d: d.rename(axis="xyz"), r"expected force \[time, axis\], got \[time, xyz\]"),
        (lambda d: d.isel(axis=[0, 1]), r"expected force as \[time, axis\] with 4 times, got "),
        (lambda d: d.assign(force=d.force.assign_attrs(units="mN")), "expected force in N, got mN"),
        (lambda d: d.assign(position=d.position.assign_attrs(units="mm")), "position in m, got mm; "
         "convert the values and set the attribute units = 'm'"),
        (lambda d: d.assign_attrs(layout="another"), "layout tactile-recording-1, got another"),
        (lambda d: d.isel(time=[]), "expected at least one sample, got none"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path: Path, change, said: str) -> None:
    change(recording.as_dataset(press())).to_netcdf(tmp_path / "press.nc")
    with pytest.raises(UserError, match=said) as refusal:
        recording.read(tmp_path / "press.nc")
    assert "\n" not in str(refusal.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a NetCDF file, got '.*': no such file"):
        recording.read(tmp_path / "press.nc")
    (tmp_path / "press.nc").write_text("time,force\n0,1\n")
    with pytest.raises(UserError, match="expected a NetCDF file, got '.*press.nc'") as refusal:
        recording.read(tmp_path / "press.nc")
    assert "\n" not in str(refusal.value)


def test_a_recording_without_markers_has_no_flow() -> None:
    with pytest.raises(UserError, match="expected markers, got images only"):
        replace(press(), markers=None).flow()

"""Stores of ensembles: WeatherBench2's axes, written member by member, whole or known not to be."""

import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from globe.archive import sets

from sciml.calculus.sphere.grids import gauss
from sciml.contracts import UserError
from sciml.globe import layout
from sciml.globe.archive import open_forecast
from sciml.globe.writer import ForecastWriter

STARTS = sets.times_of(2)
LEADS = sets.times_of(4)[1:]
#: `[start, member, lead, C, lat, lon]`.
STATES = sets.states(18).reshape(2, 3, 3, 5, *sets.GRID.shape)


class Stop(Exception):
    """What ends a program early."""


@pytest.fixture(params=["zarr", "nc"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"store.{request.param}"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 6 * STATES[0, 0, 0].nbytes)


def writer(path: Path, **given: Any) -> ForecastWriter:
    return ForecastWriter(path, sets.CHANNELS, sets.GRID, STARTS, LEADS, members=3, **given)


def by_lead(start: int, members: list[int]) -> Iterator[np.ndarray]:
    yield from STATES[start, members].swapaxes(0, 1)


def write(path: Path) -> Path:
    with writer(path) as out:
        assert out.block == 2, "six states are held: two leads of three members"
        out.put(STARTS[0], by_lead(0, [0, 1, 2]), [0, 1, 2])
        out.put(STARTS[1], by_lead(1, [2, 0]), [2, 0])
        out.put(STARTS[1], by_lead(1, [1]), [1])
    return path


def test_axes_types_and_attributes(path: Path) -> None:
    write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = xarray.open_zarr if path.suffix == ".zarr" else xarray.open_dataset
        data = opened(path)
    assert data.u_component_of_wind.dims == (
        "time", "number", "prediction_timedelta", "level", "longitude", "latitude",
    )  # fmt: skip
    assert data.number.dtype == np.int64 and data.number.values.tolist() == [0, 1, 2]
    assert data.number.attrs["standard_name"] == "realization"
    assert data.prediction_timedelta.dtype == "timedelta64[ns]"


def test_members_come_back_in_whatever_order_they_were_written(path: Path) -> None:
    data = open_forecast(write(path)).u_component_of_wind.sel(level=500)
    expected = STATES[:, :, :, 1].swapaxes(-1, -2)
    assert np.array_equal(data.values, expected)


def test_an_ensemble_goes_on_with_the_members_that_are_not_whole(path: Path) -> None:
    def cut() -> Iterator[np.ndarray]:
        yield from STATES[1, [1, 2]].swapaxes(0, 1)[:2]
        raise Stop

    with suppress(Stop), writer(path) as out:
        out.put(STARTS[0], by_lead(0, [0, 1, 2]), [0, 1, 2])
        out.put(STARTS[1], by_lead(1, [0]), [0])
        out.put(STARTS[1], cut(), [1, 2])
    with pytest.raises(UserError, match="is marked incomplete"):
        open_forecast(path)
    with writer(path) as out:
        assert out.finished == {STARTS[0]} and out.absent(STARTS[1]) == [1, 2]
        out.put(STARTS[1], by_lead(1, [1, 2]), [1, 2])
    data = open_forecast(path).geopotential.sel(level=500).values
    assert np.array_equal(data, STATES[:, :, :, 0].swapaxes(-1, -2))


def test_a_start_without_all_its_members_is_not_whole(path: Path) -> None:
    said = "expected 2 forecasts, got all but 1, the first from 1970-01-01T06:00"
    out = writer(path)
    for n, members in enumerate(([0, 1, 2], [0, 2])):
        out.put(STARTS[n], by_lead(n, members), members)
    with pytest.raises(UserError, match=said):
        out.close()


def test_several_writers_of_members_of_one_start(tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    with writer(path) as out:
        for members in ([0, 2], [1]):
            with writer(path, join=True) as other:
                for n, start in enumerate(STARTS):
                    other.put(start, by_lead(n, members), members)
        assert not out.finished
    assert open_forecast(path).sizes["number"] == 3


@pytest.mark.parametrize(
    ("members", "states", "said"),
    [
        (None, by_lead(0, [0]), "expected some of 3 members, got None"),
        ([3], by_lead(0, [0]), r"some of 3 members, got \[3\]"),
        ([0, 1], by_lead(0, [0]), r"shape \[2, 5, 6, 12\], got number 1 of \[1, 5, 6, 12\]"),
    ],
)
def test_members_that_do_not_fit(path: Path, members, states, said: str) -> None:
    with pytest.raises(UserError, match=said), writer(path) as out:
        out.put(STARTS[0], states, members)


def test_members_of_what_is_no_ensemble(path: Path) -> None:
    single = ForecastWriter(path, sets.CHANNELS, sets.GRID, STARTS, LEADS)
    with pytest.raises(UserError, match=r"expected no members, got \[0\]"), single as out:
        out.put(STARTS[0], by_lead(0, [0]), [0])
    with pytest.raises(UserError, match="2 starts, 3 members, 3 leads"):
        writer(path)


def test_memory_holds_one_block_of_all_members(tmp_path: Path, monkeypatch) -> None:
    grid = gauss(64)
    state = np.zeros((5, *grid.shape), np.float32)
    monkeypatch.setattr(layout, "BLOCK", 16 * state.nbytes)

    def peak(members: int, leads: int, name: str) -> int:
        axis = sets.times_of(leads + 1)[1:]
        given = {"members": members}
        with ForecastWriter(tmp_path / name, sets.CHANNELS, grid, [0], axis, **given) as out:
            tracemalloc.start()
            ones = np.ones((members, 1, 1, 1), np.float32)
            out.put(0, (ones * state for _ in range(leads)), range(members))
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    def least(members: int, leads: int, name: str) -> int:
        """Of three, since threads of the session's other parts take memory too."""
        return min(peak(members, leads, f"{name}{number}.zarr") for number in range(3))

    peak(2, 2, "warm.zarr")
    short = least(8, 4, "short")
    assert least(8, 24, "long") < 1.2 * short
    assert least(16, 24, "many") < 1.9 * short, "twice the members in half the leads"


def test_what_calls_its_members_realizations(tmp_path: Path) -> None:
    """As WeatherBench2's mock of an ensemble does."""
    path = tmp_path / "theirs.nc"
    ours = xarray.open_dataset(write(tmp_path / "ours.nc")).rename({"number": "realization"})
    ours.drop_vars("realization").to_netcdf(path)
    assert open_forecast(path).sizes["number"] == 3

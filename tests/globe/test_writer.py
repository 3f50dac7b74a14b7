"""Stores that are whole or known not to be, by one or several processes, in flat memory."""

import errno
import multiprocessing
import os
import resource
import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from globe.archive import sets

from sciml.calculus.sphere.grids import equiangular, gauss
from sciml.contracts import UserError
from sciml.globe import layout
from sciml.globe.archive import open_archive, open_forecast, stores
from sciml.globe.channels import Channels
from sciml.globe.writer import ArchiveWriter, ForecastWriter

STARTS = sets.times_of(4)
LEADS = sets.times_of(7)[1:]
FORECASTS = sets.states(24).reshape(4, 6, 5, *sets.GRID.shape)
STATE = FORECASTS[0, 0].nbytes
FORK = multiprocessing.get_context("fork")


def forecast_writer(path: Path, **given: Any) -> ForecastWriter:
    return ForecastWriter(path, sets.CHANNELS, sets.GRID, STARTS, LEADS, **given)


def values(path: Path) -> np.ndarray:
    """`[start, lead, lat, lon]` of the wind at 500 hPa."""
    found = open_forecast(path).u_component_of_wind.sel(level=500)
    return found.transpose(..., "latitude", "longitude").values


@pytest.fixture(params=["zarr", "nc"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"store.{request.param}"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 4 * STATE)


class Stop(Exception):
    """What ends a program early."""


def test_states_come_back(path: Path) -> None:
    fields, times = sets.states(11), sets.times_of(11)
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        assert out.block == 4
        for start, stop in ((0, 1), (1, 3), (3, 10), (10, 11)):
            out.append(times[start:stop], fields[start:stop])
    archive = open_archive(path, sets.NAMES)
    assert np.array_equal(archive.read(slice(None)), fields)
    assert archive.times.tolist() == times.tolist()


def test_states_that_were_cut_short_are_refused_and_gone_on_with(path: Path) -> None:
    fields, times = sets.states(11), sets.times_of(11)
    with suppress(Stop), ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        out.append(times[:10], fields[:10])
        raise Stop
    with pytest.raises(UserError, match="is marked incomplete"):
        open_archive(path, sets.NAMES)
    with pytest.raises(UserError, match="is there already; delete it"):
        ArchiveWriter(path, sets.CHANNELS, sets.GRID)
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID, resume=True) as out:
        assert out.times.tolist() == times[:8].tolist()  # two whole blocks
        out.append(times[8:], fields[8:])
    assert np.array_equal(open_archive(path, sets.NAMES).read(slice(None)), fields)


def test_a_whole_set_can_be_lengthened(path: Path) -> None:
    fields, times = sets.states(11), sets.times_of(11)
    for start, stop in ((0, 3), (3, 5), (5, 11)):
        with ArchiveWriter(path, sets.CHANNELS, sets.GRID, resume=True) as out:
            out.append(times[start:stop], fields[start:stop])
    assert np.array_equal(open_archive(path, sets.NAMES).read(slice(None)), fields)


@pytest.mark.parametrize(
    ("times", "shape", "said"),
    [
        ([0, 1], (1, 5, 6, 12), r"states of shape \[2, 5, 6, 12\], got \[1, 5, 6, 12\]"),
        ([5], (1, 5, 12, 6), r"\[1, 5, 6, 12\], got \[1, 5, 12, 6\]"),
        ([7, 7], (2, 5, 6, 12), "ascend, got 1970-01-01T00:00 after 1970-01-01T00:00"),
    ],
)
def test_states_that_do_not_fit(path: Path, times: list[int], shape: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said), ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        out.append(times, np.zeros(shape))


def test_times_go_on_after_those_that_are_there(path: Path) -> None:
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        out.append(sets.times_of(5), sets.states(5))
    with (
        pytest.raises(UserError, match="got 1970-01-01T18:00 after 1970-01-02T00:00"),
        ArchiveWriter(path, sets.CHANNELS, sets.GRID, resume=True) as out,
    ):
        out.append(sets.times_of(5)[3:], sets.states(2))


def test_other_contents_are_refused(path: Path) -> None:
    sets.written(path, sets.times_of(3), sets.states(3))
    other = Channels.named(["z500", "u500"])
    for channels, grid in ((other, sets.GRID), (sets.CHANNELS, gauss(8))):
        with pytest.raises(UserError, match="is there already with other contents"):
            ArchiveWriter(path, channels, grid, resume=True)
    with pytest.raises(UserError, match=r"ends in \.zarr or \.nc"):
        ArchiveWriter(path.with_suffix(".grib"), sets.CHANNELS, sets.GRID)


def test_forecasts_come_back(path: Path) -> None:
    with forecast_writer(path) as out:
        for start, states in zip(STARTS, FORECASTS, strict=True):
            out.put(start, iter(states))
    assert np.array_equal(values(path), FORECASTS[:, :, 1])
    with pytest.raises(UserError, match="is there already"):
        forecast_writer(path)


@pytest.mark.parametrize("reached", [0, 3, 5])
def test_forecasts_that_were_cut_short_go_on_at_the_first_that_is_not_whole(
    path: Path, reached: int
) -> None:
    def cut() -> Iterator[np.ndarray]:
        yield from FORECASTS[1][:reached]
        raise Stop

    with suppress(Stop), forecast_writer(path) as out:
        out.put(STARTS[0], FORECASTS[0])
        out.put(STARTS[1], cut())
    with pytest.raises(UserError, match="is marked incomplete"):
        open_forecast(path)
    with forecast_writer(path) as out:
        assert out.finished == {0}
        for start, states in zip(STARTS, FORECASTS, strict=True):
            if start not in out.finished:
                out.put(start, states)
    assert np.array_equal(values(path), FORECASTS[:, :, 1])


def test_a_store_without_all_its_forecasts_is_not_whole(path: Path) -> None:
    said = "expected 4 forecasts, got all but 3, the first from 1970-01-01T06:00"
    with pytest.raises(UserError, match=said), forecast_writer(path) as out:
        out.put(STARTS[0], FORECASTS[0])
    with pytest.raises(UserError, match="is marked incomplete"):
        open_forecast(path)


@pytest.mark.parametrize(
    ("start", "states", "said"),
    [
        (5, FORECASTS[0], "one of its starts, got 1970-01-01T00:00"),
        (0, FORECASTS[0][:5], "expected 6 states, got 5"),
        (0, np.concatenate(FORECASTS[:2]), "expected 6 states of shape .* got number 7"),
        (0, FORECASTS[0][:, :3], r"\[5, 6, 12\], got number 1 of \[3, 6, 12\]"),
    ],
)
def test_forecasts_that_do_not_fit(path: Path, start: int, states: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said), forecast_writer(path) as out:
        out.put(start, states)


def test_a_torn_file_of_a_store_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    with suppress(Stop), forecast_writer(path) as out:
        out.put(STARTS[0], FORECASTS[0])
        out.put(STARTS[1], FORECASTS[1])
        raise Stop
    torn = sorted(p for p in (path / "geopotential" / "c" / "1").rglob("*") if p.is_file())[-1]
    torn.write_bytes(torn.read_bytes()[:-7])
    with pytest.raises(UserError, match="all but 3"), forecast_writer(path) as out:
        assert out.finished == {0}


def join(path: Path, numbers: list[int]) -> None:
    with forecast_writer(path, join=True) as out:
        for n in numbers:
            out.put(STARTS[n], FORECASTS[n])


def test_several_processes_write_one_store(tmp_path: Path) -> None:
    path = tmp_path / "store.zarr"
    with forecast_writer(path) as out:
        running = [FORK.Process(target=join, args=(path, share)) for share in ([0, 2], [1, 3])]
        for process in running:
            process.start()
        for process in running:
            process.join(60)
        assert [process.exitcode for process in running] == [0, 0]
        assert not out.finished
    assert np.array_equal(values(path), FORECASTS[:, :, 1])


def test_netcdf_is_written_by_one_process(tmp_path: Path) -> None:
    out = forecast_writer(tmp_path / "store.nc")
    out.store.close()
    with pytest.raises(UserError, match=r"written by one process; take \.zarr"):
        forecast_writer(tmp_path / "store.nc", join=True)


MANY = np.tile(sets.states(10), (100, 1, 1, 1))


def write_slowly(path: Path, progress: Connection) -> None:
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        for stamp, state in zip(sets.times_of(1000), MANY, strict=True):
            out.append([stamp], state[None])
            progress.send(len(out.times))
            time.sleep(0.01)


def test_a_killed_writer_leaves_what_can_be_gone_on_with(path: Path) -> None:
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=write_slowly, args=(path, there))
    process.start()
    there.close()
    written = 0
    while written < 8:
        assert here.poll(60)
        written = here.recv()
    process.kill()
    process.join()
    with pytest.raises(UserError, match="is marked incomplete"):
        open_archive(path, sets.NAMES)
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID, resume=True) as out:
        held = len(out.times)
        assert held >= written and held % 4 == 0
        out.append(sets.times_of(held + 1)[held:], MANY[held : held + 1])
    fields = open_archive(path, sets.NAMES).read(slice(None))
    assert np.array_equal(fields, MANY[: held + 1])


def fill_the_disk(path: Path, answer: Connection) -> None:
    """Under a limit on the size of files, beyond which writing fails as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    grid = equiangular(64)
    out = ArchiveWriter(path, sets.CHANNELS, grid)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        out.append([0], sets.states(1, sets.CHANNELS, grid))
        out.close()
    except UserError as error:
        answer.send(str(error))
    os._exit(0)


def test_a_full_disk_is_one_line_and_the_store_stays_incomplete(path: Path) -> None:
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=fill_the_disk, args=(path, there))
    process.start()
    there.close()
    assert here.poll(60)
    line = here.recv()
    process.join()
    assert "could not be written" in line and "\n" not in line
    assert "it is left marked incomplete: make room" in line
    with pytest.raises(UserError, match="marked incomplete|could not be read"):
        open_archive(path, sets.NAMES)


def test_no_room_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = ArchiveWriter(tmp_path / "store.zarr", sets.CHANNELS, sets.GRID)
    out.append([0], sets.states(1))
    monkeypatch.setattr(stores.ZarrStore, "put", full)
    with pytest.raises(UserError, match="the disk is full; it is left marked incomplete"):
        out.close()


def test_memory_does_not_grow_with_the_lead_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = gauss(64)
    state = np.zeros((5, *grid.shape), np.float32)
    monkeypatch.setattr(layout, "BLOCK", 4 * state.nbytes)

    def peak(leads: int, name: str) -> int:
        axis = sets.times_of(leads + 1)[1:]
        with ForecastWriter(tmp_path / name, sets.CHANNELS, grid, [0], axis) as out:
            tracemalloc.start()
            out.put(0, (state + lead for lead in range(leads)))
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    peak(4, "warm.zarr")
    assert peak(40, "long.zarr") < 1.3 * peak(8, "short.zarr")
    assert peak(40, "long.nc") < 1.3 * peak(8, "short.nc")


def test_an_open_store_is_not_a_forecast(tmp_path: Path) -> None:
    path = sets.written(tmp_path / "set.zarr", sets.times_of(3), sets.states(3))
    with pytest.raises(UserError, match="axes time and prediction_timedelta, got .*open_archive"):
        open_forecast(path)
    with pytest.raises(UserError, match="found nothing"):
        open_forecast(tmp_path / "absent.zarr")


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_what_cannot_be_laid_out_leaves_nothing_and_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A disk that fills while axes are written: one line, no store, and the same command works."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    given = (tmp_path / name, sets.CHANNELS, sets.GRID, [0], [21600])
    with monkeypatch.context() as patch:
        for kind in (stores.ZarrStore, stores.NetcdfStore):
            patch.setattr(kind, "axis", full)
        with pytest.raises(UserError, match="the disk is full; nothing of it is left: make room"):
            ForecastWriter(*given)
    assert not (tmp_path / name).exists()
    with ForecastWriter(*given) as out:
        out.put(0, sets.states(1))
    assert len(open_forecast(tmp_path / name).time) == 1


def test_a_file_that_cannot_be_closed_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 fails again when a file on a full disk is closed: what is told is the first line."""
    out = ForecastWriter(tmp_path / "f.nc", sets.CHANNELS, sets.GRID, [0], [21600])

    def failing(*_: Any) -> None:
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(stores.NetcdfStore, "put", failing)
    monkeypatch.setattr(stores.NetcdfStore, "close", failing)
    with pytest.raises(UserError, match="could not be written: NetCDF: HDF error"), out:
        out.put(0, sets.states(1))


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_what_another_process_made_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It appears after we looked: refused, and not taken away."""
    path = tmp_path / name
    with ForecastWriter(path, sets.CHANNELS, sets.GRID, [0], [21600]) as out:
        out.put(0, sets.states(1))
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "exists", lambda *_, **__: False)
        with pytest.raises(UserError, match="could not be written: File exists"):
            stores.create(path)
    assert len(open_forecast(path).time) == 1

"""Scores of a forecast store against a truth, by their definitions and through the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from sciml import cli
from sciml.calculus.sphere import gauss
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.globe.archive import open_forecast
from sciml.globe.channels import Channels
from sciml.globe.metrics.definitions import cell_areas
from sciml.globe.score import channels_of, write
from sciml.globe.writer import ArchiveWriter, ForecastWriter

GRID, STEP = gauss(12), 21600
CHANNELS = Channels.named(["z500", "u500"])


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """Truth at 8 times; forecasts from times 0 and 2, two steps long, with errors of our own."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 10, (8, 2, *GRID.shape)).astype(np.float32)
    truth[:, 0] += 54000
    times = STEP * np.arange(8)
    with ArchiveWriter(tmp_path / "truth.zarr", CHANNELS, GRID) as out:
        out.append(times, truth)
    errors = rng.normal(0, 3, (2, 2, 2, *GRID.shape)).astype(np.float32)
    made = np.stack([truth[s + 1 : s + 3] + errors[n] for n, s in enumerate((0, 2))])
    leads = STEP * np.array([1, 2])
    with ForecastWriter(tmp_path / "f.zarr", CHANNELS, GRID, times[[0, 2]], leads) as out:
        for n, start in enumerate((0, 2)):
            out.put(int(times[start]), iter(made[n]))
    return tmp_path / "f.zarr", tmp_path / "truth.zarr", made, truth


def test_scores_are_what_they_say(stores, tmp_path, capsys):
    forecast, truth, made, states = stores
    assert cli.main(["score", str(forecast), str(truth), "--to", str(tmp_path / "s")]) == 0
    found = json.loads((tmp_path / "s/scores.json").read_text())
    area = cell_areas(GRID.lat, GRID.shape[1])
    for n, hours in enumerate((6, 12)):
        true = np.stack([states[s + 1 + n] for s in (0, 2)])
        squared = (((made[:, n] - true) ** 2) * area).sum((-2, -1)).mean(0)
        np.testing.assert_allclose(
            [found[f"rmse/{c}/{hours}h"] for c in CHANNELS.names], np.sqrt(squared), rtol=1e-4
        )
        still = (((states[[0, 2]] - true) ** 2) * area).sum((-2, -1)).mean(0)
        ratio = np.sqrt(squared / still)
        np.testing.assert_allclose(
            [found[f"rmse_over_persistence/{c}/{hours}h"] for c in CHANNELS.names], ratio, rtol=1e-4
        )
    assert found["starts"] == 2 and "power_ratio/u500/l3/12h" in found
    said = capsys.readouterr().out
    assert "rmse/z500" in said and "scorecard.png" in said
    assert (tmp_path / "s/figures/lead_times.png").stat().st_size > 1000


def test_a_truth_of_other_times_is_refused(stores, tmp_path, capsys):
    forecast, _, _, states = stores
    with ArchiveWriter(tmp_path / "late.zarr", CHANNELS, GRID) as out:
        out.append(10**9 + STEP * np.arange(4), states[:4])
    assert cli.main(["score", str(forecast), str(tmp_path / "late.zarr")]) == 2
    assert "got none of its 2 starts whole" in capsys.readouterr().err


def test_cells_are_scored_by_their_areas_in_whatever_order_they_lie(stores, tmp_path, capsys):
    """Errors that are constant on a half of the globe; the file counts its cells from the north."""
    grid, times = ReducedGaussian(8), STEP * np.arange(8)
    lat, lon = grid.cells
    wave = np.sin(np.radians(lat)) + np.cos(np.radians(lon)) * np.cos(np.radians(lat))
    truth = np.stack([54e3 + 100 * wave, 10 * wave])[None] + 10.0 * np.arange(8)[:, None, None]
    with ArchiveWriter(tmp_path / "cells.zarr", CHANNELS, grid) as out:
        out.append(times, truth)
    error = np.where(lat > 0, 3.0, 1.0)
    with ForecastWriter(tmp_path / "ours.zarr", CHANNELS, grid, [0], STEP * np.arange(1, 3)) as out:
        out.put(0, iter((truth + error)[1:3].astype(np.float32)))
    with xarray.open_zarr(tmp_path / "ours.zarr", decode_timedelta=True) as ours:
        ours.load().isel(cell=slice(None, None, -1)).to_netcdf(tmp_path / "turned.nc")
    for name in ("ours.zarr", "turned.nc"):
        words = ["score", str(tmp_path / name), str(tmp_path / "cells.zarr")]
        assert cli.main([*words, "--to", str(tmp_path / name[:3])]) == 0, capsys.readouterr().err
        found = json.loads((tmp_path / name[:3] / "scores.json").read_text())
        for n in (1, 2):  # rms of 1 and 3 over two halves; nothing but 10 n has changed
            assert found[f"rmse/u500/{6 * n}h"] == pytest.approx(5**0.5, rel=1e-5)
            ratio = 5**0.5 / (10 * n)
            assert found[f"rmse_over_persistence/u500/{6 * n}h"] == pytest.approx(ratio, rel=1e-5)
        assert found["power_ratio/u500/l1/6h"] > 0
    other = tmp_path / "f.zarr"
    assert cli.main(["score", str(other), str(tmp_path / "cells.zarr")]) == 2
    assert "12 × 24, got 544 cells" in capsys.readouterr().err


def test_a_truth_on_another_grid_is_refused(stores, tmp_path, capsys):
    forecast, *_ = stores
    other = gauss(8)
    with ArchiveWriter(tmp_path / "coarse.zarr", CHANNELS, other) as out:
        fields = np.zeros((4, 2, *other.shape), np.float32)
        fields[:, 0] += 54000
        out.append(STEP * np.arange(4), fields)
    assert cli.main(["score", str(forecast), str(tmp_path / "coarse.zarr")]) == 2
    assert "12 × 24, got 8 × 16" in capsys.readouterr().err


def test_variables_may_have_levels_of_their_own(tmp_path):
    """z at 500 hPa and t at 850 share one axis in the store; z850 and t500 are no channels."""
    channels, times = Channels.named(["z500", "t850"]), STEP * np.arange(3)
    fields = np.random.default_rng(2).normal(size=(3, 2, *GRID.shape)).astype(np.float32)
    fields += np.array([54e3, 280.0], np.float32)[:, None, None]
    with ArchiveWriter(tmp_path / "truth.zarr", channels, GRID) as out:
        out.append(times, fields)
    with ForecastWriter(tmp_path / "f.zarr", channels, GRID, [0], STEP * np.arange(1, 3)) as out:
        out.put(0, iter(fields[1:] + 1))
    assert channels_of(open_forecast(tmp_path / "f.zarr")).names == ("z500", "t850")
    write(tmp_path / "f.zarr", tmp_path / "truth.zarr", tmp_path / "s")
    found = json.loads((tmp_path / "s/scores.json").read_text())
    assert found["rmse/t850/12h"] == pytest.approx(1, rel=1e-4) and "rmse/t500/12h" not in found

"""Stores of ours, read and scored by WeatherBench2 and WeatherBench-X as they are.

Neither is on a package index: install them from their repositories to run this.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sciml.calculus.sphere.grids import equiangular
from sciml.globe.channels import Channels
from sciml.globe.score import write
from sciml.globe.writer import ArchiveWriter, ForecastWriter

CHANNELS = Channels.named(["z500", "t850", "t2m"])
GRID = equiangular(7)
STEP = 21600
TIMES = 1577836800 + STEP * np.arange(12)
LEADS = STEP * np.arange(1, 5)
ERROR = 0.5


@pytest.fixture
def stores(tmp_path: Path) -> tuple[str, str]:
    """A truth, and forecasts that are `ERROR` too high everywhere."""
    truth, forecast = tmp_path / "truth.zarr", tmp_path / "forecast.zarr"
    fields = np.random.default_rng(0).normal(size=(12, 3, *GRID.shape)).astype(np.float32)
    with ArchiveWriter(truth, CHANNELS, GRID) as out:
        out.append(TIMES, fields)
    with ForecastWriter(forecast, CHANNELS, GRID, TIMES[:8], LEADS) as out:
        for n, start in enumerate(TIMES[:8]):
            out.put(start, fields[n + 1 : n + 5] + ERROR)
    return str(forecast), str(truth)


def test_weatherbench2(stores: tuple[str, str]) -> None:
    config = pytest.importorskip("weatherbench2.config", reason="weatherbench2 is not installed")
    from weatherbench2 import evaluation, metrics, regions

    selection = config.Selection(
        variables=["geopotential", "2m_temperature"],
        time_slice=slice("2020-01-01", "2020-01-02"),
        levels=[500],
    )
    paths = config.Paths(forecast=stores[0], obs=stores[1], output_dir=str(Path(stores[0]).parent))
    data = config.Data(selection=selection, paths=paths)
    scores = {
        "all": config.Eval(
            metrics={"mse": metrics.MSE()}, regions={"global": regions.SliceRegion()}
        )
    }
    evaluation.evaluate_in_memory(data, scores)
    import xarray

    found = xarray.open_dataset(Path(stores[0]).parent / "all.nc")
    assert found.sizes["lead_time"] == 4
    for name in ("geopotential", "2m_temperature"):
        np.testing.assert_allclose(found[name], ERROR**2, rtol=1e-5)


def test_weatherbench_x(stores: tuple[str, str]) -> None:
    loaders = pytest.importorskip(
        "weatherbenchX.data_loaders.xarray_loaders", reason="weatherbenchX is not installed"
    )
    from weatherbenchX import aggregation, weighting
    from weatherbenchX.metrics import base, deterministic

    names = ["geopotential", "temperature", "2m_temperature"]
    forecasts = loaders.PredictionsFromXarray(path=stores[0], variables=names)
    truth = loaders.TargetsFromXarray(path=stores[1], variables=names)
    starts = TIMES[:8].astype("datetime64[s]").astype("datetime64[ns]")
    leads = LEADS.astype("timedelta64[s]").astype("timedelta64[ns]")
    targets = truth.load_chunk(starts, leads)
    predictions = forecasts.load_chunk(starts, leads, targets)
    metrics = {"rmse": deterministic.RMSE(), "bias": deterministic.Bias()}
    statistics = base.compute_unique_statistics_for_all_metrics(metrics, predictions, targets)
    aggregator = aggregation.Aggregator(
        reduce_dims=["init_time", "latitude", "longitude"],
        weigh_by=[weighting.GridAreaWeighting()],
        skipna=True,  # levels that only the other variable has are NaN
    )
    found = aggregator.aggregate_statistics(statistics).metric_values(metrics)
    for score in ("rmse", "bias"):
        for name, level in (("geopotential", 500), ("temperature", 850), ("2m_temperature", None)):
            value = found[f"{score}.{name}"]
            value = value if level is None else value.sel(level=level)
            assert value.sizes["lead_time"] == 4
            np.testing.assert_allclose(value, ERROR, rtol=1e-5)


def test_weatherbench_x_scores_ensembles_as_we_do(tmp_path: Path) -> None:
    loaders = pytest.importorskip(
        "weatherbenchX.data_loaders.xarray_loaders", reason="weatherbenchX is not installed"
    )
    from weatherbenchX import aggregation, weighting
    from weatherbenchX.metrics import base, probabilistic

    rng, members = np.random.default_rng(1), 5
    mean = np.array([54e3, 280.0, 285.0])[:, None, None]
    path, truth = tmp_path / "ensemble.zarr", tmp_path / "truth.zarr"
    with ArchiveWriter(truth, CHANNELS, GRID) as out:
        out.append(TIMES, (mean + rng.normal(size=(12, 3, *GRID.shape))).astype(np.float32))
    fields = (mean + rng.normal(size=(members, 4, 3, *GRID.shape))).astype(np.float32)
    with ForecastWriter(path, CHANNELS, GRID, TIMES[:1], LEADS, members=members) as out:
        out.put(TIMES[0], fields.swapaxes(0, 1), range(members))
    names = ["geopotential", "2m_temperature"]
    start = TIMES[:1].astype("datetime64[s]").astype("datetime64[ns]")
    leads = LEADS.astype("timedelta64[s]").astype("timedelta64[ns]")
    archive = loaders.TargetsFromXarray(path=str(truth), variables=names)
    targets = archive.load_chunk(start, leads)
    ensemble = loaders.PredictionsFromXarray(path=str(path), variables=names)
    predictions = ensemble.load_chunk(start, leads, targets)
    metrics = {"crps": probabilistic.CRPSEnsemble()}
    statistics = base.compute_unique_statistics_for_all_metrics(metrics, predictions, targets)
    aggregator = aggregation.Aggregator(
        reduce_dims=["init_time", "latitude", "longitude"],
        weigh_by=[weighting.GridAreaWeighting()],
    )
    theirs = aggregator.aggregate_statistics(statistics).metric_values(metrics)
    write(path, truth, tmp_path / "scores")
    ours = json.loads((tmp_path / "scores/scores.json").read_text())
    for name, short in (("geopotential", "z500"), ("2m_temperature", "t2m")):
        found = [ours[f"crps/{short}/{6 * n}h"] for n in range(1, 5)]
        value = theirs[f"crps.{name}"].values.ravel()
        held = value[np.isfinite(value)]  # 850 hPa belongs to the other variable
        np.testing.assert_allclose(held, found, rtol=5e-4)  # float32 of 54,000 m² s⁻²

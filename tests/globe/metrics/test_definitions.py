"""Scores as others define them: by hand, by the `scores` package, by WeatherBench 2's formulas."""

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import equiangular
from sciml.contracts import UserError
from sciml.globe.metrics import definitions

GRID = equiangular(32, 64, poles=False)  # WeatherBench 2's 64 × 32
AREA = definitions.cell_areas(GRID.lat, 64)


def fields(*shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast, truth, climatology, not of one size."""
    random = np.random.default_rng(0)
    truth = 5000 + 100 * random.standard_normal((*shape, *GRID.shape))
    climatology = 5000 + 30 * random.standard_normal(GRID.shape)
    return truth + 40 * random.standard_normal(truth.shape) + 3, truth, climatology


def weatherbench_weights(lat: np.ndarray) -> np.ndarray:
    """Its `get_lat_weights`: sin of the upper minus sin of the lower bound, mean 1."""
    bounds = np.concatenate([[-np.pi / 2], np.radians(lat[:-1] + lat[1:]) / 2, [np.pi / 2]])
    weights = np.sin(bounds[1:]) - np.sin(bounds[:-1])
    return weights / weights.mean()


@pytest.mark.parametrize("grid", [GRID, equiangular(121, 240)])
def test_cells_are_weighed_as_weatherbench_does(grid) -> None:
    area = definitions.cell_areas(grid.lat, grid.shape[1])
    assert area.sum() == pytest.approx(1)
    expected = weatherbench_weights(grid.lat) / np.prod(grid.shape)
    assert np.allclose(area, expected[:, None], rtol=1e-12)
    assert np.allclose(definitions.cell_areas(grid.lat[::-1], grid.shape[1]), area[::-1])


def test_rmse_bias_and_acc_by_their_formulas() -> None:
    forecast, truth, climatology = fields(5, 2, 3)
    w = weatherbench_weights(GRID.lat)[:, None]
    mean = lambda x: (x * w).mean((-2, -1))  # noqa: E731
    f, t = forecast - climatology, truth - climatology
    expected = {
        "rmse": np.sqrt(mean((forecast - truth) ** 2).mean(0)),
        "bias": mean(forecast - truth).mean(0),
        "acc": (mean(f * t) / np.sqrt(mean(f**2) * mean(t**2))).mean(0),
    }
    found = {
        "rmse": definitions.rmse(forecast, truth, AREA),
        "bias": definitions.bias(forecast, truth, AREA),
        "acc": definitions.acc(forecast, truth, climatology, AREA),
    }
    for name, value in expected.items():
        assert found[name].shape == (2, 3)
        assert found[name] == pytest.approx(value, rel=1e-10)


def test_tensors_and_arrays_have_one_definition() -> None:
    forecast, truth, climatology = fields(3, 2)
    tensors = [torch.from_numpy(x) for x in (forecast, truth, climatology, AREA)]
    for name in ("squared_error", "error"):
        score = getattr(definitions, name)
        found = score(tensors[0], tensors[1], tensors[3]).numpy()
        assert np.allclose(found, score(forecast, truth, AREA), rtol=1e-12)
    found = definitions.anomaly_correlation(*tensors).numpy()
    assert np.allclose(found, definitions.anomaly_correlation(forecast, truth, climatology, AREA))


def test_activity_is_the_deviation_of_the_anomaly_about_its_mean() -> None:
    forecast, _, climatology = fields(4)
    anomaly = forecast - climatology
    mean = np.average(anomaly.reshape(4, -1), axis=1, weights=AREA.ravel())
    expected = [
        np.average((one - m) ** 2, weights=AREA) for one, m in zip(anomaly, mean, strict=True)
    ]
    assert definitions.activity(forecast, climatology, AREA) == pytest.approx(np.array(expected))


def test_the_scores_package_agrees() -> None:
    scores = pytest.importorskip("scores", reason="the scores package is not installed")
    import xarray

    forecast, truth = (x.astype(np.float32) for x in fields(4, 3)[:2])
    area, dims = AREA.astype(np.float32), ("init", "lead", "lat", "lon")
    f, t = xarray.DataArray(forecast, dims=dims), xarray.DataArray(truth, dims=dims)
    weights = xarray.DataArray(AREA, dims=dims[2:])
    continuous = scores.continuous
    kept = {"preserve_dims": ["lead"], "weights": weights}
    expected = continuous.rmse(f.astype(float), t.astype(float), **kept)
    assert definitions.rmse(forecast, truth, area) == pytest.approx(expected.values, rel=1e-6)
    expected = continuous.additive_bias(f.astype(float), t.astype(float), **kept)
    assert definitions.bias(forecast, truth, area) == pytest.approx(expected.values, rel=1e-4)
    ensemble = np.stack([forecast, forecast + 20, truth - 10]).astype(float)
    members = xarray.DataArray(ensemble, dims=("member", *dims))
    expected = scores.probability.crps_for_ensemble(
        members, t.astype(float), "member", method="fair", **kept
    )
    found = definitions.fair_crps(ensemble, truth.astype(float), AREA).mean(0)
    assert found == pytest.approx(expected.values, rel=1e-6)


def test_areas_of_another_grid_are_refused() -> None:
    forecast, truth, _ = fields(2)
    with pytest.raises(UserError, match=r"grid of \(64, 32\), got \(2, 32, 64\)"):
        definitions.squared_error(forecast, truth, AREA.T)
    with pytest.raises(UserError, match="at least 2 members, got 1"):
        definitions.fair_crps(forecast[:1], truth[0], AREA)

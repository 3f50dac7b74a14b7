"""Weights of the mean square error, by hand; and what every loss's measure refuses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import equiangular, gauss
from sciml.contracts import UserError
from sciml.globe.losses import MSE, Measure, pressure_weights
from tests.globe.windows import noise


def test_an_error_of_the_scale_counts_as_one() -> None:
    grid = gauss(8)
    truth = noise(2, 3, 2, *grid.shape).float()
    error = torch.tensor([5.0, 0.1]).view(-1, 1, 1)
    loss = MSE(Measure(grid, [5.0, 0.1]))
    assert float(loss(truth + error, truth)) == pytest.approx(1, rel=1e-5)
    assert float(loss(truth + 2 * error, truth)) == pytest.approx(4, rel=1e-5)


def test_cells_count_by_their_area() -> None:
    grid = equiangular(9, 16)
    truth = torch.zeros(1, 1, 1, *grid.shape)
    forecast = truth.clone()
    forecast[..., 4, 3] = 2.0  # one cell at the equator
    expected = 4 * grid.area[4, 3]
    assert float(MSE(Measure(grid, [1.0]))(forecast, truth)) == pytest.approx(expected, rel=1e-5)


def test_channels_and_leads_count_by_their_weights() -> None:
    grid = gauss(4)
    truth = torch.zeros(2, 2, 2, *grid.shape)
    forecast = truth.clone()
    forecast[:, 0, 0], forecast[:, 1, 1] = 1.0, 2.0
    # lead 0: (3·1 + 1·0)/4, lead 1: (3·0 + 1·4)/4; weights of lead 1 and 4 of 5
    loss = MSE(Measure(grid, [1.0, 1.0], weight=[3, 1], lead=[1, 4, 99]))
    assert float(loss(forecast, truth)) == pytest.approx((0.75 * 1 + 1.0 * 4) / 5)
    assert set(loss.state_dict()) >= {"area", "inverse", "mean.weight", "mean.lead"}


def test_any_grid_of_cells_will_do() -> None:
    area = np.array([0.5, 0.3, 0.2])
    ring = SimpleNamespace(shape=(3,), area=area)
    truth = torch.zeros(1, 1, 1, 3)
    forecast = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    expected = 0.5 * 1 + 0.3 * 4 + 0.2 * 9
    assert float(MSE(Measure(ring, [1.0]))(forecast, truth)) == pytest.approx(expected)


def test_levels_count_by_pressure() -> None:
    weights = pressure_weights([500, 1000, None])
    assert weights == pytest.approx([0.6, 1.2, 1.2])  # 500, 1000, 1000 over their mean 2500/3


def test_the_measure_of_channels_and_statistics() -> None:
    level = [SimpleNamespace(level=p) for p in (500, 500, None)]
    channels = SimpleNamespace(__iter__=None, pairs=lambda: ((0, 1),))
    channels = type("Channels", (list,), {"pairs": lambda self: ((0, 1),)})(level)
    statistics = SimpleNamespace(increment_std=[2.0, 3.0, 4.0], mean=[3.0, 0, 0], std=[4.0, 1, 1])
    measure = Measure.of(gauss(4), channels, statistics, lead=[1, 2])
    assert measure.scale.tolist() == [2, 3, 4] and measure.pairs == ((0, 1),)
    assert measure.amplitude.tolist() == [5, 1, 1]
    assert measure.weight.tolist() == pytest.approx([0.75, 0.75, 1.5])
    assert Measure.of(gauss(4), channels, statistics, pressure=False).weight.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": [1.0, 0.0]}, "scale > 0, got 0 for channel 1"),
        ({"scale": [1.0, float("nan")]}, "scale > 0, got nan for channel 1"),
        ({"scale": [1.0, 1.0], "weight": [1.0]}, "2 values of weight, one per channel, got 1"),
        ({"scale": [1.0, 1.0], "weight": [-1.0, 2.0]}, "weight >= 0"),
        ({"scale": [1.0, 1.0], "lead": [0.0, 0.0]}, "not all 0"),
        ({"scale": [1.0, 1.0], "gradient": [0.0, 1.0]}, "gradient > 0"),
    ],
)
def test_a_measure_that_measures_nothing_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Measure(gauss(4), **settings)


def test_states_of_other_channels_or_longer_forecasts_are_refused() -> None:
    grid = gauss(4)
    state = torch.zeros(1, 3, 2, *grid.shape)
    with pytest.raises(UserError, match="weights of 2 lead times, got 3"):
        MSE(Measure(grid, [1.0, 1.0], lead=[1, 1]))(state, state)
    with pytest.raises((UserError, RuntimeError), match="3 channels, got 2|must match"):
        MSE(Measure(grid, [1.0] * 3))(state, state)

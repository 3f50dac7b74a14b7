"""What metrics say of forecasts whose scores are known, and that batches do not change it."""

from math import cos, pi, radians, sin

import numpy as np
import pytest
import torch
from torch import nn

from sciml.calculus.sphere import Harmonics, gauss
from sciml.contracts import UserError
from sciml.globe.metrics import EnsembleMetric, Errors, ForecastMetric, Spectra, Winds
from sciml.globe.metrics.spectra import effective_degree, mean_power
from sciml.globe.noise import InputNoise
from sciml.globe.windows import Window
from sciml.training.means import Means
from tests.globe.windows import Columns, Persistence, double, noise, window_of

GRID = gauss(16)
NAMES = ("z500", "u500", "v500")


def window(samples: int = 6, steps: int = 4) -> Window:
    return window_of(noise(samples, steps + 1, 3, *GRID.shape, dtype=torch.float32))


def metric(**settings) -> ForecastMetric:
    climatology = 0.3 * noise(3, *GRID.shape, seed=9, dtype=torch.float32)
    scores = [
        Errors(GRID.area, NAMES, climatology),
        Spectra(GRID, NAMES, channels=["v500"], degrees=[2, 10]),
        Winds(GRID.area, NAMES, [(1, 2)]),
    ]
    return ForecastMetric(scores, **{"steps": [4, 1], "hours": 6, **settings})


def scored(metric, model: nn.Module, *windows: Window) -> dict[str, float]:
    means = Means()
    for given in windows:
        means.add(metric.statistics(model, given))
    return metric.value(means.value(lambda totals: totals))


def test_names_are_flat() -> None:
    found = scored(metric(), Columns(3), window())
    kinds = ("rmse", "bias", "rmse_over_persistence", "rmse_over_climatology", "acc", "activity")
    for name in (f"{kind}/{c}/{lead}" for kind in kinds for c in NAMES for lead in ("6h", "24h")):
        assert isinstance(found.pop(name), float)
    left = {name.rsplit("/", 1)[0] for name in found}
    assert left >= {"power_ratio/v500/l2", "power_ratio/v500/l10", "speed_bias/wind500"}
    assert left >= {"direction_bias/wind500", "activity_over_truth/z500"}


def test_how_samples_are_batched_changes_nothing() -> None:
    given = window(7)
    whole = scored(metric(), Columns(3), given)
    parts = [window_of(part) for part in given.state.split((1, 4, 2))]
    assert scored(metric(), Columns(3), *parts) == pytest.approx(whole, rel=1e-5)


def test_the_truth_itself_is_perfect() -> None:
    given = window()

    class Told(nn.Module):
        def forward(self, state, forcing):
            step = 1 + next(k for k in range(4) if torch.equal(given.state[:, k], state))
            return given.state[:, step]

    found = scored(metric(), Told(), given)
    for name, value in found.items():
        perfect = 1.0 if name.startswith(("acc", "power_ratio", "activity_over")) else 0.0
        if not name.startswith("activity/"):
            assert value == pytest.approx(perfect, abs=1e-5), name


def test_nothing_changes_is_as_good_as_itself() -> None:
    given = window()
    found = scored(metric(), Persistence(), given)
    error = (given.state[:, 0] - given.state[:, 4])[:, 0].double()
    expected = ((error**2 * torch.from_numpy(GRID.area)).sum((-2, -1)).mean() ** 0.5).item()
    assert found["rmse/z500/24h"] == pytest.approx(expected, rel=1e-6)
    assert all(found[f"rmse_over_persistence/{c}/24h"] == pytest.approx(1) for c in NAMES)


def test_the_climatology_as_a_forecast() -> None:
    """Ratio 1 to itself, no activity, and no correlation to speak of."""
    score = metric()
    climatology = score.scores[0].climatology

    class Mean(nn.Module):
        def forward(self, state, forcing):
            return climatology.expand_as(state) + 1e-12

    found = scored(score, Mean(), window())
    assert found["rmse_over_climatology/u500/6h"] == pytest.approx(1)
    assert found["activity/u500/6h"] == pytest.approx(0, abs=1e-6)


def test_winds_that_turn_and_quicken() -> None:
    angle = radians(20)

    class Turned(nn.Module):
        def forward(self, state, forcing):
            z, u, v = state.unbind(1)
            u, v = cos(angle) * u - sin(angle) * v, sin(angle) * u + cos(angle) * v
            return torch.stack([z, 1.2 * u, 1.2 * v], dim=1)

    still = window_of(window().state[:, :1].expand(-1, 5, -1, -1, -1))
    found = scored(metric(), Turned(), still)
    speed = torch.hypot(still.state[:, 0, 1], still.state[:, 0, 2]).double()
    mean = (speed * torch.from_numpy(GRID.area)).sum((-2, -1)).mean().item()
    assert found["direction_bias/wind500/6h"] == pytest.approx(20, rel=1e-4)
    assert found["direction_error/wind500/24h"] == pytest.approx(80, rel=1e-4)
    assert found["speed_bias/wind500/6h"] == pytest.approx(0.2 * mean, rel=1e-4)
    assert found["speed_bias/wind500/24h"] == pytest.approx((1.2**4 - 1) * mean, rel=1e-4)


def test_a_damped_scale_is_seen_at_its_degree() -> None:
    harmonics = Harmonics(GRID)
    factor = torch.ones(harmonics.truncation + 1)
    factor[9], factor[12] = 0.8, 1.3

    class Damped(nn.Module):
        def forward(self, state, forcing):
            return harmonics.synthesis(factor[:, None, None] * harmonics.analysis(state))

    smooth = harmonics.project(window().state)[:, :1].expand(-1, 5, -1, -1, -1)
    spectra = ForecastMetric([Spectra(GRID, NAMES, mean=torch.ones(3))], [1])
    found = scored(spectra, Damped(), window_of(smooth))
    assert found["power_ratio/u500/l9/6h"] == pytest.approx(0.64, rel=1e-4)
    assert found["power_ratio/u500/l12/6h"] == pytest.approx(1.69, rel=1e-4)
    assert found["power_ratio/u500/l8/6h"] == pytest.approx(1, rel=1e-4)
    assert found["effective_degree/u500/6h"] == 9
    assert found["effective_wavelength_km/u500/6h"] == pytest.approx(2 * pi * 6371 / 9)
    plain = scored(spectra, Persistence(), window_of(smooth))
    assert "effective_degree/u500/6h" not in plain


def test_effective_degree() -> None:
    assert effective_degree(np.array([0.0, 0.1, 1.0, 0.8, 0.7, 0.2])) == 4
    assert effective_degree({2: 1.0, 3: 1.4}) == 3
    assert effective_degree({2: 1.0, 3: 1.3}) is None


def test_mean_power_is_the_variance_by_degree() -> None:
    """White noise on cells of area a: 4π Σ a² (2l + 1) for every l, by the addition theorem."""
    with double():
        found = mean_power(noise(300, 1, 2, *GRID.shape).numpy(), Harmonics(GRID))
    l = np.arange(found.shape[-1])
    white = 4 * pi * np.sum(GRID.area**2) * (2 * l + 1)
    assert found.shape == (1, 2, 16)
    assert found[0].sum(0) / 2 == pytest.approx(white, rel=0.2)


def test_an_ensemble_that_tells_its_error() -> None:
    """Members and truth are draws of one distribution: spread over error is 1, CRPS 1/√π."""
    samples, members = 60, 5
    centre = torch.zeros(samples, 1, 1, *GRID.shape)
    truth = noise(samples, 1, 1, *GRID.shape, seed=3, dtype=torch.float32)
    given = window_of(torch.cat([centre, truth], dim=1))
    score = EnsembleMetric(GRID.area, ["t"], InputNoise([1.0], amplitude=1.0), members, [1])
    found = scored(score, Persistence(), given)
    assert found["crps/t/6h"] == pytest.approx(1 / pi**0.5, rel=0.01)
    assert found["spread/t/6h"] == pytest.approx(1, rel=0.01)
    assert found["rmse/t/6h"] == pytest.approx((1 + 1 / members) ** 0.5, rel=0.01)
    assert found["spread_over_error/t/6h"] == pytest.approx(1, rel=0.01)
    assert found["rmse_over_persistence/t/6h"] == pytest.approx((1 + 1 / 5) ** 0.5, rel=0.01)

    parts = [
        window_of(given.state[a:b], time=given.time[a:b]) for a, b in ((0, 1), (1, 20), (20, None))
    ]
    assert scored(score, Persistence(), *parts) == pytest.approx(found, rel=1e-5)


def test_nothing_of_a_metric_is_in_a_checkpoint() -> None:
    assert not metric().state_dict()


def test_double_precision_and_its_boundary_are_followed() -> None:
    """A float64 phase does not know the metric; a boundary that tells the truth leaves no error."""
    given = window()
    given = window_of(given.state.double())
    score = metric(boundary=lambda given: lambda state, step: given.state[:, step])
    with double():
        found = scored(score, Columns(3), given)
    assert found["rmse/z500/24h"] == 0


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UserError, match="steps >= 1 to score, got"):
        metric(steps=[])
    with pytest.raises(UserError, match="at least 21 states for 20 steps, got 5"):
        scored(metric(steps=[20]), Columns(3), window())
    with pytest.raises(UserError, match="no channel 'w500'"):
        Spectra(GRID, NAMES, channels=["w500"])
    with pytest.raises(UserError, match="degrees of 0 to 15, got"):
        Spectra(GRID, NAMES, degrees=[16])
    with pytest.raises(UserError, match="drop the score"):
        Winds(GRID.area, NAMES, [])
    with pytest.raises(UserError, match="at least 2, got 1"):
        EnsembleMetric(GRID.area, ["t"], InputNoise([1.0]), 1, [1])

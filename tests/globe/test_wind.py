"""Speed and direction: there and back, without wind too; what their loss sees and what not."""

from functools import partial
from math import cos, pi, sin

import pytest
import torch

from sciml.calculus.sphere import gauss
from sciml.contracts import UserError
from sciml.globe.losses import MSE, MSH, Measure, Wind
from sciml.globe.wind import WindOutput, cartesian, polar
from tests.globe.windows import double, noise

PAIRS = ((1, 2), (4, 3))


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 50.0])
def test_there_and_back(size: float) -> None:
    wind = size * noise(2, 500)
    back = torch.stack(cartesian(*polar(*wind)))
    assert (back - wind).abs().max() <= 1e-12 * max(size, 1)
    single = torch.stack(cartesian(*polar(*wind.float())))
    assert (single - wind).abs().max() <= 1e-6 * max(size, 1)


def test_a_direction_has_unit_length_whatever_the_network_says() -> None:
    speed, east, north = torch.tensor(7.0), torch.tensor(3.0), torch.tensor(-4.0)
    u, v = cartesian(speed, east, north)
    assert (float(u), float(v)) == pytest.approx((7 * 0.6, -7 * 0.8), rel=1e-4)


def test_slopes_are_finite_without_wind() -> None:
    still = torch.zeros(2, 1, 1, requires_grad=True)
    for part in polar(*still):
        (slope,) = torch.autograd.grad(part.sum(), still, retain_graph=True)
        assert torch.isfinite(slope).all()
    output = torch.zeros(3, 1, 1, requires_grad=True)
    for part in cartesian(*output):
        (slope,) = torch.autograd.grad(part.sum(), output, retain_graph=True)
        assert torch.isfinite(slope).all()


def test_slopes_by_finite_differences() -> None:
    given = tuple(noise(5, seed=s).requires_grad_() for s in (1, 2, 3))
    assert torch.autograd.gradcheck(polar, given[:2])
    assert torch.autograd.gradcheck(cartesian, given)


def test_a_representation_of_states() -> None:
    state = 10 * noise(2, 5, 4, 8)
    winds = WindOutput(PAIRS)
    wide = winds.encode(state)
    assert wide.shape == (2, 7, 4, 8)
    assert torch.equal(wide[:, 0], state[:, 0])  # not a wind
    speed = (state[:, 1] ** 2 + state[:, 2] ** 2).sqrt()
    assert (wide[:, 5] - speed).abs().max() < 0.1
    assert (winds(wide) - state).abs().max() < 1e-6 * 50
    with pytest.raises(UserError, match="different channels"):
        WindOutput([(0, 1), (1, 2)])
    with pytest.raises(UserError, match="calm > 0"):
        WindOutput(PAIRS, calm=0.0)


def loss_of(grid, **settings):
    measure = Measure(
        grid, [1.0, 2.0, 2.0], weight=[9, 1, 1], std=[1.0, 6.0, 6.0], mean=[0, 8.0, 0],
        pairs=[(1, 2)],
    )  # fmt: skip
    return Wind(measure, **settings)


def turned(state: torch.Tensor, angle: float) -> torch.Tensor:
    u, v = state[:, :, 1], state[:, :, 2]
    wind = (cos(angle) * u - sin(angle) * v, sin(angle) * u + cos(angle) * v)
    return torch.stack([state[:, :, 0], *wind], dim=2)


def test_turning_and_scaling_are_seen_apart() -> None:
    """Turned by θ: ⟨|Δd|²⟩/2 = 1 - cos θ in units (σ/S)²; 10 % faster: (0.1 s / σ)² times λ.

    S² = u² + v² on average = 2 · (8² + 6² + 6²)/2, σ = 2.
    """
    grid = gauss(8)
    with double():
        truth = noise(1, 2, 3, *grid.shape) + torch.tensor([0.0, 8, 6]).view(-1, 1, 1)
        loss = loss_of(grid, speed=3.0, calm=1e-6)
        area = torch.from_numpy(grid.area)
        speed_squared = ((truth[:, :, 1] ** 2 + truth[:, :, 2] ** 2) * area).sum((-2, -1)).mean()
        size_squared = 64 + 36 + 36
        by_angle = float(loss(turned(truth, 0.3), truth))
        faster = truth.clone()
        faster[:, :, 1:] *= 1.1
        by_speed = float(loss(faster, truth))
        other = truth.clone()
        other[:, :, 0] += 5
    assert by_angle == pytest.approx((1 - cos(0.3)) * size_squared / 4, rel=1e-9)
    assert by_speed == pytest.approx(3 * 0.01 * float(speed_squared) / 4, rel=1e-9)
    assert float(loss(other, truth)) == 0


def test_any_loss_is_an_inner_loss_of_winds() -> None:
    grid = gauss(12)
    truth = noise(1, 1, 3, *grid.shape).float() * 5
    forecast = turned(truth, pi / 7).requires_grad_()
    loss = loss_of(grid, inner=partial(MSH, truncation=6))
    loss(forecast, truth).backward()
    assert torch.isfinite(forecast.grad).all() and forecast.grad[:, :, 1:].abs().max() > 0
    assert float(loss(truth, truth)) == 0
    assert float(loss_of(grid, inner=MSE)(truth, truth)) == 0


def test_a_calm_forecast_has_a_finite_slope() -> None:
    grid = gauss(8)
    truth = noise(1, 1, 3, *grid.shape).float()
    forecast = torch.zeros_like(truth, requires_grad=True)
    loss_of(grid)(forecast, truth).backward()
    assert torch.isfinite(forecast.grad).all()


def test_a_state_without_winds_is_refused() -> None:
    with pytest.raises(UserError, match="got no pair"):
        Wind(Measure(gauss(4), [1.0]))
    with pytest.raises(UserError, match="give std="):
        Wind(Measure(gauss(4), [1.0, 1.0], pairs=[(0, 1)]))

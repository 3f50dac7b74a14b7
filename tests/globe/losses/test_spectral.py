"""MSH is what its definition says, and the mean square error with the geometric mean in it."""

from functools import partial
from math import pi

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import Harmonics, LatLon, ReducedGaussian, equiangular, gauss
from sciml.calculus.sphere.spectrum import cross, power
from sciml.contracts import UserError
from sciml.globe.losses import MSE, MSH, Gradient, Measure, Steep, combined, deviation, fastnet
from sciml.globe.losses.degrees import gradient as of_gradient
from tests.globe.windows import double, noise, of_one_degree

GRIDS = {
    "gauss": (gauss(16), None),
    "gauss, truncated": (gauss(16), 9),
    "equiangular with poles": (equiangular(17), None),
    "equiangular off the poles": (equiangular(16, poles=False), 6),
    "octahedral": (ReducedGaussian(8), None),
}


def geometric(p, q):
    return (p * q).sqrt()


def fields(grid, channels=3, correlation=0.8):
    """Forecast and truth `[2, 2, C, *grid]` of white noise: most of it beyond any truncation."""
    truth, other = (noise(2, 2, channels, *grid.shape, seed=s) for s in (0, 1))
    return correlation * truth + (1 - correlation**2) ** 0.5 * other, truth


@pytest.mark.parametrize("name", GRIDS)
def test_with_the_geometric_mean_it_is_the_mean_square_error(name) -> None:
    grid, truncation = GRIDS[name]
    forecast, truth = fields(grid)
    with double():
        measure = Measure(grid, [1.0, 2.0, 0.5], weight=[1, 2, 3], lead=[1, 3], mean=[7.0, 0, 1])
        found = MSH(measure, truncation, mean=geometric)(forecast, truth)
        expected = MSE(measure)(forecast, truth)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    assert float(MSH(measure, truncation)(forecast.float(), truth.float())) > float(expected)


@pytest.mark.parametrize("name", GRIDS)
def test_it_is_the_sum_of_its_definition(name) -> None:
    """Σ_l (√P_f - √P_t)² + 2 max (1 - C), the mean as a square, the remainder by synthesis."""
    grid, truncation = GRIDS[name]
    forecast, truth = fields(grid)
    with double():
        harmonics = Harmonics(grid, truncation)
        found = MSH(Measure(grid, [1.0] * 3), truncation)(forecast, truth)
    f, t = harmonics.analysis(forecast), harmonics.analysis(truth)
    p, q, x = power(f), power(t), cross(f, t)
    by_degree = (p.sqrt() - q.sqrt()) ** 2 + 2 * torch.maximum(p, q) * (1 - x / (p * q).sqrt())
    by_degree[..., 0] = (f - t)[..., 0, 0, 0] ** 2
    error = forecast - truth
    remainder = error - harmonics.project(error)
    area = torch.from_numpy(grid.area)
    expected = by_degree.sum(-1) / (4 * pi) + (remainder**2 * area).flatten(3).sum(-1)
    assert float(found) == pytest.approx(float(expected.mean()), rel=1e-8)


def test_zero_only_for_equal_fields_and_with_a_finite_slope_there() -> None:
    grid = gauss(12)
    _, truth = fields(grid)
    with double():
        loss = MSH(Measure(grid, [1.0] * 3))
        forecast = truth.clone().requires_grad_()
        value = loss(forecast, truth)
        (slope,) = torch.autograd.grad(value, forecast)
        assert value.item() == 0 and not slope.abs().max()
        assert float(loss(truth + 1e-3 * fields(grid)[0], truth)) > 1e-9


@pytest.mark.parametrize("coherence", [0.95, 0.5, 0.0])
def test_the_best_amplitude_is_the_truths_for_every_coherence(coherence: float) -> None:
    """The mean square error's is the truth's times the coherence: 1 - C² against 2 (1 - C)."""
    grid, l = gauss(16), 6
    with double():
        harmonics = Harmonics(grid)
        a, b = of_one_degree(harmonics, l, seed=3), of_one_degree(harmonics, l, seed=4)
        b = b - cross(a, b)[l] * a
        b = b / power(b)[l].sqrt()
        shape = harmonics.synthesis(coherence * a + (1 - coherence**2) ** 0.5 * b)
        truth = harmonics.synthesis(a)[None, None, None]
        measure = Measure(grid, [1.0])
        losses = {"msh": MSH(measure), "mse": MSE(measure)}
        amplitudes = np.linspace(0.05, 1.5, 30)
        best = {}
        for name, loss in losses.items():
            values = [float(loss(s * shape[None, None, None], truth)) for s in amplitudes]
            best[name] = amplitudes[int(np.argmin(values))]
    assert best["msh"] == pytest.approx(1.0, abs=1e-9)
    assert best["mse"] == pytest.approx(max(coherence, 0.05), abs=0.03)


def test_gradient_by_finite_differences() -> None:
    grid = gauss(4)
    with double():
        measure = Measure(grid, [2.0, 0.5], mean=[3.0, 0.0], gradient=[1.0, 2.0])
        forecast, truth = (noise(1, 1, 2, *grid.shape, seed=s) for s in (5, 6))
        forecast.requires_grad_()
        for loss in (MSH(measure), MSH(measure, 2, gamma=combined), fastnet(measure)):
            assert torch.autograd.gradcheck(lambda f, loss=loss: loss(f, truth), (forecast,))


@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_slopes_by_hand_are_those_of_the_definition(size: float) -> None:
    """The second loss is recorded by autograd: it does not know its mean of two for the maximum."""
    grid = gauss(12)
    truth = noise(2, 2, 3, *grid.shape, seed=11)
    forecast = (truth + size * noise(2, 2, 3, *grid.shape, seed=12)).requires_grad_()
    with double():
        measure = Measure(grid, [1.0, 5.0, 0.1], gradient=[2.0, 9.0, 0.3])
        recorded = partial(MSH, mean=lambda p, q: torch.maximum(p, q))
        for settings in ({}, {"gamma": combined, "truncation": 7}, {"gamma": Steep(floor=0.0)}):
            losses = [make(measure, **settings)(forecast, truth) for make in (MSH, recorded)]
            slopes = [torch.autograd.grad(loss, forecast)[0] for loss in losses]
            assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-10)
            assert torch.allclose(*slopes, rtol=1e-7, atol=1e-10 * float(slopes[0].abs().max()))


@pytest.mark.parametrize("grid", [gauss(16), ReducedGaussian(16)], ids=["gauss", "octahedral"])
def test_weights_l_l_plus_1_are_the_loss_of_the_horizontal_gradient(grid) -> None:
    degree = 10
    with double():
        smooth = Harmonics(grid, degree)
        forecast, truth = (smooth.project(x) for x in fields(grid, channels=2))
        sigma = deviation(grid, forecast.flatten(0, 1))
        measure = Measure(grid, [1.0, 3.0], gradient=sigma)
        found = MSH(measure, degree, gamma=of_gradient, mean=geometric)(forecast, truth)
        pointwise = Gradient(measure)(forecast, truth)  # east + north, hence twice the mean of both
        both = MSH(measure, degree, gamma=combined, mean=geometric)(forecast, truth)
        plain = MSE(measure)(forecast, truth)
    assert float(2 * found) == pytest.approx(float(pointwise), rel=1e-6)
    assert float(both) == pytest.approx(float(plain + found) / 2, rel=1e-6)


def test_a_field_and_its_gradient_have_the_same_coherence() -> None:
    """So that AMSE of a field with l(l+1) is AMSE of its gradient, maximum and all."""
    grid, l = gauss(16), 5
    with double():
        harmonics = Harmonics(grid)
        a, b = of_one_degree(harmonics, l, seed=7), 0.6 * of_one_degree(harmonics, l, seed=8)
        f, t = harmonics.synthesis(a), harmonics.synthesis(b)
        (fx, fy), (tx, ty) = harmonics.gradient(a), harmonics.gradient(b)
        area = torch.from_numpy(grid.area)

        def inner(*pairs):
            return float(sum((x * y * area).sum() for x, y in pairs))

        p, q, x = (
            inner(*z) for z in ([(fx, fx), (fy, fy)], [(tx, tx), (ty, ty)], [(fx, tx), (fy, ty)])
        )
        amse = (p**0.5 - q**0.5) ** 2 + 2 * max(p, q) * (1 - x / (p * q) ** 0.5)
        measure = Measure(grid, [1.0], gradient=[2.0])
        found = MSH(measure, gamma=of_gradient)(f[None, None, None], t[None, None, None])
    assert float(found) == pytest.approx(amse / (2 * 2.0**2), rel=1e-8)  # G = 2 · 2² / 1²


@pytest.mark.parametrize("empty", ["forecast", "truth", "both"])
def test_slopes_are_finite_where_there_is_no_power(empty: str) -> None:
    grid = gauss(12)
    forecast, truth = (x.float() for x in fields(grid))
    if empty in ("forecast", "both"):
        forecast = torch.full_like(forecast, 2.0)
    if empty in ("truth", "both"):
        truth = torch.full_like(truth, 3.0)
    forecast.requires_grad_()
    loss = MSH(Measure(grid, [1.0] * 3))
    value = loss(forecast, truth)
    (slope,) = torch.autograd.grad(value, forecast)
    assert torch.isfinite(value) and torch.isfinite(slope).all()


def test_single_precision_is_enough_for_small_waves_on_a_large_mean() -> None:
    """Geopotential: 55 000 ± 1 500 m² s⁻², an error of 15; the naive 1 - C would be rounding."""
    grid = gauss(32)
    with double():
        smooth = Harmonics(grid, 15)
        weather = 1500 * smooth.project(noise(1, 1, 1, *grid.shape, seed=9)) + 55000
        wrong = weather * 1.001 + 15 * smooth.project(noise(1, 1, 1, *grid.shape, seed=10)) - 55
        exact = MSH(Measure(grid, [200.0], mean=[55000.0]), 15)(wrong, weather)
    single = MSH(Measure(grid, [200.0], mean=[55000.0]), 15)(wrong.float(), weather.float())
    # of the input's own rounding, 55000 · 2⁻²⁴ = 0.003, against the error of 5: 6e-4
    assert float(single) == pytest.approx(float(exact), rel=1e-3)


def test_nothing_is_lost_under_autocast() -> None:
    grid = gauss(16)
    forecast, truth = (x.float() for x in fields(grid))
    loss = MSH(Measure(grid, [1.0] * 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(loss(forecast, truth)) == float(loss(forecast, truth))
        under = loss(forecast, truth)
    assert under.dtype == torch.float32 and float(under) == float(loss(forecast, truth))


def test_turning_the_globe_changes_nothing() -> None:
    grid = gauss(16)
    forecast, truth = fields(grid)
    with double():
        loss = MSH(Measure(grid, [1.0] * 3), gamma=Steep())
    turned = [x.roll(5, dims=-1).flip(-2) for x in (forecast, truth)]
    assert float(loss(*turned)) == pytest.approx(float(loss(forecast, truth)), rel=1e-10)


@pytest.mark.parametrize(
    ("steep", "expected"),
    [  # l = 0, 1, 2, 3
        (Steep(2.0, "none", 1.0), [1, 1, 4, 9]),
        (Steep(2.0, "none", 0.0), [0, 1, 4, 9]),
        (Steep(2.0, "modes", 1.0), [1, 3, 20, 63]),
        (Steep(2.0, "mean", 0.0), [0, 3 / 14, 12 / 14, 27 / 14]),
        (Steep(2.0, "mean", 0.5), [0.5, 0.5, 12 / 14, 27 / 14]),
    ],
)
def test_weights_of_degrees(steep: Steep, expected: list[float]) -> None:
    measure = Measure(gauss(6), [1.0])
    assert steep(torch.arange(4.0), measure).tolist() == pytest.approx(expected)


def test_a_weight_counts_at_its_degree_and_beyond_the_last() -> None:
    """An error of one degree costs γ_l times as much; one that is not resolved γ_T."""
    grid, truncation = gauss(16), 8
    with double():
        harmonics = Harmonics(grid)
        zero = torch.zeros(1, 1, 1, *grid.shape, dtype=torch.float64)
        plain, steep = (MSH(Measure(grid, [1.0]), truncation, gamma=g) for g in (None, Steep(2.0)))
        ratios = {}
        for l in (0, 1, 5, 12):
            field = harmonics.synthesis(of_one_degree(harmonics, l))[None, None, None]
            ratios[l] = float(steep(field, zero) / plain(field, zero))
    assert ratios == pytest.approx({0: 1, 1: 1, 5: 25, 12: 64}, rel=1e-6)


def test_calibration_brings_every_channel_to_order_one() -> None:
    grid = gauss(12)
    forecast, truth = (x.float() for x in fields(grid))
    size = torch.tensor([1.0, 50.0, 1e-4]).view(-1, 1, 1)
    loss = fastnet(Measure(grid, [1.0] * 3))
    loss.calibrate(forecast * size, truth * size)
    by_channel = loss.beta * loss.by_channel(forecast * size, truth * size).mean((0, 1))
    assert by_channel.tolist() == pytest.approx([1, 1, 1], rel=1e-5)
    assert "beta" in loss.state_dict()
    with pytest.raises(UserError, match="errors in every channel"):
        loss.calibrate(truth, truth)


def test_what_cannot_be_done_is_refused() -> None:
    measure = Measure(gauss(8), [1.0])
    with pytest.raises((UserError, TypeError), match="'modus'"):  # the hook of the tests is first
        Steep(normalise="modus")
    with pytest.raises(UserError, match="floor > 0"):
        MSH(measure, floor=0.0)
    with pytest.raises(UserError, match=r"give gradient="):
        MSH(measure, gamma=combined)
    with pytest.raises(UserError, match=r"give gradient="):
        Gradient(measure)
    uneven = LatLon(np.array([-60.0, -10, 5, 70]), np.arange(8) * 45.0)
    with pytest.raises(UserError, match="harmonics: expected"):
        MSH(Measure(uneven, [1.0]))


def test_any_loss_is_an_inner_loss_of_the_gradient() -> None:
    grid = gauss(12)
    with double():
        measure = Measure(grid, [1.0] * 3, gradient=[2.0] * 3, mean=[5.0, 0, 0])
        inner = partial(MSH, truncation=5)
        forecast, truth = fields(grid)
        loss = Gradient(measure, inner, east=0.5, north=2.0)
        east = Gradient(measure, inner, east=1.0, north=0.0)(forecast, truth)
        north = Gradient(measure, inner, east=0.0, north=1.0)(forecast, truth)
    assert float(loss(forecast, truth)) == pytest.approx(float(0.5 * east + 2 * north))
    assert float(loss(truth + 3, truth)) == pytest.approx(0, abs=1e-12)  # a constant has no slope

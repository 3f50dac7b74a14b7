"""ETDRK4 on Fourier series: exact solutions, fourth order, means kept, another integrator."""

import numpy as np
import pytest
from scipy import fft
from scipy.integrate import solve_ivp

from sciml.contracts import UserError
from sciml.references import spectral
from sciml.references.spectral import Semilinear

NU = 0.1


def burgers(nu: float = NU) -> Semilinear:
    """u_t = ν u_xx - (u²)_x/2 with period 2π."""

    def nonlinear(u: np.ndarray, k: np.ndarray) -> np.ndarray:
        return -0.5j * k * fft.rfft(u**2, norm="forward")

    return Semilinear(lambda k: -nu * k**2, nonlinear, 0.0, 2 * np.pi)


def cole_hopf(x: np.ndarray, t: float) -> np.ndarray:
    """u = -2ν φ_x/φ of the solution φ = 2 + e^{-νt} cos x of the heat equation."""
    decay = np.exp(-NU * t)
    return 2 * NU * decay * np.sin(x) / (2 + decay * np.cos(x))


def error(steps: int, n: int = 64) -> float:
    """Largest at t = 20 of a wave that carries itself."""
    equation = burgers()
    x = equation.nodes(n)
    start = spectral.coefficients(cole_hopf(x, 0.0))
    found = spectral.solve(equation, start, [0.0, 20.0], steps)
    return float(np.abs(spectral.values(found[-1], n) - cole_hopf(x, 20.0)).max())


def test_exact_solution_and_fourth_order() -> None:
    errors = [error(steps) for steps in (20, 40, 80)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.7).all() and (orders < 4.5).all(), errors
    assert error(1000) < 1e-13


def test_a_linear_equation_is_exact_in_one_step() -> None:
    # u_t + 3 u_x = u_xx/2: sin 2x decays by e^{-2t} and moves by 3t
    equation = Semilinear(
        lambda k: -3j * k - 0.5 * k**2, lambda u, k: np.zeros(len(k), complex), 0.0, 2 * np.pi
    )
    x = equation.nodes(16)
    found = spectral.solve(equation, spectral.coefficients(np.sin(2 * x)), [0.0, 1.5], 1)
    expected = np.exp(-3) * np.sin(2 * (x - 4.5))
    assert np.abs(spectral.values(found[-1], 16) - expected).max() < 1e-15


def test_weights_against_their_series_and_their_formula() -> None:
    # at z = 0: Q = 1/2, f1 = f2 = f3 = 1/6; far from 0 the formulas as they stand
    z = np.array([0.0, -1e-8, -30.0])
    q, f1, f2, f3 = spectral._weights(z)
    for weight, limit in zip((q, f1, f2, f3), (1 / 2, 1 / 6, 1 / 6, 1 / 6), strict=True):
        assert np.abs(weight[:2] - limit).max() < 1e-8
    w, e = z[2], np.exp(z[2])
    direct = (np.exp(w / 2) - 1) / w, (-4 - w + e * (4 - 3 * w + w**2)) / w**3
    assert abs(q[2] - direct[0]) < 1e-15 and abs(f1[2] - direct[1]) < 1e-15
    assert abs(f2[2] - (2 + w + e * (w - 2)) / w**3) < 1e-15
    assert abs(f3[2] - (-4 - 3 * w - w**2 + e * (4 - w)) / w**3) < 1e-15


def test_another_integrator() -> None:
    equation, n = burgers(0.05), 48
    u = np.sin(equation.nodes(n)) + 0.3
    k = equation.wave_numbers(n)

    def rate(_: float, u: np.ndarray) -> np.ndarray:
        spectrum = equation.symbol(k) * spectral.coefficients(u) + equation.nonlinear(u, k)
        return fft.irfft(spectrum, n, norm="forward")

    theirs = solve_ivp(rate, (0, 1), u, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    found = spectral.solve(equation, spectral.coefficients(u), [0.0, 0.5, 1.0], 600)
    assert np.abs(spectral.values(found[-1], n) - theirs).max() < 1e-10
    assert abs(found[-1, 0] - 0.3) < 1e-15  # the mean is kept


def test_values_on_more_and_on_fewer_nodes() -> None:
    x = 2 * np.pi * np.arange(64) / 64
    c = spectral.coefficients(np.cos(5 * x))
    assert np.allclose(spectral.values(c, 16), np.cos(5 * 2 * np.pi * np.arange(16) / 16))
    assert np.allclose(spectral.values(c, 200), np.cos(5 * 2 * np.pi * np.arange(200) / 200))
    sharp = spectral.coefficients(
        np.cos(23 * x)
    )  # finer than 16 nodes resolve: sampled all the same
    assert np.allclose(spectral.values(sharp, 16), np.cos(23 * 2 * np.pi * np.arange(16) / 16))


@pytest.mark.parametrize(("times", "steps"), [([0, 1, 3], 1), ([0.0], 1), ([0, 1], 0)])
def test_refuses_uneven_times(times: list[float], steps: int) -> None:
    with pytest.raises(UserError, match="equally spaced times and steps >= 1"):
        spectral.solve(burgers(), np.zeros(9), times, steps)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_refuses_steps_that_blow_up() -> None:
    growing = Semilinear(
        lambda k: -0.01 * k**2, lambda u, k: fft.rfft(u**3, norm="forward"), 0.0, 2 * np.pi
    )
    start = spectral.coefficients(10 * np.cos(growing.nodes(16)))
    with pytest.raises(UserError, match="finite solution at t = 1, got inf or nan with steps=10"):
        spectral.solve(growing, start, [0.0, 1.0], 10)

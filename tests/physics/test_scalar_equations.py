"""Scalar equations: exact solutions, differentiated by sympy, make every residual vanish."""

import math

import numpy as np
import sympy as sp
import torch

from sciml.physics import burgers, helmholtz, klein_gordon, poisson

x, y, z, t = sp.symbols("x y z t", real=True)
POINTS = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def agrees(ours: torch.Tensor, derived: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> bool:
    """Compares a source in torch with sympy's own derivation at 50 points of the unit square."""
    columns = (POINTS[:, i].numpy() for i in range(len(symbols)))
    truth = sp.lambdify(symbols, derived, "numpy")(*columns)
    return bool(np.allclose(ours.numpy(), truth, rtol=1e-12, atol=1e-12 * np.abs(truth).max()))


def test_poisson_of_a_quadratic() -> None:
    u = x**2 + 3 * y**2 - 2 * z**2
    second = [sp.diff(u, s, 2) for s in (x, y, z)]
    assert poisson.residual(2 + 6 - 4, *second) == 0


def test_poisson_without_the_directions_a_problem_lacks() -> None:
    assert poisson.residual(sp.Integer(5), sp.Integer(5)) == 0


def test_poisson_source_is_the_second_derivative_of_the_solution() -> None:
    derived = sp.diff(sp.sin(4 * x), x, 2)
    assert agrees(poisson.sine_source(POINTS[:, 0], C=4), derived, (x,))
    assert agrees(poisson.sine(POINTS[:, 0], C=4), sp.sin(4 * x), (x,))


def test_helmholtz_plane_wave_needs_no_source() -> None:
    k, angle = sp.symbols("k angle", real=True)
    u = sp.cos(k * (x * sp.cos(angle) + y * sp.sin(angle)))
    assert sp.simplify(helmholtz.residual(u, u.diff(x, 2), u.diff(y, 2), 0, k=k)) == 0


def test_helmholtz_source_by_an_independent_derivation() -> None:
    for a1, a2, k in ((1, 4, 1), (2, 3, 5)):
        u = sp.sin(a1 * sp.pi * x) * sp.sin(a2 * sp.pi * y)
        derived = u.diff(x, 2) + u.diff(y, 2) + k**2 * u
        assert agrees(helmholtz.standing_wave_source(*POINTS.T, a1, a2, k), derived, (x, y))
        assert agrees(helmholtz.standing_wave(*POINTS.T, a1, a2), u, (x, y))


def test_helmholtz_source_of_the_benchmark_in_numbers() -> None:
    # x = 1/2, y = 1/8: both sines are 1, so q = 1 - π² - 16 π² = 1 - 17 π²
    q = helmholtz.standing_wave_source(torch.tensor(0.5), torch.tensor(0.125), 1, 4)
    assert math.isclose(float(q), 1 - 17 * math.pi**2, rel_tol=1e-6)


def test_klein_gordon_linear_wave_obeys_its_dispersion_relation() -> None:
    # u = cos(ωt - κx) solves u_tt - c² u_xx + m² u = 0 when ω² = c²κ² + m²
    c, kappa, m = sp.symbols("c kappa m", positive=True)
    u = sp.cos(sp.sqrt(c**2 * kappa**2 + m**2) * t - kappa * x)
    left = klein_gordon.residual(
        u, u.diff(t, 2), u.diff(x, 2), 0, alpha=-(c**2), beta=m**2, gamma=0
    )
    assert sp.simplify(left) == 0


def test_klein_gordon_kink() -> None:
    # u = tanh(x/√2) is the standing kink of u_tt - u_xx - u + u³ = 0
    u = sp.tanh(x / sp.sqrt(2))
    assert sp.simplify(klein_gordon.residual(u, 0, u.diff(x, 2), 0, beta=-1)) == 0


def test_klein_gordon_source_by_an_independent_derivation() -> None:
    u = x * sp.cos(5 * sp.pi * t) + (x * t) ** 3
    for alpha, beta, gamma, k in ((-1, 0, 1, 3), (-4, 2, 0.5, 2)):
        derived = u.diff(t, 2) + alpha * u.diff(x, 2) + beta * u + gamma * u**k
        ours = klein_gordon.growing_wave_source(*POINTS.T, alpha, beta, gamma, k)
        assert agrees(ours, derived, (x, t))
    assert agrees(klein_gordon.growing_wave(*POINTS.T), u, (x, t))


def test_burgers_moving_front() -> None:
    U, nu, c = sp.symbols("U nu c", positive=True)
    u = c - U * sp.tanh(U * (x - c * t) / (2 * nu))
    left = burgers.residual(u, u.diff(t), u.diff(x), u.diff(x, 2), nu)
    assert sp.simplify(left) == 0


def test_burgers_solution_from_the_heat_equation() -> None:
    # Cole and Hopf: u = -2ν φ_x/φ with φ_t = ν φ_xx, here φ = 2 + e^{-νt} cos x
    nu = sp.Symbol("nu", positive=True)
    phi = 2 + sp.exp(-nu * t) * sp.cos(x)
    u = -2 * nu * phi.diff(x) / phi
    left = burgers.residual(u, u.diff(t), u.diff(x), u.diff(x, 2), nu)
    assert sp.simplify(left) == 0


def test_residuals_keep_the_shape_of_the_points() -> None:
    u = POINTS[:, 0]
    assert helmholtz.residual(u, u, u, u).shape == (50,)
    assert klein_gordon.residual(u, u, u, u).shape == (50,)
    assert poisson.residual(u, u).shape == burgers.residual(u, u, u, u, 0.1).shape == (50,)

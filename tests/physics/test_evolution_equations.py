"""Equations that evolve a start: exact solutions, differentiated by sympy, meet them."""

import sympy as sp
import torch

from sciml.physics import advection, allen_cahn, kuramoto_sivashinsky

x, t = sp.symbols("x t", real=True)


def test_advection_carries_any_shape() -> None:
    beta = sp.Symbol("beta", positive=True)
    u = sp.Function("f")(x - beta * t).doit()
    assert sp.simplify(advection.residual(u.diff(t), u.diff(x), beta).doit()) == 0


def test_advection_exact_solution() -> None:
    at = torch.tensor([0.3, 2.0], dtype=torch.float64)
    expected = [float(sp.sin(sp.Float(a, 20) - 30 * sp.Float("0.7", 20))) for a in (0.3, 2.0)]
    found = advection.sine_wave(at, torch.full_like(at, 0.7), 30.0)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_allen_cahn_wall_at_rest() -> None:
    D, r = sp.symbols("D r", positive=True)
    u = sp.tanh(x * sp.sqrt(r / (2 * D)))
    assert sp.simplify(allen_cahn.residual(u, 0, u.diff(x, 2), D, r)) == 0


def test_allen_cahn_wall_that_runs_into_the_unstable_phase() -> None:
    D, r = sp.symbols("D r", positive=True)
    c = 3 * sp.sqrt(r * D / 2)
    u = (1 - sp.tanh(sp.sqrt(r / (8 * D)) * (x - c * t))) / 2
    left = allen_cahn.residual(u, u.diff(t), u.diff(x, 2), D, r)
    assert sp.simplify(left.rewrite(sp.exp)) == 0


def test_kuramoto_sivashinsky_growth_of_small_waves() -> None:
    # without steepening, cos kx grows at the rate β k² - γ k⁴
    k, beta, gamma = sp.symbols("k beta gamma", positive=True)
    u = sp.exp((beta * k**2 - gamma * k**4) * t) * sp.cos(k * x)
    d = [u.diff(t), u.diff(x), u.diff(x, 2), u.diff(x, 4)]
    assert sp.simplify(kuramoto_sivashinsky.residual(u, *d, 0, beta, gamma)) == 0


def test_kuramoto_sivashinsky_travelling_front() -> None:
    # for α = β = γ = 1 (Kuramoto and Tsuzuki 1976): u = c + (15/19) (11/19)^½ (11 T³ - 9 T),
    # T = tanh(q (x - c t)), q = (11/19)^½/2; so T_x = q (1 - T²), and u_t = -c u_x
    T, c = sp.symbols("T c", real=True)
    q = sp.sqrt(sp.Rational(11, 19)) / 2
    d = [c + sp.Rational(15, 19) * 2 * q * (11 * T**3 - 9 * T)]
    for _ in range(4):
        d.append(sp.expand(d[-1].diff(T) * q * (1 - T**2)))
    left = kuramoto_sivashinsky.residual(d[0], -c * d[1], d[1], d[2], d[4], *[sp.Integer(1)] * 3)
    assert sp.expand(left) == 0


def test_residuals_keep_the_shape_of_the_points() -> None:
    u = torch.rand(7)
    assert advection.residual(u, u, 30.0).shape == (7,)
    assert allen_cahn.residual(u, u, u).shape == (7,)
    assert kuramoto_sivashinsky.residual(u, u, u, u, u).shape == (7,)

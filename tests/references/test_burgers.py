"""The Cole-Hopf solution: another quadrature, the equation, symmetry, published slope."""

import math

import numpy as np
import pytest
import torch

from sciml.calculus.pointwise import autograd
from sciml.contracts import UserError
from sciml.physics import burgers as physics
from sciml.references import burgers

NU = 0.01 / math.pi


def trapezoid(x: float, t: float, nu: float) -> float:
    """The two integrals by 12,001 equally spaced points: spectrally accurate, as ends vanish."""
    z = np.linspace(-20, 20, 12001)
    y = np.pi * (x - np.sqrt(4 * nu * t) * z)
    exponent = -np.cos(y) / (2 * np.pi * nu) - z**2
    weights = np.exp(exponent - exponent.max())
    return float(-(weights * np.sin(y)).sum() / weights.sum())


def points(n: int = 400, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Half of them in the front."""
    draw = torch.rand(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = 2 * draw[0] - 1
    return torch.where(torch.arange(n) % 2 == 0, x, x**5), draw[1]


@pytest.mark.parametrize("nu", [NU, 0.1])
def test_another_quadrature(nu: float) -> None:
    x, t = points()
    expected = [trapezoid(a, b, nu) for a, b in zip(x.tolist(), t.tolist(), strict=True)]
    assert np.abs(burgers.sine_wave(x, t, nu).numpy() - expected).max() < 1e-14


def test_a_hundred_nodes_are_enough() -> None:
    x, t = points()
    gap = [burgers.sine_wave(x, t, NU, n) - burgers.sine_wave(x, t, NU, 300) for n in (60, 100)]
    assert gap[0].abs().max() > 1e-11  # the nodes matter
    assert gap[1].abs().max() < 1e-14


def test_the_equation_of_physics_holds() -> None:
    x, t = points()
    f = autograd.derivatives(
        lambda p: burgers.sine_wave(p[:, 0], p[:, 1], NU)[:, None],
        torch.stack((x, 0.01 + 0.99 * t), dim=1),
        *(("u",), ("x", "t"), {"u", "u_t", "u_x", "u_xx"}),
    )
    residual = physics.residual(f["u"], f["u_t"], f["u_x"], f["u_xx"], NU)
    assert f["u_x"].abs().max() > 100
    assert residual.abs().max() < 1e-9  # of terms up to 150


def test_start_ends_and_oddness() -> None:
    x, t = points()
    zero = torch.zeros_like(x)
    at_start = burgers.sine_wave(x, zero, NU)
    torch.testing.assert_close(at_start, -torch.sin(math.pi * x), rtol=0, atol=1e-15)
    for end in (-1.0, 0.0, 1.0):
        assert burgers.sine_wave(torch.full_like(t, end), t, NU).abs().max() < 1e-14
    mirrored = -burgers.sine_wave(-x, t, NU)
    torch.testing.assert_close(burgers.sine_wave(x, t, NU), mirrored, rtol=0, atol=1e-14)


def test_the_steepest_slope_as_published() -> None:
    # Basdevant et al. (1986): |u_x(0, t)| has its largest value 152.00516 at π t = 1.6037
    t = torch.linspace(0.45, 0.55, 2001, dtype=torch.float64)
    found = autograd.derivatives(
        lambda p: burgers.sine_wave(p[:, 0], p[:, 1], NU)[:, None],
        torch.stack((torch.zeros_like(t), t), dim=1),
        *(("u",), ("x", "t"), {"u_x"}),
    )["u_x"].detach()
    steepest = int(found.argmin())
    assert abs(float(found[steepest]) + 152.00516) < 1e-4
    assert abs(math.pi * float(t[steepest]) - 1.6037) < 2e-4


def test_refuses_an_inviscid_fluid() -> None:
    x, t = points(4)
    with pytest.raises(UserError, match="viscosity nu > 0, got 0"):
        burgers.sine_wave(x, t, 0)

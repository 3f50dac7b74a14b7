"""Taylor's scraper and its inertial corrections: closed form, walls, order of what is left."""

import math

import numpy as np
import pytest
import torch

from sciml.calculus.pointwise import taylor
from sciml.physics import navier_stokes, scraping_flow

NAMES = (
    *("psi_x", "psi_y", "psi_xxx", "psi_xxy", "psi_xyy", "psi_yyy"),
    *("psi_xxxx", "psi_xxyy", "psi_yyyy"),
)


def derivatives(points: torch.Tensor, Re: float, terms: int, names: tuple[str, ...]):
    """By x = X and y = -Y, so that u = psi_y = 1 on the sliding wall."""

    def psi(x):
        return scraping_flow.stream_function(x[:, :1], -x[:, 1:], Re, terms)

    return taylor.derivatives(psi, points, ("psi",), ("x", "y"), names)


def ray(r: list[float], angle: float) -> torch.Tensor:
    r = torch.tensor(r, dtype=torch.float64)
    return torch.stack([r * math.cos(angle), -r * math.sin(angle)], dim=1)


def test_without_inertia_it_is_taylors_scraper():
    angle = np.linspace(0, math.pi / 2, 31)
    f = np.polynomial.polynomial.polyval(angle - math.pi / 4, scraping_flow.angular(1)[0])
    bracket = angle * (np.cos(angle) + math.pi / 2 * np.sin(angle))
    closed = 4 / (math.pi**2 - 4) * (bracket - math.pi**2 / 4 * np.sin(angle))
    assert np.abs(f - closed).max() < 1e-14


@pytest.mark.parametrize("Re", [100.0, -100.0])
@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_the_fluid_moves_with_both_walls(Re, terms):
    r = [1e-6, 1e-3, 0.03, 0.1]
    names = ("psi", "psi_x", "psi_y")
    sliding, resting = (derivatives(ray(r, a), Re, terms, names) for a in (0.0, math.pi / 2))
    one = torch.ones(4, dtype=torch.float64)
    assert torch.allclose(sliding["psi_y"], one, rtol=0, atol=1e-9)
    assert all(sliding[name].abs().max() < 1e-9 for name in ("psi", "psi_x"))
    assert all(resting[name].abs().max() < 1e-9 for name in names)


@pytest.mark.parametrize("Re", [100.0, -100.0])
@pytest.mark.parametrize("angle", [0.3, 0.8, 1.4])
@pytest.mark.parametrize("terms", [1, 2, 3])
def test_each_term_leaves_a_residual_of_one_order_less(Re, angle, terms):
    """K terms leave r^(K-3): the inertia of the terms k >= K, which are r^(k+1)."""
    found = derivatives(ray([1e-4, 2e-4], angle), abs(Re), terms, NAMES)
    if Re < 0:  # towards the corner: the same flow seen in a mirror
        mirrored = ray([1e-4, 2e-4], angle)
        found = derivatives(mirrored, Re, terms, NAMES)
        found = {name: (-1) ** name.count("x") * value for name, value in found.items()}
    left = navier_stokes.vorticity_transport(*(found[name] for name in NAMES), abs(Re))
    assert math.isclose(math.log2(left[1] / left[0]), terms - 3, abs_tol=0.02)


def test_the_corner_itself_has_a_finite_velocity():
    found = derivatives(torch.zeros(1, 2, dtype=torch.float64), 100.0, 3, ("psi_x", "psi_y"))
    assert all(torch.isfinite(value).all() for value in found.values())

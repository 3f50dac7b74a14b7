"""Power, cross spectrum, coherence: invariance, bounds, the identity of the mean square error."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sciml.calculus.sphere import gauss
from sciml.calculus.sphere.spectrum import coherence, cross, power
from tests.calculus.sphere.waves import GRIDS, coefficients, exact, named, position


def polynomial(grid, axes):
    """Σ_k (c_k·x)^{k+2} of degree 7: within the truncation of every grid here."""
    x = position(grid)
    c = torch.from_numpy(axes)
    return sum(torch.tensordot(c[k], x, 1) ** (k + 2) for k in range(len(c)))


@pytest.mark.parametrize("grid", GRIDS, ids=named)
def test_power_does_not_depend_on_the_axis(grid):
    axes = np.random.default_rng(0).normal(size=(6, 3))
    turned = Rotation.from_euler("zyx", [0.4, 1.1, -0.7]).apply(axes)
    harmonics = exact(grid, min(7, grid.exact_degree))
    assert harmonics.truncation == 7
    before, after = (harmonics.analysis(polynomial(grid, a)) for a in (axes, turned))
    assert not torch.allclose(before, after, rtol=0.1)
    torch.testing.assert_close(power(before), power(after), rtol=1e-9, atol=1e-12)


def test_power_of_one_harmonic():
    """P_l = |α_l0|² + 2 Σ |α_lm|²."""
    alpha = torch.zeros(4, 4, 2, dtype=torch.float64)
    alpha[2, 0, 0], alpha[2, 1, 0], alpha[2, 2, 1] = 3, -2, 1
    assert power(alpha).tolist() == [0, 0, 9 + 2 * (4 + 1), 0]


def test_cross_spectrum_is_the_integral_of_the_product():
    """Σ_l X_l = ∫ f g dΩ."""
    grid = gauss(12)
    harmonics = exact(grid)
    alpha, beta = coefficients(11, seed=1), coefficients(11, seed=2)
    product = harmonics.synthesis(alpha) * harmonics.synthesis(beta)
    integral = 4 * np.pi * (product * torch.from_numpy(grid.area)).sum()
    assert cross(alpha, beta).sum() == pytest.approx(float(integral), rel=1e-12)


def test_coherence():
    alpha, beta = coefficients(20, 5, seed=1), coefficients(20, 5, seed=2)
    found = coherence(alpha, beta)
    assert found.abs().max() <= 1 and 0.1 < found.std() < 0.9
    assert torch.allclose(coherence(alpha, 3 * alpha), torch.ones(5, 21, dtype=torch.float64))
    assert torch.allclose(coherence(alpha, -alpha), -torch.ones(5, 21, dtype=torch.float64))
    assert coherence(alpha.float(), 0.3 * alpha.float()).max() <= 1
    nothing = torch.zeros_like(alpha)
    assert torch.equal(coherence(alpha, nothing, floor=1e-12), torch.zeros_like(found))
    assert coherence(alpha, nothing).isnan().all()


@pytest.mark.parametrize("grid", GRIDS, ids=named)
def test_mean_square_error_by_amplitude_and_coherence(grid):
    """∫ (f - g)² dΩ = Σ_l (√P_f - √P_g)² + 2 √(P_f P_g) (1 - C)."""
    harmonics = exact(grid)
    alpha, noise = (coefficients(harmonics.truncation, seed=seed) for seed in (1, 2))
    beta = 0.7 * alpha + 0.3 * noise
    error = harmonics.synthesis(alpha) - harmonics.synthesis(beta)
    area = torch.from_numpy(grid.area)
    a, b = power(alpha).sqrt(), power(beta).sqrt()
    total = ((a - b) ** 2 + 2 * a * b * (1 - coherence(alpha, beta))).sum()
    assert 4 * np.pi * (error**2 * area).sum() == pytest.approx(float(total), rel=1e-10)

"""Finite differences: order of convergence up to the poles, exactness, edges, spectral gradient."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from sciml.calculus.sphere import FiniteDifferences, LatLon, equiangular, gauss
from sciml.contracts import UserError
from tests.calculus.sphere.waves import coefficients, exact, frame, position, rotation

AXIS = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)


def uneven(n):
    """Circles that crowd towards the poles: from -89 to 89 degrees."""
    s = np.sin(np.linspace(-1, 1, n) * 1.5) / np.sin(1.5)
    return LatLon(89 * s, np.arange(2 * n) * 180 / n)


def hemisphere(n):
    return LatLon(np.linspace(0, 90, n + 1), np.arange(2 * n) * 180 / n)


def region(n):
    return LatLon(np.linspace(20, 80, n), np.linspace(-30, 40, n))


FAMILIES = {
    "gauss": gauss,
    "odd": lambda n: gauss(n + 1, 2 * n + 1),
    "poles": lambda n: equiangular(n + 1),
    "offset": lambda n: equiangular(n, poles=False),
    "uneven": uneven,
    "hemisphere": hemisphere,
    "region": region,
}


def differences(grid, *arguments, **keywords):
    return FiniteDifferences(grid, *arguments, **keywords).double()


def smooth(grid):
    """f = exp(c·x), ∇f = f (c·e, c·n)."""
    f = torch.tensordot(AXIS, position(grid), 1).exp()
    return f, *(f * torch.tensordot(AXIS, axis, 1) for axis in frame(grid))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_fourth_order_everywhere(family):
    """The largest error of all points, poles and edges included."""
    errors = []
    for n in (24, 48):
        f, *closed = smooth(family(n))
        found = differences(family(n))(f)
        errors.append([float((a - b).abs().max()) for a, b in zip(found, closed, strict=True)])
    order = np.log2(np.array(errors[0]) / errors[1])
    assert order.min() > 3.6, (order, errors)
    assert np.max(errors[1]) < 1e-4


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_exact_for_quartic_polynomials_of_latitude(family):
    """But where a meridian crosses a pole, for φ⁴ has a kink there."""
    grid = family(24)
    phi = torch.from_numpy(np.radians(grid.cells[0])).view(grid.shape)
    _, north = differences(grid, radius=2.0)(phi**4 - phi)
    error = (north - (4 * phi**3 - 1) / 2)[3:-3]
    assert error.abs().max() < 1e-11


def test_exact_for_quartic_polynomials_of_longitude_in_a_region():
    grid = region(9)
    lat, lon = (torch.from_numpy(np.radians(x)).view(grid.shape) for x in grid.cells)
    east, north = differences(grid)(lon**4)
    assert (east - 4 * lon**3 / lat.cos()).abs().max() < 1e-12
    assert north.abs().max() < 1e-12


@pytest.mark.parametrize("grid", [gauss(48), equiangular(49), equiangular(48, poles=False)])
def test_against_the_spectral_gradient(grid):
    """Waves up to l = 4 on 48 circles: errors of (π l / 48)⁴ / 30."""
    harmonics = exact(grid, 4, radius=3.0)
    alpha = coefficients(4)
    spectral = torch.stack(harmonics.gradient(alpha))
    ours = torch.stack(differences(grid, 3.0)(harmonics.synthesis(alpha)))
    assert (ours - spectral).abs().max() < 3e-4 * spectral.abs().max()


@pytest.mark.parametrize("grid", [equiangular(37), hemisphere(18)])
def test_one_vector_at_a_pole(grid):
    f, *_ = smooth(grid)
    east, north = differences(grid)(f)
    vector = east[-1] * frame(grid)[0][:, -1] + north[-1] * frame(grid)[1][:, -1]
    closed = AXIS * torch.tensor([1.0, 1, 0]) * AXIS[2].exp()
    assert (vector - closed[:, None]).abs().max() < 1e-4
    assert (vector - vector[:, :1]).abs().max() < 1e-14


@pytest.mark.parametrize("grid", [gauss(48), equiangular(49)])
def test_components_of_a_vector_change_sign_across_the_pole(grid):
    """V = ω × x: u = ω·n, v = -ω·e, so that ∂u/∂φ = -ω·x and ∂v/∂φ = 0."""
    u, v, along = rotation((0.6, -0.64, 0.48), grid)
    gradient = differences(grid)
    for component, closed in ((u, -along), (v, 0 * v)):
        _, north = gradient(component, vector=True)
        assert (north - closed).abs().max() < 1e-5
        assert (gradient(component)[1] - closed).abs().max() > 1


def test_no_eastward_derivative_of_a_component_at_the_pole():
    grid = equiangular(17)
    u, *_ = rotation((1.0, 0, 0), grid)
    east, north = differences(grid)(u, vector=True)
    assert not east[[0, -1]].any() and north.isfinite().all() and east.isfinite().all()


def test_zero_near_the_poles_where_asked():
    grid = gauss(16)
    f, *_ = smooth(grid)
    whole, part = differences(grid)(f), differences(grid, within=60.0)(f)
    inside = torch.from_numpy(np.abs(grid.lat) <= 60)
    for a, b in zip(whole, part, strict=True):
        assert torch.equal(b[inside], a[inside]) and not b[~inside].any()


@pytest.mark.parametrize("grid", [gauss(5, 6), equiangular(5, 6), region(5)])
def test_gradients_by_finite_differences(grid):
    draw = torch.Generator().manual_seed(0)
    f = torch.randn(grid.shape, generator=draw, dtype=torch.float64).requires_grad_()
    gradient = differences(grid)
    assert gradcheck(gradient, (f,))
    assert gradcheck(lambda f: gradient(f, vector=True), (f,))


def test_batches_and_single_precision():
    grid = gauss(24)
    f, *_ = smooth(grid)
    f = f * torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1)
    double = differences(grid)(f)
    single = FiniteDifferences(grid)(f.float())
    for a, b in zip(double, single, strict=True):
        assert b.dtype == torch.float32 and torch.allclose(a.float(), b, atol=1e-4)
        assert torch.allclose(a[1], -2 * a[0])


def test_refused():
    with pytest.raises(UserError, match="at least 5 × 5 points, got 4 × 8"):
        FiniteDifferences(gauss(4))

"""The transform: closed forms, round trips on every grid, calculus, precision, what is refused."""

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch.autograd import gradcheck

from sciml.calculus.sphere import Harmonics, LatLon, ReducedGaussian, equiangular, gauss
from sciml.calculus.sphere.spectrum import power
from sciml.contracts import UserError
from tests.calculus.sphere.waves import GRIDS, coefficients, exact, frame, named, position, rotation

EARTH = 6.371e6
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=named)


def one(truncation, l, m, value):
    """α of one harmonic."""
    alpha = torch.zeros(truncation + 1, truncation + 1, 2, dtype=torch.float64)
    alpha[l, m] = torch.tensor([value.real, value.imag])
    return alpha


def integral(grid, f):
    """∫ f dΩ by the weights of the grid."""
    return 4 * np.pi * (f * torch.from_numpy(grid.area)).flatten(-len(grid.shape)).sum(-1)


@every_grid
@pytest.mark.parametrize(("l", "m"), [(0, 0), (1, 0), (1, 1), (4, 2), (6, 5), (6, 6)])
def test_harmonics_of_scipy(grid, l, m):
    """α = 1 - 2i of Y_lm is Re (1 - 2i) Y_lm · 2; SciPy's phase (-1)^m is taken off."""
    harmonics = exact(grid, 6)
    lat, lon = np.radians(grid.cells)
    value = (1 - 2j) if m else 1 + 0j
    theirs = (-1) ** m * sph_harm_y(l, m, np.pi / 2 - lat, lon) * value * (2 if m else 1)
    f = torch.from_numpy(np.ascontiguousarray(theirs.real)).view(grid.shape)
    assert torch.allclose(harmonics.synthesis(one(6, l, m, value)), f, atol=1e-13)
    assert torch.allclose(harmonics.analysis(f), one(6, l, m, value), atol=1e-13)


@every_grid
@pytest.mark.parametrize("part", [1.0, 0.5])
def test_round_trip(grid, part):
    harmonics = exact(grid, int(part * grid.exact_degree))
    alpha = coefficients(harmonics.truncation, 2, 3)
    f = harmonics.synthesis(alpha)
    assert f.shape == (2, 3, *grid.shape)
    assert (harmonics.analysis(f) - alpha).abs().max() < 1e-10 * alpha.abs().max()
    assert (harmonics.project(f) - f).abs().max() < 1e-10 * f.abs().max()


@every_grid
def test_projection_is_orthogonal(grid):
    """What is cut off has no part in what is kept, and cutting twice is cutting once."""
    harmonics = exact(grid, grid.exact_degree // 2)
    f = torch.randn(grid.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    kept = harmonics.project(f)
    assert (harmonics.project(kept) - kept).abs().max() < 1e-10
    assert abs(integral(grid, kept * (f - kept))) < 1e-10 * integral(grid, f * f)


@every_grid
def test_parseval(grid):
    harmonics = exact(grid)
    alpha = coefficients(harmonics.truncation, 4)
    assert torch.allclose(integral(grid, harmonics.synthesis(alpha) ** 2), power(alpha).sum(-1))


@every_grid
def test_gradient_of_a_polynomial(grid):
    """f = (c·x)³: ∇f = 3 (c·x)² (c - (c·x) x) / a; at the poles too."""
    c, x = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64), position(grid)
    along = torch.tensordot(c, x, 1)
    harmonics = exact(grid, 4, EARTH)
    east, north = harmonics.gradient(harmonics.analysis(along**3))
    for component, axis in zip((east, north), frame(grid), strict=True):
        closed = 3 * along**2 * torch.tensordot(c, axis, 1) / EARTH
        assert (component - closed).abs().max() < 1e-12 / EARTH


@every_grid
def test_size_of_the_gradient(grid):
    """∫ |∇f|² dΩ = Σ l(l+1) P_l / a²."""
    harmonics = exact(grid, radius=2.5)
    alpha = coefficients(harmonics.truncation)
    east, north = harmonics.gradient(alpha)
    l = torch.arange(harmonics.truncation + 1.0, dtype=torch.float64)
    closed = (l * (l + 1) * power(alpha)).sum() / 2.5**2
    assert integral(grid, east**2 + north**2) == pytest.approx(float(closed), rel=1e-10)


@every_grid
def test_solid_rotation(grid):
    """V = U ω × x about any axis: ζ = 2 U ω·x / a, δ = 0, and back."""
    u, v, along = rotation((0.6, -0.64, 0.48), grid)
    harmonics = exact(grid, 3, EARTH)
    vorticity, divergence = harmonics.vorticity_divergence(40 * u, 40 * v)
    assert torch.allclose(harmonics.synthesis(vorticity), 80 * along / EARTH, atol=1e-17)
    assert divergence.abs().max() < 1e-18
    back = harmonics.wind(vorticity, divergence)
    assert torch.allclose(torch.stack(back), 40 * torch.stack([u, v]), atol=1e-11)


@every_grid
def test_wind_round_trip(grid):
    harmonics = exact(grid, radius=EARTH)
    vorticity, divergence = (
        1e-5 * coefficients(harmonics.truncation, 2, seed=seed, mean=False) for seed in (1, 2)
    )
    back = harmonics.vorticity_divergence(*harmonics.wind(vorticity, divergence))
    for ours, given in zip(back, (vorticity, divergence), strict=True):
        assert (ours - given).abs().max() < 1e-9 * given.abs().max()


@every_grid
def test_gradient_is_the_wind_of_a_potential(grid):
    """u = ∂χ/∂λ / (a cos φ), v = ∂χ/∂φ / a; ζ = 0 and δ = ∇²χ."""
    harmonics = exact(grid, grid.exact_degree - 1, radius=2.0)
    chi = coefficients(harmonics.truncation, mean=False)
    east, north = harmonics.gradient(chi)
    wind = harmonics.wind(torch.zeros_like(chi), harmonics.laplacian(chi))
    assert torch.allclose(torch.stack(wind), torch.stack([east, north]), atol=1e-10)
    vorticity, divergence = harmonics.vorticity_divergence(east, north)
    assert vorticity.abs().max() < 1e-8
    assert torch.allclose(divergence, harmonics.laplacian(chi), atol=1e-8)
    assert torch.allclose(harmonics.inverse_laplacian(divergence), chi, atol=1e-9)


def test_laplacian():
    """-l(l+1)/a², by l; its inverse leaves out the mean."""
    harmonics, alpha = exact(gauss(8), radius=3.0), coefficients(7)
    l = torch.arange(8.0, dtype=torch.float64)[:, None, None]
    assert torch.allclose(harmonics.laplacian(alpha), -l * (l + 1) / 9 * alpha)
    back = harmonics.inverse_laplacian(harmonics.laplacian(alpha))
    assert torch.allclose(back[1:], alpha[1:]) and not back[0].any()


def test_at_the_poles_of_a_grid_that_has_them():
    """A scalar has one value there, its gradient is one vector: both run through all longitudes."""
    grid = equiangular(25)
    harmonics = exact(grid)
    alpha = coefficients(harmonics.truncation)
    f, (east, north) = harmonics.synthesis(alpha), harmonics.gradient(alpha)
    for row in (0, -1):
        assert torch.allclose(f[row], f[row, :1].expand_as(f[row]), atol=1e-12)
        axes = frame(grid)
        vector = east[row] * axes[0][:, row] + north[row] * axes[1][:, row]
        assert vector.abs().max() > 1
        assert torch.allclose(vector, vector[:, :1].expand_as(vector), atol=1e-10)


@pytest.mark.parametrize("grid", [gauss(4, 6), equiangular(5, 6), ReducedGaussian(2, (5, 6))])
def test_gradients_by_finite_differences(grid):
    harmonics = exact(grid, 2, 1.5)
    draw = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, *grid.shape, generator=draw, dtype=torch.float64).requires_grad_()
    alpha, beta = (coefficients(2, seed=s).requires_grad_() for s in (0, 1))
    for function, inputs in (
        (harmonics.analysis, (u,)),
        (harmonics.synthesis, (alpha,)),
        (harmonics.gradient, (alpha,)),
        (harmonics.vorticity_divergence, (u, v)),
        (harmonics.wind, (alpha, beta)),
    ):
        assert gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("grid", [gauss(64, 128), ReducedGaussian(32)], ids=named)
def test_single_precision(grid):
    harmonics = Harmonics(grid, grid.exact_degree)
    alpha = coefficients(harmonics.truncation, 3)
    f = harmonics.synthesis(alpha.float())
    assert f.dtype == torch.float32
    double = exact(grid).synthesis(alpha)
    assert (f - double).abs().max() < 2e-5 * double.std()
    assert (harmonics.analysis(f) - alpha).square().mean().sqrt() < 1e-6


@every_grid
def test_batches(grid):
    harmonics = exact(grid, 4)
    alpha = coefficients(4, 2, 1, 3)
    f = harmonics.synthesis(alpha)
    assert torch.allclose(harmonics.synthesis(alpha[1, 0, 2]), f[1, 0, 2])
    assert harmonics.analysis(f[:0]).shape == (0, 1, 3, 5, 5, 2)


def test_rounded_coordinates_of_a_file():
    """float32 latitudes and longitudes, 25 degrees off Greenwich: α as exact as by the formula."""
    grid = gauss(32, 72)
    lon = (grid.lon + 25).astype(np.float32)
    harmonics = exact(LatLon(grid.lat.astype(np.float32), lon))
    alpha = coefficients(31)
    assert torch.allclose(harmonics.analysis(harmonics.synthesis(alpha)), alpha, atol=1e-12)


def test_longitudes_that_begin_elsewhere():
    """The field of given coefficients does not depend on where the first meridian is."""
    alpha, n = coefficients(6), 20
    whole = exact(gauss(8, n), 6).synthesis(alpha)
    grid = gauss(8, n)
    turned = exact(LatLon(grid.lat, grid.lon - 7 * 360 / n), 6).synthesis(alpha)
    assert torch.allclose(turned, whole.roll(7, -1), atol=1e-13)


def test_the_same_fields_on_both_kinds_of_circles():
    """A reduced grid with equal circles is the Gaussian grid, but for the shape."""
    even, reduced = gauss(8, 17), ReducedGaussian(4, (17,) * 4)
    alpha = coefficients(7)
    f = exact(even).synthesis(alpha)
    g = exact(reduced, 7).synthesis(alpha)
    assert torch.allclose(f.flatten(), g, atol=1e-13)
    assert torch.allclose(exact(reduced, 7).analysis(g), alpha, atol=1e-13)


def test_waves_that_a_short_circle_cannot_hold():
    """They are left out there, not taken for others: m = 7 on circles of 12 and 34 points."""
    grid = ReducedGaussian(16, (12, *[34] * 15))
    f = exact(grid, 8).synthesis(one(8, 7, 7, 1 + 0j))
    assert not f[:12].any() and not f[-12:].any() and f[12:-12].abs().max() > 0.5
    noise = torch.zeros(grid.shape, dtype=torch.float64)
    noise[:12] = torch.cos(7 * torch.arange(12.0, dtype=torch.float64) * 2 * np.pi / 12)
    alpha = exact(grid, 8).analysis(noise)  # cos 7λ and cos 5λ are the same twelve numbers
    assert not alpha[:, 7].any() and alpha[:, 5].abs().max() > 1e-7


@pytest.mark.parametrize(
    ("grid", "truncation", "message"),
    [
        (gauss(16), 16, "1 to 15, which a gauss grid of 16 × 32 resolves exactly, got 16"),
        (equiangular(17), 9, "1 to 8, which a equiangular grid of 17 × 32"),
        (gauss(16, 20), 12, "1 to 9"),
        (gauss(16), 0, "1 to 15"),
        (ReducedGaussian(16), 16, "1 to 15, which a octahedral grid of 1600"),
        (LatLon(np.linspace(30, 60, 16), np.arange(16)), None, "whole Gaussian .* 'other'; regrid"),
    ],
)
def test_refused(grid, truncation, message):
    with pytest.raises(UserError, match=message):
        Harmonics(grid, truncation)


def test_fields_of_another_grid_are_refused():
    harmonics = exact(gauss(8), 4)
    f, alpha = torch.zeros(3, 16, 8, dtype=torch.float64), coefficients(5)
    with pytest.raises(UserError, match=r"expected tensors of \[..., 8, 16\], got \[3, 16, 8\]"):
        harmonics.analysis(f)
    with pytest.raises(UserError, match=r"expected tensors of \[..., 5, 5, 2\], got \[6, 6, 2\]"):
        harmonics.synthesis(alpha)


@pytest.mark.parametrize("kind", ["legendre-gauss", "equiangular"])
def test_torch_harmonics(kind):
    """Its rows run from the north, its coefficients are complex."""
    theirs = pytest.importorskip("torch_harmonics", reason="torch-harmonics is the oracle")
    grid = gauss(24) if kind == "legendre-gauss" else equiangular(33, 64)
    n = grid.exact_degree + 1
    f = exact(grid).synthesis(coefficients(n - 1, 2)).float()
    shape = {"nlat": grid.shape[0], "nlon": grid.shape[1], "lmax": n, "mmax": n}
    transform = theirs.RealSHT(**shape, grid=kind, norm="ortho", csphase=False)
    alpha = torch.view_as_real(transform(f.flip(-2)))
    assert torch.allclose(Harmonics(grid).analysis(f), alpha, atol=1e-5)

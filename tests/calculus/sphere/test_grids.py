"""Grids: weights integrate what they promise, areas are shares, files' rounding does not matter."""

import numpy as np
import pytest

from sciml.calculus.sphere import LatLon, ReducedGaussian, equiangular, gauss
from sciml.calculus.sphere.quadrature import gauss_legendre
from sciml.contracts import UserError

#: Grid and the degree in μ up to which its weights are exact.
RULES = [
    (gauss(8), 15),
    (gauss(9), 17),
    (equiangular(8), 7),
    (equiangular(9), 9),  # n - 1 = 8, and the odd one for symmetry
    (equiangular(8, poles=False), 7),
    (equiangular(9, poles=False), 9),
]
GLOBAL = [*[grid for grid, _ in RULES], ReducedGaussian(6), ReducedGaussian(3, (4, 9, 12))]
N32 = (20, 27, 36, 40, 45, 50, 60, 64, 72, 75, 80, 90, 90, 96, 100, 108, 108, 120, 120, 120)
N32 += (128,) * 12


def named(grid):
    shaped = hasattr(grid, "shape")
    return f"{grid.kind}-{'x'.join(map(str, grid.shape))}" if shaped else str(grid)


@pytest.mark.parametrize(("grid", "degree"), RULES, ids=named)
def test_weights_integrate_polynomials(grid, degree):
    mu = np.sin(np.radians(grid.lat))
    for k in range(degree + 1):
        assert grid.weights @ mu**k == pytest.approx((1 + (-1) ** k) / (k + 1), abs=2e-15)
    beyond = grid.weights @ mu ** (degree + 1)
    assert abs(beyond - 2 / (degree + 2)) > 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 8, 97, 640])
def test_gauss_points_are_roots(n):
    lat, weights = gauss_legendre(n)
    x, w = np.polynomial.legendre.leggauss(min(n, 97))
    assert np.all(np.diff(lat) > 0) and np.array_equal(lat, -lat[::-1])
    assert weights.sum() == pytest.approx(2, abs=1e-14)
    if n <= 97:
        np.testing.assert_allclose(np.sin(np.radians(lat)), x, atol=4e-16)
        np.testing.assert_allclose(weights, w, rtol=1e-11)  # NumPy's lose digits towards the poles


def test_the_outermost_gauss_weight_keeps_its_digits():
    """P_192: by Newton's method in 40 digits."""
    mp = pytest.importorskip("mpmath", reason="mpmath works out the weight in 40 digits")
    lat, weights = gauss_legendre(192)
    with mp.workdps(40):
        x = mp.findroot(lambda t: mp.legendre(192, t), mp.sin(mp.radians(mp.mpf(lat[0]))))
        slope = 192 * mp.legendre(191, x) / (1 - x * x)
        exact = float(2 / ((1 - x * x) * slope**2))
    assert weights[0] == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("grid", GLOBAL, ids=named)
def test_words_of_every_grid(grid):
    lat, lon = grid.cells
    assert grid.is_global and grid.area.shape == grid.shape
    assert len(lat) == len(lon) == np.prod(grid.shape)
    assert grid.area.sum() == pytest.approx(1, abs=1e-14) and grid.area.min() > 0
    assert grid.weights.sum() == pytest.approx(2, abs=1e-13)
    x = np.cos(np.radians(lat)) * np.cos(np.radians(lon))
    z = np.sin(np.radians(lat))
    for f, mean in ((x, 0), (z, 0), (x**2, 1 / 3), (z**2, 1 / 3), (x * z, 0)):
        assert grid.area.ravel() @ f == pytest.approx(mean, abs=1e-14)


@pytest.mark.parametrize(
    ("grid", "kind", "degree"),
    [
        (gauss(64), "gauss", 63),
        (gauss(64, 96), "gauss", 47),
        (equiangular(181), "equiangular", 90),
        (equiangular(32, poles=False), "equiangular_offset", 15),
        (LatLon(np.linspace(-88, 88, 45), np.arange(90) * 4.0), "equiangular_offset", 22),
        (LatLon([-80.0, -30, 0, 45, 85], np.arange(8) * 45.0), "other", 0),
        (LatLon(np.linspace(30, 60, 31), np.arange(40) * 1.0), "other", 0),
    ],
    ids=named,
)
def test_kind_and_exact_degree(grid, kind, degree):
    assert (grid.kind, grid.exact_degree) == (kind, degree)


def test_nodes_undo_the_rounding_of_files():
    exact = gauss(64, 96)
    read = LatLon(exact.lat.astype(np.float32), (exact.lon + 0.1).astype(np.float32))
    lat, lon = read.nodes
    assert np.abs(read.lat - exact.lat).max() > 1e-6
    np.testing.assert_allclose(lat, exact.lat, atol=1e-13)
    np.testing.assert_allclose(lon - lon[0], exact.lon, atol=1e-12)


def test_a_region_is_not_the_globe():
    region = LatLon(np.arange(40, 61.0), np.arange(-10, 11.0))
    band = LatLon(np.arange(-30, 31.0), np.arange(360.0))
    assert not region.is_global and not region.closes
    assert not band.is_global and band.closes
    edges = np.sin(np.radians([39.5, 60.5]))
    assert region.weights.sum() == pytest.approx(edges[1] - edges[0])
    assert region.area.sum() == pytest.approx(1)


def test_an_uneven_global_grid_reaches_the_poles():
    assert LatLon([-80.0, -30, 0, 45, 85], np.arange(8) * 45.0).weights.sum() == pytest.approx(2)


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        ([60.0, 30, 0], [0.0, 1], "ascend from south to north .* got 3 from 60 to 0"),
        ([0.0, 95], [0.0, 1], "within ±90 degrees, got 2 from 0 to 95"),
        ([0.0, np.nan], [0.0, 1], "latitudes"),
        ([], [0.0, 1], "latitudes .* got none"),
        ([0.0, 1], [0.0, 1, 3], "equally spaced, ascending longitudes, got 3 from 0 to 3"),
        ([0.0, 1], [0.0, np.nan], "longitudes"),
        ([0.0, 1], [7.0], "got 1 from 7 to 7"),
    ],
)
def test_refused(lat, lon, message):
    with pytest.raises(UserError, match=message):
        LatLon(lat, lon)


def test_o96():
    grid = ReducedGaussian(96)
    assert grid.shape == (40_320,) and grid.kind == "octahedral"  # 4n(n + 9)
    assert grid.lengths[0] == grid.lengths[-1] == 20
    assert grid.lengths[95] == grid.lengths[96] == 400
    lat, lon = grid.cells
    assert np.all(np.diff(lat) >= 0) and lat[20] == grid.lat[1]  # from the south, circle by circle
    assert lon[0] == lon[20] == 0 and lon[1] == 18


def test_classical_grid_by_its_table():
    grid = ReducedGaussian(32, N32)
    assert grid.shape == (6114,) and grid.kind == "reduced_gauss"


@pytest.mark.parametrize("n", [1, 2, 8, 32, 48, 96, 160, 320])
def test_octahedral_grids_hold_the_cubic_truncation(n):
    """T = n - 1 loses less than 5e-11 of a wave's square, and the quadratic truncation much."""
    grid = ReducedGaussian(n)
    assert grid.exact_degree == n - 1
    assert grid.loss[n - 1] < 5e-11
    if n > 8:
        assert grid.loss[4 * n // 3] > 1e-8


def test_the_loss_is_what_left_out_waves_hold():
    """Against the whole tables: P_lm of the first wave that each circle leaves out."""
    from sciml.calculus.sphere import legendre

    grid = ReducedGaussian(12, (8, 12, 16, 18, 20, 20, 24, 24, 25, 25, 27, 30))
    table = legendre.functions(np.radians(grid.lat[:12]), 23)
    lost = [
        4 * np.pi * grid.weights[k] * table[(length + 1) // 2, k] ** 2
        for k, length in enumerate(grid.rings)
    ]
    np.testing.assert_allclose(grid.loss, np.cumsum(np.sum(lost, 0)), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("n", "rings"), [(0, ()), (3, (4, 4)), (2, (3, 8))])
def test_refused_rings(n, rings):
    with pytest.raises(UserError, match=f"points on each of {n} circles from a pole"):
        ReducedGaussian(n, rings)

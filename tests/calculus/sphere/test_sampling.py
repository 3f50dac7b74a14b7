"""Interpolation: exact polynomials, order of convergence, poles, edges, gradients, export."""

import warnings

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from sciml.calculus.sphere import Interpolation, LatLon, equiangular, gauss
from sciml.contracts import UserError
from tests.calculus.sphere.waves import named, position, rotation

AXIS = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
EAST, WEST = 70.0, -50.0
REGION = LatLon([10.0, 12, 15, 20, 22, 27], np.linspace(WEST, EAST, 13))
FAMILIES = {
    "gauss": gauss,
    "poles": lambda n: equiangular(n + 1),
    "offset": lambda n: equiangular(n, poles=False),
}
SMALL = LatLon([10.0, 12, 15, 27], np.linspace(WEST, EAST, 5))
either_order = pytest.mark.parametrize("cubic", [False, True], ids=["bilinear", "bicubic"])
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def interpolation(grid, cubic):
    return Interpolation(grid, cubic).double()


def points(n=500):
    """`[1, n]` latitudes and longitudes all over the globe, both poles among them."""
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    lat[:4] = 90, -90, 89.9, -89.9
    return tuple(torch.from_numpy(x)[None] for x in (lat, rng.uniform(-700, 700, n)))


def vectors(lat, lon):
    lat, lon = torch.deg2rad(lat[0]), torch.deg2rad(lon[0])
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()])


def smooth(x):
    return torch.tensordot(AXIS, x, 1).exp()


@either_order
def test_exact_for_polynomials(cubic):
    """Products of degree 1 or 3 in each direction, on uneven latitudes, up to the edges."""
    degree = 3 if cubic else 1
    rng = np.random.default_rng(0)
    lat = torch.from_numpy(np.append(rng.uniform(10, 27, 50), [10, 27, 12.0]))[None]
    lon = torch.from_numpy(np.append(rng.uniform(WEST, EAST, 50), [WEST, EAST, 0]))[None]
    f = [x.view(REGION.shape) for x in map(torch.from_numpy, REGION.cells)]
    product = (f[0] / 20) ** degree * (f[1] / 50) ** degree - f[0]
    (found,) = interpolation(REGION, cubic)(product[None, None], lat, lon + 720)[0]
    closed = (lat / 20) ** degree * (lon / 50) ** degree - lat
    assert torch.allclose(found, closed[0], atol=1e-12)


@every_family
@either_order
def test_order_of_convergence(family, cubic):
    """Second and fourth, the points next to the poles included."""
    lat, lon = points()
    errors = []
    for n in (24, 48):
        f = smooth(position(family(n)))[None, None]
        found = interpolation(family(n), cubic)(f, lat, lon)[0, 0]
        errors.append(float((found - smooth(vectors(lat, lon))).abs().max()))
    assert np.log2(errors[0] / errors[1]) > (3.7 if cubic else 1.8), errors


@every_family
@either_order
def test_at_the_points_of_the_grid(family, cubic):
    grid = family(6)
    draw = torch.Generator().manual_seed(0)
    f = torch.randn(2, 3, *grid.shape, generator=draw, dtype=torch.float64)
    lat, lon = (torch.from_numpy(x).expand(2, -1) for x in grid.cells)
    assert torch.allclose(interpolation(grid, cubic)(f, lat, lon), f.flatten(2), atol=1e-12)


@every_family
@either_order
def test_vectors_across_the_poles(family, cubic):
    """V = ω × x has the components (ω·n, -ω·e) everywhere; over the pole they change sign."""
    grid, lat = family(32), torch.tensor([[88.0, -88.9, 89.99, -89.99]], dtype=torch.float64)
    lon = torch.tensor([[10.0, 200, 75, -31]], dtype=torch.float64)
    axis = (0.6, -0.64, 0.48)
    wind = torch.stack(rotation(axis, grid)[:2])[None]
    at = interpolation(grid, cubic)
    found = at(wind, lat, lon, vector=True)[0]
    a, b = torch.deg2rad(lat[0]), torch.deg2rad(lon[0])
    north = torch.stack([-a.sin() * b.cos(), -a.sin() * b.sin(), a.cos()])
    east = torch.stack([-b.sin(), b.cos(), 0 * b])
    omega = torch.tensor(axis, dtype=torch.float64)
    closed = torch.stack([omega @ north, -omega @ east])
    error = (found - closed).abs().max()
    assert error < (1e-4 if cubic else 1e-2)
    if cubic or grid.lat[-1] < 90:  # between a pole and the next circle nothing lies beyond it
        assert (at(wind, lat, lon)[0] - closed).abs().max() > 20 * error


def test_outside_of_a_region_there_is_no_value():
    f = torch.ones(1, 1, *REGION.shape, dtype=torch.float64)
    lat = torch.tensor([[9.0, 28, 15, 15, 15, torch.nan, 15]], dtype=torch.float64)
    lon = torch.tensor([[0.0, 0, WEST - 1, EAST + 1, 180, 0, torch.nan]], dtype=torch.float64)
    for cubic in (False, True):
        assert interpolation(REGION, cubic)(f, lat, lon).isnan().all()
        assert interpolation(REGION, cubic)(f, lat[:, 2:3], lon[:, :1]).item() == pytest.approx(1)


def test_a_band_closes_but_does_not_reach_the_poles():
    band = LatLon(np.linspace(-30, 30, 7), np.arange(10) * 36.0)
    f = torch.arange(10.0, dtype=torch.float64).expand(1, 1, 7, 10)
    lon = torch.tensor([[342.0, 0]], dtype=torch.float64)
    lat = torch.tensor([[0.0, 40]], dtype=torch.float64)
    found = interpolation(band, cubic=False)(f, lat, lon)[0, 0]
    assert found[0] == pytest.approx(4.5) and found[1].isnan()


@pytest.mark.parametrize("grid", [gauss(4, 6), equiangular(5, 6), SMALL], ids=named)
@either_order
@pytest.mark.parametrize("vector", [False, True])
def test_gradients_by_finite_differences(grid, cubic, vector):
    """In the fields and in where they are looked up."""
    draw = torch.Generator().manual_seed(0)
    f = torch.randn(2, 1, *grid.shape, generator=draw, dtype=torch.float64).requires_grad_()
    lat = torch.tensor([[14.0, 26], [11, 17]], dtype=torch.float64)
    lat = (lat if grid is SMALL else 6 * (lat - 13)).requires_grad_()
    lon = torch.tensor([[3.0, 61], [-12, 37]], dtype=torch.float64, requires_grad=True)
    at = interpolation(grid, cubic)
    assert gradcheck(lambda *x: at(*x, vector=vector), (f, lat, lon))


def test_single_precision():
    grid, (lat, lon) = gauss(64), points()
    f = smooth(position(grid))[None, None]
    single = Interpolation(grid, cubic=True)(f.float(), lat.float(), lon.float())
    double = interpolation(grid, True)(f, lat, lon)
    assert (single - double).abs().max() < 5e-5  # longitudes of 700 degrees in float32


@pytest.mark.parametrize(
    ("grid", "cubic", "message"),
    [
        (LatLon([0.0, 1, 2], [0.0, 1, 2, 3]), True, "at least 4 × 4 points, got 3 × 4"),
        (gauss(8, 15), False, "even number of longitudes on a grid that reaches a pole, got 15"),
    ],
)
def test_refused(grid, cubic, message):
    with pytest.raises(UserError, match=message):
        Interpolation(grid, cubic)


@pytest.mark.slow
def test_onnx(tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="the export extra is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    at, path = Interpolation(gauss(8), cubic=True).eval(), tmp_path / "interpolation.onnx"

    def inputs(batch):
        draw = torch.Generator().manual_seed(batch)
        f, lat, lon = (torch.rand(batch, *s, generator=draw) for s in ((3, 8, 16), (9,), (9,)))
        return f, 180 * lat - 90, 720 * lon - 360

    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            at, inputs(2), dynamo=True, dynamic_shapes=({0: batch},) * 3, verbose=False
        )
    program.save(path)
    session = runtime.InferenceSession(path)
    names = [entry.name for entry in session.get_inputs()]
    for n in (1, 5):
        feed = dict(zip(names, (x.numpy() for x in inputs(n)), strict=True))
        (found,) = session.run(None, feed)
        torch.testing.assert_close(torch.from_numpy(found), at(*inputs(n)), rtol=1e-5, atol=1e-5)

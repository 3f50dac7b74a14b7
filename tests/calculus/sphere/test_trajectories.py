"""Trajectories along great circles: solid rotation over the poles, order in Δt, gradients."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from sciml.calculus.sphere import Departure, equiangular, gauss
from sciml.calculus.sphere.trajectories import coordinates, geodesic, position, transported
from tests.calculus.sphere.waves import named, rotation

AXIS = (0.6, -0.64, 0.48)
EARTH = 6.371e6


def turned(grid, axis, angle):
    """Where solid rotation about `axis` took the points of the grid from, `[3, n]`."""
    lat, lon = (torch.from_numpy(x)[None] for x in grid.cells)
    x = position(lat, lon)[0].T.numpy()
    return torch.from_numpy(Rotation.from_rotvec(-angle * np.array(axis)).apply(x).T)


def departed(grid, axis, angle, radius=1.0, dt=1.0, **settings):
    lat, lon = (torch.from_numpy(x)[None] for x in grid.cells)
    wind = [w[None] * angle * radius / dt for w in rotation(axis, grid)[:2]]
    departure = Departure(grid, radius, **settings).double()
    return position(*departure(lat, lon, *wind, dt))[0]


@pytest.mark.parametrize("grid", [gauss(32), equiangular(33)], ids=named)
def test_over_the_pole(grid):
    """About an axis in the equator's plane, great circles 90° from it run over both poles: exact,
    but for the interpolation of the wind."""
    axis, angle = (0.0, 1.0, 0.0), 0.4
    found, closed = (
        departed(grid, axis, angle, EARTH, 3600.0, cubic=True),
        turned(grid, axis, angle),
    )
    on_it = torch.from_numpy(np.isclose(np.sin(np.radians(grid.cells[1])), 0, atol=1e-9))
    assert on_it.sum() >= 60
    assert (found - closed)[:, on_it].norm(dim=0).max() < 1e-5


def test_third_order_in_the_time_step():
    grid, errors = gauss(48), []
    for dt in (0.4, 0.2):
        error = departed(grid, AXIS, dt, cubic=True, iterations=4) - turned(grid, AXIS, dt)
        errors.append(float(error.norm(dim=0).max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.1)


def test_the_iterations_converge():
    closed = turned(gauss(32), AXIS, 0.3)
    errors = [
        float((departed(gauss(32), AXIS, 0.3, iterations=k, cubic=True) - closed).norm(dim=0).max())
        for k in (0, 1, 2, 3, 8)
    ]
    assert errors[0] > 3 * errors[1] > 3 * errors[2]
    assert errors[3] == pytest.approx(errors[4], rel=0.05)


def test_there_and_back():
    """Δt < 0 goes ahead; the wind of the same rotation brings the points back."""
    grid = gauss(32)
    departure = Departure(grid, 1.0, iterations=4, cubic=True).double()
    wind = [0.1 * w[None] for w in rotation(AXIS, grid)[:2]]
    lat, lon = (torch.from_numpy(x)[None] for x in grid.cells)
    back = departure(*departure(lat, lon, *wind, 1.0), *wind, -1.0)
    assert (position(*back) - position(lat, lon)).norm(dim=1).max() < 1e-4


def test_no_wind_no_way():
    grid = equiangular(9)
    lat, lon = (torch.from_numpy(x)[None] for x in grid.cells)
    calm = torch.zeros(1, *grid.shape, dtype=torch.float64, requires_grad=True)
    found = position(*Departure(grid, 1.0).double()(lat, lon, calm, calm, 1.0))
    assert torch.allclose(found, position(lat, lon), atol=1e-15)
    found.sum().backward()
    assert calm.grad.isfinite().all()


def test_gradients_by_finite_differences():
    grid = gauss(4, 6)
    draw = torch.Generator().manual_seed(0)
    u, v = 0.2 * torch.randn(2, 1, 4, 6, generator=draw, dtype=torch.float64)
    lat = torch.tensor([[10.0, -35, 80]], dtype=torch.float64)
    lon = torch.tensor([[5.0, 140, -71]], dtype=torch.float64)
    departure = Departure(grid, 1.0, cubic=True).double()
    inputs = [x.requires_grad_() for x in (lat, lon, u, v)]
    assert gradcheck(lambda *x: departure(*x, 0.5), inputs, fast_mode=True)


def test_transport_keeps_length_and_angle_to_the_arc():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.nn.functional.normalize(
        torch.randn(2, 1, 3, 20, generator=draw, dtype=torch.float64), dim=2
    )
    tangent = torch.linalg.cross(y, torch.ones_like(y), dim=1)
    carried = transported(tangent, y, x)
    assert (carried * x).sum(1).abs().max() < 1e-12
    assert torch.allclose(carried.norm(dim=1), tangent.norm(dim=1))
    normal = torch.linalg.cross(x, y, dim=1)  # of the arc's plane
    assert torch.allclose((carried * normal).sum(1), (tangent * normal).sum(1), atol=1e-12)


def test_geodesic():
    """A quarter of the way around, and coordinates back from there."""
    x = position(*(torch.tensor([[a]], dtype=torch.float64) for a in (0.0, 30.0)))
    end = geodesic(x, torch.tensor([[[0.0], [0], [np.pi / 2]]], dtype=torch.float64))
    assert coordinates(end)[0].item() == pytest.approx(90)
    lat, lon = coordinates(geodesic(x, torch.zeros_like(x)))
    assert (lat.item(), lon.item()) == pytest.approx((0, 30))

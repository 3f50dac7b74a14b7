"""Trajectories on the sphere: solid rotation is exact, vectors turn, order of convergence."""

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import LatLon, equiangular, gauss
from sciml.contracts import UserError
from sciml.weather.advection import Advection
from sciml.weather.frames import Points
from tests.weather import planets

HOURS = 6 * 3600.0


def solid(grid: LatLon, axis: np.ndarray, speed: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(u, v) of a rotation about `axis`: V = speed · axis × x."""
    points = Points.of(grid)
    wind = speed * np.cross(axis, points.position)
    parts = ((wind * frame).sum(-1) for frame in (points.east, points.north))
    u, v = (torch.from_numpy(p.reshape(1, *grid.shape)).float() for p in parts)
    return u, v


def turned_back(x: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    turned = x * np.cos(angle) - np.cross(axis, x) * np.sin(angle)
    return turned + np.outer(x @ axis, axis) * (1 - np.cos(angle))


@pytest.mark.parametrize("grid", [gauss(64), equiangular(65)], ids=["gauss", "poles"])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (0.6, 0, 0.8)])
def test_solid_rotation_carries_fields_around_the_axis(grid: LatLon, axis) -> None:
    """With Δt V/a = 0.1: the field b·x was at x turned back by that angle, and the wind there
    comes along the arc without turning."""
    axis = np.array(axis, dtype=float)
    speed = 0.1 * planets.RADIUS / HOURS
    advection = Advection(grid, HOURS, planets.RADIUS)
    points, b = Points.of(grid), np.array([0.3, -0.5, 0.8])
    x = points.position
    field = torch.from_numpy((x @ b).reshape(1, 1, *grid.shape)).float()
    carried, *wind = advection(field, *solid(grid, axis, speed))
    origin = turned_back(x, axis, 0.1)
    error = carried.flatten().numpy() - origin @ b
    assert np.abs(error).max() < 2e-3  # bilinear: h²/8 per direction at h = 2.8°, and Δt³/12
    there = speed * np.cross(axis, origin)
    along = ((x * there).sum(-1) / (1 + (x * origin).sum(-1)))[:, None]
    vector = there - (x + origin) * along
    for ours, frame in zip(wind, (points.east, points.north), strict=True):
        assert np.abs(ours.flatten().numpy() - (vector * frame).sum(-1)).max() < 2e-3 * speed


def test_no_wind_carries_nothing() -> None:
    grid = gauss(16)
    advection = Advection(grid, HOURS, planets.RADIUS)
    fields, calm = torch.randn(2, 3, *grid.shape), torch.zeros(2, *grid.shape)
    carried, east, north = advection(fields, calm, calm)
    torch.testing.assert_close(carried, fields, rtol=0, atol=2e-5)
    assert not east.any() and not north.any()


def test_error_of_a_step_falls_with_its_cube() -> None:
    """Around the axis paths are small circles, of which the midpoint rule knows two points."""
    grid, axis = gauss(96), np.array([0.6, 0.0, 0.8])
    x = Points.of(grid).position
    field = torch.from_numpy(x.T.reshape(1, 3, *grid.shape)).float()
    error = []
    for angle in (0.8, 0.4):
        carried = Advection(grid, angle, 1.0)(field, *solid(grid, axis, 1.0))[0]
        miss = carried.flatten(2)[0].numpy().T - turned_back(x, axis, angle)
        error.append(np.sqrt(np.square(miss).mean()))
    assert error[0] > 0.005 and 2.7 < np.log2(error[0] / error[1]) < 3.4


def test_gradient_by_finite_differences() -> None:
    grid = gauss(8)
    advection = Advection(grid, HOURS, planets.RADIUS).double()
    torch.manual_seed(1)
    fields = torch.randn(1, 2, *grid.shape, dtype=torch.float64)
    wind = [10 * torch.randn(1, *grid.shape, dtype=torch.float64) for _ in range(2)]

    def value(*inputs: torch.Tensor) -> torch.Tensor:
        return sum(part.square().sum() for part in advection(*inputs))

    inputs = [x.clone().requires_grad_() for x in (fields, *wind)]
    gradient = torch.autograd.grad(value(*inputs), inputs)
    h = 1e-7  # positions move by less than 1e-9 of a cell: no kink of the interpolation is crossed
    for i, g in enumerate(gradient):
        direction = torch.randn_like(g)
        with torch.no_grad():
            ahead, behind = (
                value(*[x + s * h * direction if i == j else x for j, x in enumerate(inputs)])
                for s in (1, -1)
            )
        torch.testing.assert_close(
            (g * direction).sum(), (ahead - behind) / (2 * h), rtol=1e-4, atol=0
        )


@pytest.mark.parametrize("grid", [planets.octahedral(4), planets.band(0, 40, 0, 40, 5)])
def test_refused_where_the_grid_does_not_close(grid) -> None:
    with pytest.raises(UserError, match="global grid of latitudes and longitudes"):
        Advection(grid, HOURS, planets.RADIUS)

"""Residuals of the conditions vanish for the function that meets them, else equal the known gap."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.pinn.conditions import (
    dirichlet,
    initial_value,
    initial_velocity,
    neumann,
    periodic,
    point_data,
    robin,
)
from sciml.pinn.domain import disk, interval, point_cloud, polygon, rectangle
from sciml.pinn.fields import Fields, record
from sciml.pinn.regions import At, Boundary, Face, Initial, Interior
from sciml.pinn.samplers import sobol, uniform

DISK = disk((0, 0), 2.0)
STRIP = interval(-1, 1).over_time(0.5, 2)


def residual(condition, domain, **functions):
    """The condition's residual for fields given as functions of the coordinates."""
    points = condition.region.sample(domain, 64, uniform, np.random.default_rng(0))

    def values(x):
        return {name: function(*x.T) for name, function in functions.items()}

    image = None if points.image is None else values(points.image)
    return condition.residual(Fields(domain.coordinates, points, values(points.x), image))


def zero(tensor):
    return tensor.shape == (64,) and bool((tensor.abs() < 1e-12).all())


def test_dirichlet():
    u = {"u": lambda x, y: x**2 + y**2}
    assert zero(residual(dirichlet("u", 4.0, on=Boundary(), name="rim"), DISK, **u))
    gap = residual(dirichlet("u", lambda f: f.x**2, on=Boundary(), name="rim"), DISK, **u)
    points = Boundary().sample(DISK, 64, uniform, np.random.default_rng(0))
    assert torch.allclose(gap, points.x[:, 1] ** 2)


def test_neumann_of_a_paraboloid():
    """u = x² + y² on r = 2: du/dn = 2 r = 4."""
    slopes = {"u_x": lambda x, y: 2 * x, "u_y": lambda x, y: 2 * y}
    assert zero(residual(neumann("u", 4.0, on=Boundary(), name="flux"), DISK, **slopes))


def test_robin_of_a_paraboloid():
    """3 u + 5 du/dn = 3·4 + 5·4 = 32 on r = 2."""
    u = {"u": lambda x, y: x**2 + y**2, "u_x": lambda x, y: 2 * x, "u_y": lambda x, y: 2 * y}
    assert zero(residual(robin("u", 3.0, 5.0, 32.0, on=Boundary(), name="cooling"), DISK, **u))


def test_periodic_in_value_and_slope():
    """sin(pi x) + x³ - x repeats on [-1, 1]; its slope pi cos(pi x) + 3 x² - 1 does, too."""
    u = {
        "u": lambda x, t: t + torch.sin(torch.pi * x) + x**3 - x,
        "u_x": lambda x, t: torch.pi * torch.cos(torch.pi * x) + 3 * x**2 - 1,
    }
    for order in (0, 1):
        condition = periodic("u", axis="x", derivatives=order, name="loop")
        assert zero(residual(condition, STRIP, **u))
    u["u"] = lambda x, t: x
    assert torch.equal(
        residual(periodic("u", axis="x", name="loop"), STRIP, **u), torch.full((64,), -2.0).double()
    )


def test_initial_value_and_velocity():
    """u = x t² at t = 1/2: x/4, u_t = 2 x t = x."""
    u = {"u": lambda x, t: x * t**2, "u_t": lambda x, t: 2 * x * t}
    assert zero(residual(initial_value("u", lambda f: f.x / 4), STRIP, **u))
    assert zero(residual(initial_velocity("u", lambda f: f.x), STRIP, **u))


def test_point_data_compares_at_its_points():
    points = np.random.default_rng(0).random((80, 2))
    condition = point_data("u", points, points[:, 0] * points[:, 1], name="probes")
    assert zero(residual(condition, rectangle((0, 0), (1, 1)), u=lambda x, y: x * y))


def test_at_draws_none_twice_or_all_in_order():
    points = np.arange(20.0).reshape(10, 2) / 20
    region, domain = At(points), rectangle((0, 0), (1, 1))
    few = region.sample(domain, 4, uniform, np.random.default_rng(0), 3).x.reshape(3, 4, 2)
    assert all(len(np.unique(x, axis=0)) == 4 for x in few.numpy())
    every = region.sample(domain, 10, uniform, np.random.default_rng(0), 2).x
    assert np.array_equal(every, np.tile(points, (2, 1)))


@pytest.mark.parametrize("region", [Interior(), Initial(), Boundary(), Face("x", -1.0)])
def test_regions_draw_sets_one_after_the_other(region):
    points = region.sample(STRIP, 16, sobol, np.random.default_rng(0), 3)
    assert points.x.shape == (48, 2)
    assert points.x.dtype == torch.float64
    assert STRIP.contains(points.x.numpy()).all()
    assert (points.normal is not None) == isinstance(region, Boundary | Face)


def test_where_reads_coordinates_by_name():
    region = Boundary(where=lambda f: (f.x > 0) & (f.y > 0))
    x = region.sample(DISK, 100, uniform, np.random.default_rng(0)).x
    assert (x > 0).all()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda: Boundary(lambda f: f.x), "a yes or no per point"),
        (lambda: Boundary(lambda f: f.z > 0), "known: x, y"),
        (lambda: Face("t", 0.0), "Initial"),
        (lambda: Face("x", 5.0), "lies outside the boundary"),
        (lambda: Initial(), "use domain.over_time"),
        (lambda: At(np.zeros((3, 2))), "at most the 3 given points"),
        (lambda: At(np.zeros(3)), r"expected an array \[m, d\]"),
        (lambda: At(np.zeros((3, 2)), {"u": np.zeros((3, 1))}), "one per point"),
        (lambda: periodic("u", axis="x", name="p").region, "lies outside the boundary"),
        (lambda: periodic("u", axis="q", name="p").region, "expected an axis"),
        (lambda: periodic("u", axis="x", derivatives=2, name="p"), "derivatives = 0 or 1"),
    ],
)
def test_mistakes_are_explained(sample, message):
    with pytest.raises(UserError, match=message):
        sample().sample(DISK, 8, uniform, np.random.default_rng(0))


def test_faces_of_different_height_are_not_periodic():
    trapezium = polygon([(0, 0), (1, 0), (1, 1), (0, 2)])
    with pytest.raises(UserError, match="no equal opposite one"):
        periodic("u", axis="x", name="p").region.sample(
            trapezium, 64, uniform, np.random.default_rng(0)
        )


def test_points_outside_are_refused():
    with pytest.raises(UserError, match="1 of 2 given points lie outside"):
        At(np.array([[0.0, 0.0], [3.0, 0.0]])).check(DISK)
    with pytest.raises(UserError, match=r"columns \('x', 'y'\)"):
        At(np.zeros((2, 3))).check(DISK)
    At(np.array([[2.0, 0.0]])).check(DISK)


def test_a_condition_tells_what_it_asks_for():
    condition = periodic("u", axis="x", derivatives=1, name="loop")
    points = condition.region.sample(STRIP, 5, uniform, np.random.default_rng(0))
    _, asked = record(condition.residual, ("u",), ("x", "t"), points)
    assert (asked.names, asked.image) == ({"u_x"}, {"u_x"})


def test_a_cloud_has_conditions_on_its_boundary_samples():
    cloud = point_cloud(np.zeros((4, 2)), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]))
    condition = neumann("u", 7.0, on=Boundary(), name="edge")
    slopes = {"u_x": lambda x, y: 7 * x, "u_y": lambda x, y: 9 + x}
    assert zero(residual(condition, cloud, **slopes))

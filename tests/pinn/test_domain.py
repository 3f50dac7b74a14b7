"""Points lie where they say, as evenly as they say; normals point outward; bad shapes refused."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from sciml.contracts import UserError
from sciml.pinn.deepxde import deepxde, drawing
from sciml.pinn.domain import (
    Domain,
    ball,
    box,
    disk,
    from_deepxde,
    interval,
    mesh,
    point_cloud,
    polygon,
    rectangle,
)
from sciml.pinn.samplers import latin_hypercube, sobol, uniform

L_SHAPE = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]


def star() -> Domain:
    with drawing(np.random.default_rng(0)) as module:
        return from_deepxde(module.geometry.StarShaped([0.0, 0.0], 1.0, [0.2], [0.1]))


#: Shape → its measure in space.
SHAPES = {
    "interval": (lambda: interval(-2, 1), 3.0),
    "rectangle": (lambda: rectangle((-1, 0), (1, 3)), 6.0),
    "box": (lambda: box((0, 0, 0), (1, 2, 3)), 6.0),
    "disk": (lambda: disk((1, 2), 0.5), np.pi / 4),
    "ball": (lambda: ball((1, 2, 0), 0.5), np.pi / 6),
    "polygon": (lambda: polygon(L_SHAPE), 3.0),
    "clockwise": (lambda: polygon(L_SHAPE[::-1]), 3.0),
    "triangle": (lambda: polygon([(0, 0), (1, 0), (0, 1)]), 0.5),
    "upright": (lambda: polygon([(0, 0), (0, 1), (2, 1), (2, 0)]), 2.0),
    "union": (lambda: rectangle((0, 0), (2, 1)) | rectangle((0, 0), (1, 2)), 3.0),
    "difference": (lambda: rectangle((0, 0), (2, 2)) - rectangle((1, 1), (2, 2)), 3.0),
    "intersection": (lambda: disk((0, 0), 1) & rectangle((0, 0), (2, 2)), np.pi / 4),
    "hole": (lambda: rectangle((-1, -1), (1, 1)) - disk((0, 0), 0.5), 4 - np.pi / 4),
    "mesh": (lambda: mesh(trimesh.creation.box((1, 2, 3))), 6.0),
    "holed_mesh": (lambda: mesh(trimesh.creation.annulus(0.5, 1, 1, sections=64)), None),
    "star": (star, None),
}
FLAT = ["rectangle", "box", "polygon", "union", "difference", "hole", "mesh"]


@pytest.fixture(scope="module", params=SHAPES)
def shape(request):
    return SHAPES[request.param][0]()


@pytest.mark.parametrize("method", [uniform, sobol, latin_hypercube])
def test_interior_points_are_inside(shape, method):
    x = shape.interior(100, method, np.random.default_rng(0), 3)
    assert x.shape == (300, shape.dimension)
    assert shape.geometry.inside(x).all()
    assert shape.contains(x).all()


def test_boundary_points_have_inside_behind_and_outside_before(shape):
    x, normals = shape.boundary(500, np.random.default_rng(1))
    assert x.shape == normals.shape == (500, shape.dimension)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-6)
    step = 1e-4 * normals
    assert shape.geometry.inside(x - step).mean() > 0.99  # thinner than the step near corners
    assert shape.geometry.inside(x + step).mean() < 0.01
    assert shape.on_boundary(x).all() or shape.geometry.idstr == "StarShaped"
    assert shape.contains(x).all() or shape.geometry.idstr == "StarShaped"


@pytest.mark.parametrize("name", [name for name, (_, volume) in SHAPES.items() if volume])
def test_acceptance_gives_the_volume(name):
    """The share of the bounding box inside, binomial with 20,000 trials: 5 standard errors."""
    shape, volume = SHAPES[name][0](), SHAPES[name][1]
    full = np.prod(np.diff(shape.bounds, axis=0))
    error = np.sqrt(volume / full * (1 - volume / full) / 20_000)
    assert abs(shape.acceptance - volume / full) <= 5 * error + 1e-12


@pytest.mark.parametrize("name", FLAT)
def test_face_points_lie_on_the_face(name):
    domain = SHAPES[name][0]()
    for column, axis in enumerate(domain.space):
        for side, value in enumerate(domain.bounds[:, column]):
            x, normals = domain.face(axis, value, 64, sobol, np.random.default_rng(0), 2)
            assert x.shape == (128, domain.dimension)
            assert (x[:, column] == value).all()
            expected = (2 * side - 1) * np.eye(domain.dimension)[column]
            assert np.array_equal(normals, np.tile(expected, (128, 1)))
            assert domain.on_boundary(x).all()


def test_an_inner_face_of_a_combination():
    """The step of the L has outward normal +x and spans 1 < y < 2."""
    domain = SHAPES["difference"][0]()
    x, normals = domain.face("x", 1.0, 50, uniform, np.random.default_rng(0))
    assert (x[:, 1] > 1).all()
    assert np.array_equal(normals, np.tile([1.0, 0.0], (50, 1)))


def test_disk_samples_have_the_moments_of_a_disk():
    """Mean of r² is R²/2 and var r² = R⁴/12, the mean of x is 0 with variance R²/4."""
    radius, n = 2.0, 20_000
    x = disk((0, 0), radius).interior(n, uniform, np.random.default_rng(0))
    squared = (x**2).sum(axis=1)
    assert abs(squared.mean() - radius**2 / 2) < 4 * np.sqrt(radius**4 / 12 / n)
    assert np.all(abs(x.mean(axis=0)) < 4 * np.sqrt(radius**2 / 4 / n))


def test_the_boundary_of_a_combination_is_evenly_covered():
    """Square minus disk: the circle holds pi of a total length of 8 + pi, 4 standard errors."""
    x, _ = SHAPES["hole"][0]().boundary(20_000, np.random.default_rng(0))
    share = np.mean(np.linalg.norm(x, axis=1) < 0.6)
    expected = np.pi / (8 + np.pi)
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)


def test_sphere_mesh_encloses_its_polyhedron():
    """Acceptance of the bounding box against the divergence theorem's volume of the triangles."""
    body = trimesh.creation.icosphere(subdivisions=3)
    domain = mesh(body)
    ratio = body.volume / np.prod(np.diff(domain.bounds, axis=0))
    assert abs(domain.acceptance - ratio) < 5 * np.sqrt(ratio * (1 - ratio) / 20_000)
    x = np.random.default_rng(0).uniform(-1.1, 1.1, (4000, 3))
    r = np.linalg.norm(x, axis=1)
    inner = np.linalg.norm(body.triangles_center, axis=1).min() - 1e-3
    assert domain.geometry.inside(x[r < inner]).all()
    assert not domain.geometry.inside(x[r > 1]).any()


def test_mesh_with_a_hole_leaves_it_out():
    domain = SHAPES["holed_mesh"][0]()
    r = np.linalg.norm(domain.interior(2000, uniform, np.random.default_rng(0))[:, :2], axis=1)
    assert r.min() > 0.49
    assert r.max() < 1.01


def test_a_mesh_file_turned_inside_out_has_outward_normals(tmp_path):
    body = trimesh.creation.icosphere(subdivisions=2)
    body.invert()
    body.export(tmp_path / "ball.stl")
    x, normals = mesh(tmp_path / "ball.stl").boundary(200, np.random.default_rng(0))
    assert ((x * normals).sum(axis=1) > 0).all()


def test_time_is_the_last_coordinate():
    domain = disk((0, 0), 1).over_time(2, 5)
    rng = np.random.default_rng(0)
    assert domain.coordinates == ("x", "y", "t")
    inside, (edge, normals) = domain.interior(500, sobol, rng), domain.boundary(500, rng)
    for x in (inside, edge):
        assert x.shape == (500, 3)
        assert 2 <= x[:, 2].min() < 2.1
        assert 4.9 < x[:, 2].max() <= 5
    assert (normals[:, 2] == 0).all()
    start = domain.initial(200, uniform, rng)
    assert (start[:, 2] == 2).all()
    assert (np.linalg.norm(start[:, :2], axis=1) <= 1).all()
    assert not domain.contains(np.array([[0.0, 0.0, 1.0]])).any()


def test_where_keeps_exactly_n_points_of_a_part():
    domain = rectangle((0, 0), (1, 1)).over_time(0, 1)
    x, normals = domain.boundary(300, np.random.default_rng(0), lambda x: x[:, 0] > 0.999)
    assert len(x) == 300
    assert (x[:, 0] > 0.999).all()
    assert normals[:, 0].mean() > 0.9


def test_cloud_draws_its_own_points():
    rng = np.random.default_rng(0)
    inside, edge = rng.random((50, 2)), np.array([[0.0, 0.5], [1.0, 0.5]])
    domain = point_cloud(inside, edge, np.array([[-2.0, 0.0], [3.0, 0.0]]))
    assert all(x in inside.tolist() for x in domain.interior(20, uniform, rng).tolist())
    x, normals = domain.boundary(10, rng)
    assert np.array_equal(normals[:, 0], np.where(x[:, 0] == 0, -1.0, 1.0))
    with pytest.raises(UserError, match="known boundary"):
        point_cloud(inside).boundary(3, rng)


@pytest.mark.parametrize(
    ("points", "edge", "normals", "said"),
    [
        ([[np.nan, 0]], None, None, "expected finite points"),
        ([[0, 0]], [[np.inf, 0]], [[1, 0]], "expected finite boundary"),
        ([[0, 0]], [[1, 0]], [[0, 0]], "expected normals of some length"),
        ([[0, 0]], [[1, 0]], None, "expected boundary and normals"),
    ],
)
def test_a_bad_cloud_is_refused(points, edge, normals, said):
    with pytest.raises(UserError, match=said):
        point_cloud(points, edge, normals)


def test_a_cloud_reaches_a_little_further_than_its_points():
    """1000 sunflower points of the unit disk, some 0.05 apart."""
    k = np.arange(1000) + 0.5
    angle = k * np.pi * (1 + 5**0.5)
    cloud = np.sqrt(k / 1000)[:, None] * np.column_stack((np.cos(angle), np.sin(angle)))
    domain = point_cloud(cloud)
    x = rectangle((-1, -1), (1, 1)).grid((81, 81))[1]
    r, kept = np.linalg.norm(x, axis=1), domain.contains(x)
    assert kept[r < 0.98].all()
    assert not kept[r > 1.1].any()
    assert not domain.contains(np.array([[0.9, 0.9]])).any()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_any_unit_of_length_will_do(scale):
    s = scale
    domain = rectangle((-s, -s), (s, s)) - disk((0, 0), s / 2)
    x, normals = domain.boundary(400, np.random.default_rng(0))
    one, outward = SHAPES["hole"][0]().boundary(400, np.random.default_rng(0))
    np.testing.assert_allclose(x / s, one, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(normals, outward, atol=1e-12)
    assert domain.on_boundary(x).all()
    assert len(domain.face("x", s, 10, uniform, np.random.default_rng(0))[0]) == 10
    with pytest.raises(UserError, match="lies outside the boundary"):
        domain.face("x", 0.9 * s, 10, uniform, np.random.default_rng(0))


def test_thin_strips_keep_their_faces_apart():
    strip = rectangle((0, 0), (1, 1e-7)) - rectangle((0.5, 5e-8), (2, 1))
    x, _ = strip.face("y", 5e-8, 50, uniform, np.random.default_rng(0))
    assert (x[:, 0] > 0.5).all()
    with pytest.raises(UserError, match="lies outside the boundary"):
        strip.face("y", 6e-8, 50, uniform, np.random.default_rng(0))


def test_moments_of_a_rectangle():
    """Uniform on [a, b]: mean (a+b)/2, variance (b-a)²/12; 5 standard errors of the mean."""
    mean, std = rectangle((-1, 0), (1, 4)).moments()
    np.testing.assert_allclose(mean, [0, 2], atol=5 * 4 / np.sqrt(12e5))
    np.testing.assert_allclose(std, np.array([2, 4]) / np.sqrt(12), rtol=0.01)


def test_grid_includes_ends_and_masks_what_is_outside():
    axes, x, mask = disk((0, 0), 1).grid((11, 21))
    assert mask.shape == (11, 21)
    assert mask.sum() == len(x)
    assert axes[0][0] == -1
    assert axes[1][-1] == 1
    assert mask[0, 10]
    assert not mask[0, 0]


REFUSED = {
    "empty difference": (lambda: disk((0, 0), 1) - rectangle((-2, -2), (2, 2)), "acceptance 0"),
    "disjoint": (lambda: disk((0, 0), 1) & disk((5, 5), 1), "acceptance 0"),
    "degenerate": (lambda: rectangle((0, 0), (1, 0)), "lower < upper"),
    "flat interval": (lambda: interval(1, 1), "lower < upper"),
    "corners": (lambda: rectangle((0, 0, 0), (1, 1, 1)), "corners of 2"),
    "radius": (lambda: disk((0, 0), 0), "radius > 0"),
    "bow tie": (lambda: polygon([(0, 0), (2, 1), (2, 0), (0, 1.5)]), "without crossing"),
    "line": (lambda: polygon([(0, 0), (1, 1), (2, 2)]), "enclose an area"),
    "no file": (lambda: mesh("nowhere.stl"), "does not exist"),
    "dimensions": (lambda: disk((0, 0), 1) | ball((0, 0, 0), 1), "two steady shapes"),
    "time first": (lambda: disk((0, 0), 1).over_time(0, 1) - disk((0, 0), 0.5), "then over_time"),
    "backwards": (lambda: interval(0, 1).over_time(1, 0), "start < end"),
    "names": (lambda: rectangle((0, 0), (1, 1), coordinates=("x", "t")), "other than t"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_shapes_are_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        build()


def test_open_surface_is_refused():
    body = trimesh.creation.box((1, 1, 1))
    body.update_faces(np.arange(10))
    with pytest.raises(UserError, match="closed surface"):
        mesh(body)


@pytest.mark.parametrize(
    ("build", "axis", "value"),
    [
        (lambda: rectangle((0, 0), (1, 1)), "x", 0.5),
        (lambda: rectangle((0, 0), (1, 1)), "x", 3.0),
        (lambda: disk((0, 0), 1), "x", 1.0),
        (lambda: disk((0, 0), 1), "x", 0.0),
        (lambda: rectangle((-1, -1), (1, 1)) - disk((0, 0), 0.5), "x", 0.2),
    ],
)
def test_faces_off_the_boundary_are_refused(build, axis, value):
    with pytest.raises(UserError, match="lies outside the boundary"):
        build().face(axis, value, 128, uniform, np.random.default_rng(0))


def test_a_predicate_that_never_holds_is_refused():
    with pytest.raises(UserError, match="lies outside the boundary"):
        disk((0, 0), 1).boundary(5, np.random.default_rng(0), lambda x: x[:, 0] > 2)


def test_deepxde_draws_from_our_generator_and_leaves_numpys_alone():
    domain = star()
    before = np.random.get_state()[1].copy()
    first, again = (domain.boundary(20, np.random.default_rng(7))[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(before, np.random.get_state()[1])


def test_precision_of_deepxde_is_put_back():
    config = deepxde().config
    before = config.default_float()
    disk((0, 0), 1)
    assert config.default_float() == before


def test_import_is_late_silent_and_leaves_torchs_defaults():
    script = """
import sys, torch
import sciml.pinn.domain, sciml.pinn.problem
assert "deepxde" not in sys.modules and "trimesh" not in sys.modules
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
sciml.pinn.domain.disk((0, 0), 1)
assert "deepxde" in sys.modules
assert torch.get_default_dtype() == torch.float64
assert torch.get_default_device().type == "meta"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

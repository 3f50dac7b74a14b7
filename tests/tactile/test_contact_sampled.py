"""Solids sampled from triangles: their distances, and presses with them."""

from functools import cache

import numpy as np
import pytest
import torch
import trimesh

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import (
    Ball,
    Capsule,
    Rigid,
    RigidContact,
    Sampled,
    path,
    pose,
    sampled,
)
from sciml.tactile.contact.rigid import curvature
from sciml.tactile.contact.sampled import pseudonormals, signed_distance
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import Newton, Simulator

R = 0.004
#: How far the middles of the ball's triangles lie inside the ball.
SAGITTA = R - np.linalg.norm(trimesh.creation.icosphere(3, R).triangles_center, axis=1).min()


@cache
def ball(spacing: float, subdivisions: int = 3) -> Sampled:
    return sampled(trimesh.creation.icosphere(subdivisions, R), spacing)


def near(solid: Rigid, within: float, count: int = 500) -> torch.Tensor:
    """Points whose distance from the solid's surface is at most `within`."""
    generator = torch.Generator().manual_seed(0)
    y = 0.006 * torch.randn(20 * count, 3, generator=generator, dtype=torch.float64)
    return y[solid.distance(y)[0].abs() <= within][:count]


@pytest.mark.parametrize("spacing", [R / 4, R / 8])
def test_a_balls_distance_is_that_of_its_triangles(spacing: float) -> None:
    y = near(Ball(R), spacing)
    found, exact = ball(spacing).distance(y)[0], Ball(R).distance(y)[0]
    error = found - exact  # the triangles lie inside the ball: d is larger, by at most the sagitta
    assert error.min() > -0.2 * SAGITTA
    assert error.max() < 1.2 * SAGITTA


def test_a_capsules_distance() -> None:
    surface = trimesh.creation.capsule(
        10, 3, count=[24, 24]
    )  # in mm: trimesh drops small triangles
    surface.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    surface.apply_translation(-surface.bounds.mean(0))
    exact, found = Capsule(0.003, 0.01), sampled(surface, 5e-4, scale=1e-3)
    y = near(exact, 5e-4)
    torch.testing.assert_close(found.distance(y)[0], exact.distance(y)[0], rtol=0, atol=4e-5)
    n = found.distance(y)[1]
    cosine = (n / n.norm(dim=1, keepdim=True) * exact.distance(y)[1]).sum(1)
    assert cosine.min() > np.cos(np.pi / 24)


def test_a_boxs_faces_are_exact_and_its_edges_rounded_by_less_than_a_spacing() -> None:
    spacing, half = 4e-4, 0.003
    solid = sampled(trimesh.creation.box([2 * half] * 3), spacing)
    generator = torch.Generator().manual_seed(0)
    flat = 2 * torch.rand(200, 3, generator=generator, dtype=torch.float64) - 1
    y = torch.column_stack([(half - 4 * spacing) * flat[:, :2], half + spacing * flat[:, 2]])
    d, n = solid.distance(y)
    torch.testing.assert_close(d, y[:, 2] - half, rtol=0, atol=1e-2 * spacing)
    torch.testing.assert_close(n, torch.eye(3)[2].double().expand(200, 3), rtol=0, atol=0.03)
    edge = torch.tensor([[half, half, 0.0], [half, half, half]]).double()
    assert solid.distance(edge)[0].abs().max() < 0.3 * spacing


def test_order_of_the_spline() -> None:
    """Samples of the ball's own distance: the error falls as h⁴ away from its centre."""
    from scipy.ndimage import spline_filter

    errors = []
    for count in (21, 41):
        spacing = 3 * R / (count - 1)
        axis = torch.linspace(-1.5 * R, 1.5 * R, count, dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
        d = (grid.norm(dim=-1) - R).numpy()
        solid = Sampled(
            torch.from_numpy(spline_filter(d, mode="mirror")), -1.5 * R * torch.ones(3), spacing
        )
        y = near(Ball(R), 0.1 * R)
        errors.append((solid.distance(y)[0] - Ball(R).distance(y)[0]).abs().max().item())
    assert 3.5 < np.log2(errors[0] / errors[1]) < 6


def test_n_is_the_gradient_of_d_and_the_curvature_that_of_n() -> None:
    solid = ball(R / 4)
    y = torch.cat([near(Ball(R), R / 2, 50), 5 * near(Ball(R), R / 2, 50)]).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: solid.distance(y)[0], y, eps=1e-7, atol=1e-6)
    d, n = solid.distance(y)
    torch.testing.assert_close(torch.autograd.grad(d.sum(), y)[0], n.detach())
    inside = y[:50]
    H, h = curvature(solid, inside), 1e-6
    for axis in range(3):
        step = h * torch.eye(3).double()[axis]
        central = (solid.distance(inside + step)[1] - solid.distance(inside - step)[1]) / (2 * h)
        torch.testing.assert_close(H[:, :, axis], central.detach(), rtol=1e-5, atol=1e-2)


def test_outside_its_grid_a_solid_is_far_away_and_d_continuous() -> None:
    solid = ball(R / 4)
    out = torch.linspace(R, 40 * R, 4000).double()[:, None] * torch.tensor([[0.6, 0.0, 0.8]])
    d = solid.distance(out)[0]
    assert (d > out.norm(dim=1) - R - 0.03 * R / 4).all()
    assert (d.diff().abs() < 1.5 * out.norm(dim=1).diff()).all()


def test_pseudonormals_tell_the_inside_of_a_sharp_corner() -> None:
    """A needle, at whose tip mean normals of faces fail."""
    points = np.array([[0, 0, 0], [9, 0.3, 0.0], [9, -0.3, 0.0], [9, 0.0, 4.0]]) + 4
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    surface = trimesh.Trimesh(points, triangles)
    surface.fix_normals()
    counts = (18, 9, 13)
    d = signed_distance(points, np.asarray(surface.faces), counts)
    grid = np.stack(np.unravel_index(np.arange(d.size), counts), 1).astype(float)
    inside = surface.contains(grid) & (np.abs(d.ravel()) > 1e-9)
    assert (d.ravel()[inside] < 0).all() and inside.any()
    outside = ~surface.contains(grid) & (np.abs(d.ravel()) > 1e-9)
    assert (d.ravel()[outside] > 0).all()
    sum_of_faces = pseudonormals(points, np.asarray(surface.faces))[:, 0]
    assert np.allclose(np.linalg.norm(sum_of_faces, axis=1), 1)


class Press:
    """A slab under a solid that comes down and slides; the force on the solid."""

    def __init__(self, solid: Rigid) -> None:
        elements = Elements(block((0.012, 0.012, 0.006), (4, 4, 2)), 1)
        self.contact = RigidContact(elements, "top", solid, 1e9)
        self.simulator = Simulator(elements, ["bottom"], None, [self.contact], Newton(1e-13))

    def __call__(self, way: torch.Tensor, E: torch.Tensor) -> torch.Tensor:
        steps = len(way) - 1
        friction = torch.full((steps + 1,), 0.3).double()
        found = self.simulator(materials.neo_hookean(E, 0.4), steps, None, [(way, friction)])
        return self.contact.wrench(*found.acting[-1][0])


WAY = path(
    pose((0.0063, 0.0058, 0.0101)),
    pose((0.0063, 0.0058, 0.0094), (0.0, 0.1, 0.0)),
    pose((0.0066, 0.0058, 0.0094), (0.0, 0.1, 0.2)),
    steps=1,
)
E = torch.tensor(1e5).double()


def test_a_press_with_a_sampled_ball_is_that_with_a_ball() -> None:
    found, exact = Press(ball(R / 16, 4))(WAY, E), Press(Ball(R))(WAY, E)
    assert exact[2] > 0.01
    torch.testing.assert_close(found[:3], exact[:3], rtol=0.02, atol=0.02 * exact[2].item())


def test_gradients_through_a_press() -> None:
    press = Press(ball(R / 8))
    inputs = [WAY.clone().requires_grad_(), E.clone().requires_grad_()]
    scale = torch.tensor([1.0, 1.0, 1.0, 200.0, 200.0, 200.0])

    def loss(way: torch.Tensor, E: torch.Tensor) -> torch.Tensor:
        return (scale * press(way, E)).square().sum()

    slopes = torch.autograd.grad(loss(*inputs), inputs)
    along = torch.from_numpy(np.random.default_rng(0).normal(size=(len(WAY), 6))) * 1e-5
    along[0] = 0
    for i, (direction, h) in enumerate(((along, 1e-3), (E, 1e-5))):
        ends = []
        for sign in (1, -1):
            moved = [value.detach().clone() for value in inputs]
            moved[i] = moved[i] + sign * h * direction
            ends.append(loss(*moved).item())
        central = (ends[0] - ends[1]) / (2 * h)
        assert float((slopes[i] * direction).sum()) == pytest.approx(central, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda skin: skin.update_faces(np.arange(len(skin.faces)) > 0), "expected a closed one"),
        (lambda skin: skin.invert(), "facing outwards, got inwards"),
        (lambda skin: skin.apply_scale(1e3), "if these are millimetres multiply by 1e-3"),
    ],
)
def test_surfaces_that_bound_no_solid_are_refused(change, said: str) -> None:
    skin = trimesh.creation.icosphere(1, R)
    change(skin)
    with pytest.raises(UserError, match=said):
        sampled(skin, 1e-3)


def test_spacings_that_make_no_grid_are_refused() -> None:
    skin = trimesh.creation.icosphere(1, R)
    with pytest.raises(UserError, match=r"spacing: expected metres in \(0, 0.004\], half"):
        sampled(skin, 0.005)
    with pytest.raises(UserError, match=r"at most 30000000 points, got .*take more than 1e-05 m"):
        sampled(skin, 1e-5)

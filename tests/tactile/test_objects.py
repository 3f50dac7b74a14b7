"""Rigid bodies: free motion by the laws of mechanics, and on a soft body."""

import itertools

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import Ball, Box, HalfSpace, RigidContact, pose
from sciml.tactile.contact.pose import rotation
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import mass_properties
from sciml.tactile.objects import Driven, Object, RigidBody, together, weighed
from sciml.tactile.objects.rigid import GRAVITY, composed
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BackwardEuler, Newton, Simulator, superlu

SIZE = (0.012, 0.012, 0.006)
R = 0.005


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def ball(mass: float = 0.02, height: float = SIZE[2] + R, **settings) -> RigidBody:
    inertia = 0.4 * mass * R**2 * torch.eye(3).double()
    at = pose((SIZE[0] / 2, SIZE[1] / 2, height))
    return RigidBody(Ball(R), torch.tensor(mass).double(), inertia, at, **settings)


def top(**settings) -> RigidBody:
    """A body of three different moments of inertia, spinning about none of its axes."""
    inertia = torch.diag(tensor(1e-6, 2e-6, 2.5e-6))
    at = pose((0.0, 0.0, 0.0), (0.3, -0.2, 0.5))
    spin = tensor(8.0, 3.0, -5.0)
    return RigidBody(Ball(R), torch.tensor(0.1).double(), inertia, at, spin=spin, **settings)


def free(body: RigidBody, dt: float, steps: int):
    state = body.start()
    for _ in range(steps):
        state = body.step(state, body.place(state), torch.zeros(6).double(), dt)
    return state


def test_free_fall_is_that_of_backward_euler() -> None:
    """z_n = z_0 + v_0 t + g Δt² n (n + 1)/2."""
    body = top(velocity=tensor(0.1, 0.0, 0.2))
    dt, n = 1e-3, 50
    c, v, _, _ = free(body, dt, n)
    g = -GRAVITY
    expected = tensor(0.1 * n * dt, 0.0, 0.2 * n * dt + g * dt**2 * n * (n + 1) / 2)
    torch.testing.assert_close(c, expected)
    torch.testing.assert_close(v, tensor(0.1, 0.0, 0.2 + g * n * dt))


def test_torque_free_rotation_keeps_its_momentum_and_is_second_order() -> None:
    body = top(gravity=torch.zeros(3).double())
    time, ends = 0.5, []
    for steps in (20, 40, 80):
        state = free(body, time / steps, steps)
        torch.testing.assert_close(state[3], body.start()[3], rtol=1e-14, atol=0)
        ends.append((rotation(state[2]), body.energy(state) - body.energy(body.start())))
    turn = [float((a[0] - b[0]).norm()) for a, b in itertools.pairwise(ends)]
    assert 1.8 < np.log2(turn[0] / turn[1]) < 2.3
    assert abs(ends[2][1]) < abs(ends[0][1]) / 12  # energy: second order too
    assert abs(ends[2][1]) < 1e-3 * body.energy(body.start())


def test_a_sphere_spins_at_a_constant_rate() -> None:
    body = ball(spin=tensor(0.0, 0.0, 30.0), gravity=torch.zeros(3).double())
    turned = free(body, 1e-2, 50)[2]  # 15 rad: counted on beyond a whole turn
    torch.testing.assert_close(turned, tensor(0.0, 0.0, 15.0))


def test_a_force_off_the_centre_of_mass_turns_the_body() -> None:
    body = RigidBody(
        Ball(R),
        tensor(0.1)[0],
        1e-6 * torch.eye(3).double(),
        pose((0.0, 0.0, 0.0)),
        centre=tensor(1e-3, 0.0, 0.0),
        gravity=torch.zeros(3).double(),
    )
    push = tensor(0.0, 0.0, 2.0, 0.0, 0.0, 0.0)  # through the frame's origin
    state = body.step(body.start(), body.place(body.start()), push, 1e-3)
    torch.testing.assert_close(state[3], 1e-3 * tensor(0.0, 2e-3, 0.0))
    torch.testing.assert_close(state[0], tensor(1e-3, 0.0, 1e-6 * 2.0 / 0.1))


def test_rotations_compose_like_scipys_and_go_on_beyond_half_a_turn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        a, b = rng.normal(size=(2, 3)) * [[0.5], [2.0]]
        found = composed(tensor(*a), tensor(*b)).numpy()
        expected = (Rotation.from_rotvec(a) * Rotation.from_rotvec(b)).as_matrix()
        np.testing.assert_allclose(Rotation.from_rotvec(found).as_matrix(), expected, atol=1e-12)
        assert np.linalg.norm(found - b) < np.pi + np.linalg.norm(a)
    zero = torch.zeros(3).double()
    slope = torch.autograd.functional.jacobian(lambda a: composed(a, zero), zero)
    torch.testing.assert_close(slope, torch.eye(3).double())


def test_masses_of_surfaces_are_those_of_the_solids() -> None:
    size = np.array([0.01, 0.02, 0.03])
    skin = trimesh.creation.box(size * 1e3)
    skin.apply_translation([5.0, 0.0, 0.0])
    mass, centre, inertia = mass_properties(skin, 1200.0, scale=1e-3)
    assert mass == pytest.approx(1200 * size.prod())
    np.testing.assert_allclose(centre, [0.005, 0, 0], atol=1e-12)
    expected = mass / 12 * (np.square(size).sum() - np.square(size))
    np.testing.assert_allclose(inertia, np.diag(expected), rtol=1e-9, atol=1e-18)
    body = weighed(skin, 1200.0, Ball(R), pose((0.0, 0.0, 0.1)), scale=1e-3)
    torch.testing.assert_close(body.start()[0], tensor(0.005, 0.0, 0.1))
    assert isinstance(body, Object)


def test_gaps_are_those_of_the_solid_at_its_place() -> None:
    body = ball()
    d, n = body.gap(body.start(), tensor(SIZE[0] / 2, SIZE[1] / 2, 0.0)[None])
    torch.testing.assert_close(d, tensor(SIZE[2]))
    torch.testing.assert_close(n, tensor(0.0, 0.0, -1.0)[None])


class Scene:
    def __init__(self, solid=Ball(R), scheme=None) -> None:  # noqa: B008
        elements = Elements(block(SIZE, (4, 4, 2)), 1)
        self.contact = RigidContact(elements, "top", solid, 1e9)
        self.simulator = Simulator(
            elements, ["bottom"], scheme, [self.contact], Newton(1e-12), superlu
        )

    def __call__(self, body, steps, dt, E=1e5, mu=0.0):
        friction = torch.as_tensor(mu).double()
        return together(self.simulator, materials.neo_hookean(E, 0.4), body, friction, dt, steps)


def test_a_plate_dropped_on_the_gel_comes_to_rest_under_its_weight() -> None:
    """It falls by 20 µm and swings through; steps of 10 ms damp that by about half each."""
    scene, mass = Scene(Box((0.02, 0.02, 0.004), 0.001)), 0.1
    plate = trimesh.creation.box([20.0, 20.0, 4.0])
    at = pose((SIZE[0] / 2, SIZE[1] / 2, SIZE[2] + 0.002 + 2e-5))
    body = weighed(plate, mass / 1.6e-6, scene.contact.solid, at, scale=1e-3)
    with torch.no_grad():
        found = scene(body, 12, 1e-2, mu=0.5)
    weight = mass * 9.80665
    assert found.reactions[-1][2].item() == pytest.approx(weight, rel=1e-3)
    assert found.reactions[:, 2].max() > 1.1 * weight
    assert (found.places[-1] - found.places[-2])[2].abs() < 1e-6
    # E A d/h, stiffened by the glued bottom
    area, depth = SIZE[0] * SIZE[1], SIZE[2] + 0.002 - found.places[-1][2].item()
    assert 0.5 < depth / (weight * SIZE[2] / (1e5 * area)) < 1


def test_an_object_and_a_gel_with_inertia_share_a_time_step() -> None:
    scene = Scene(scheme=BackwardEuler(2e-3))
    with torch.no_grad():
        found = scene(ball(), 3, 2e-3)
    assert found.reactions[-1][2] > 0
    with pytest.raises(UserError, match=r"together: expected dt = 0.002 s > 0 as in the simulator"):
        scene(ball(), 3, 1e-3)


def test_gradients_through_contact_and_flight() -> None:
    scene, names = Scene(), ("E", "mass", "velocity")
    inputs = {"E": tensor(1e5)[0], "mass": tensor(0.02)[0], "velocity": tensor(0.05, 0.0, -0.1)}

    def loss(E, mass, velocity) -> torch.Tensor:
        body = RigidBody(
            Ball(R),
            mass,
            0.4 * mass * R**2 * torch.eye(3).double(),
            pose((SIZE[0] / 2, SIZE[1] / 2, SIZE[2] + R)),
            velocity=velocity,
        )
        found = scene(body, 3, 2e-3, E, 0.3)
        c, v, turned, _ = found.states[-1]
        return 1e3 * c[2] + 1e3 * c[0] + v.sum() + turned.sum() + 1e3 * found.u[-1].sum()

    values = [inputs[name].clone().requires_grad_() for name in names]
    slopes = torch.autograd.grad(loss(*values), values)
    for i, name in enumerate(names):
        h, ends = 1e-4, []
        for sign in (1, -1):
            moved = {**inputs, name: inputs[name] * (1 + sign * h)}
            with torch.no_grad():
                ends.append(loss(**moved).item())
        central = (ends[0] - ends[1]) / (2 * h)
        assert (slopes[i] * inputs[name]).sum().item() == pytest.approx(central, rel=1e-6), name


def test_a_driven_body_goes_its_way() -> None:
    way = torch.stack([pose((0.006, 0.006, SIZE[2] + R - z)) for z in (0.0, 1e-4, 2e-4)])
    with torch.no_grad():
        found = Scene()(Driven(Ball(R), way), 2, 1e-3)
    torch.testing.assert_close(found.places, way)
    assert found.reactions[1, 2] > found.reactions[0, 2] > 0
    with pytest.raises(UserError, match="expected a pose for every step, got 3 poses"):
        Scene()(Driven(Ball(R), way), 3, 1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mass": torch.tensor(0.0).double()}, "expected mass > 0 kg, got 0"),
        ({"inertia": -torch.eye(3).double()}, "symmetric, positive definite inertia"),
    ],
)
def test_bodies_that_are_none_are_refused(change, said: str) -> None:
    given = {"mass": torch.tensor(1.0).double(), "inertia": torch.eye(3).double(), **change}
    with pytest.raises(UserError, match=said):
        RigidBody(HalfSpace(), at=pose((0.0, 0.0, 0.0)), **given)

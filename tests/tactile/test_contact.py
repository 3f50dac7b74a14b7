"""Contact with rigid solids: one energy, what is known of presses, friction that remembers."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import Ball, Box, HalfSpace, Punch, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BDF2, DeadLoad, Simulator

SIZE = (0.02, 0.02, 0.01)
UPSIDE_DOWN = (np.pi, 0.0, 0.0)


def steady(value: float, steps: int) -> Tensor:
    return torch.full((steps + 1,), value, dtype=torch.float64)


@pytest.fixture(scope="module")
def slab() -> Elements:
    return Elements(block(SIZE, (4, 4, 2)), 1)


@pytest.mark.parametrize(("degree", "penetration"), [(1, None), (1, 1e-6), (2, None)])
@pytest.mark.parametrize(
    "solid", [HalfSpace(), Ball(0.02), Box((0.02, 0.01, 0.01), 0.002), Punch(0.01, 0.01, 0.002)]
)
def test_force_and_blocks_are_slopes_of_the_energy(solid, degree: int, penetration) -> None:
    elements = Elements(block(SIZE, (2, 2, 1)), degree)
    generator = torch.Generator().manual_seed(0)
    some = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    contact = RigidContact(elements, "top", solid, 1e8, penetration=penetration)
    at = pose((0.011, 0.009, 0.0099), UPSIDE_DOWN)
    if not isinstance(solid, HalfSpace):
        at[2] -= float(contact.gaps(torch.zeros(elements.n, 3).double(), at).min()) + 2e-4
    u = 1e-5 * some(elements.n, 3)
    before, then = u + 1e-5 * some(elements.n, 3), at + 1e-5 * some(6)
    q = len(contact.areas)
    inside = contact.gaps(u, at) < -1e-6
    memory = (1e3 * some(q).abs() * inside, 3e-6 * some(q, 3), then)
    friction = torch.tensor(0.7).double()
    assert inside.any()

    force = lambda w: contact.force(w, before, at, friction, *memory)  # noqa: E731
    u.requires_grad_()
    energy = contact.energy(u, before, at, friction, *memory)
    torch.testing.assert_close(force(u), torch.autograd.grad(energy, u)[0])
    n = elements.n
    K = torch.zeros(n, 3, n, 3).double()
    for (a, b), part in zip(
        contact.pairs, contact.blocks(u.detach(), before, at, friction, *memory), strict=True
    ):
        K[a, :, b] += part
        K[b, :, a] += part.T * (a != b)
    jacobian = torch.autograd.functional.jacobian(force, u.detach())
    torch.testing.assert_close(K, jacobian, rtol=1e-8, atol=1e-8 * float(K.abs().max()))


def test_far_from_balance_a_deep_overlap_does_not_soften() -> None:
    elements = Elements(block(SIZE, (4, 4, 1)), 1)
    contact = RigidContact(elements, "top", Ball(0.006), 1e9)
    u = torch.zeros(elements.n, 3).double()
    at, friction = pose((0.01, 0.01, 0.0145)), torch.tensor(0.0).double()
    q = len(contact.areas)
    memory = (torch.zeros(q).double(), torch.zeros(q, 3).double(), at)
    given = (u, u, at, friction, *memory)
    assert float(torch.linalg.eigvalsh(contact.blocks(*given)).min()) < -1.0
    assert float(torch.linalg.eigvalsh(contact.convex_blocks(*given)).min()) > -1e-6


def test_a_state_that_was_written_over_is_felt_anew(slab: Elements) -> None:
    contact, at = RigidContact(slab, "top", Ball(0.006), 1e9), pose((0.01, 0.01, 0.0145))
    u = torch.zeros(slab.n, 3).double()
    with torch.no_grad():
        first = contact.gaps(u, at)
        u[:, 2] += 1e-4
        at[0] += 1e-3
        found = contact.gaps(u, at)
        expected = RigidContact(slab, "top", Ball(0.006), 1e9).gaps(u, at)
    assert not torch.equal(first, found) and torch.equal(found, expected)


def test_what_was_felt_last_keeps_no_graph_alive(slab: Elements) -> None:
    contact, at = RigidContact(slab, "top", Ball(0.006), 1e9), pose((0.01, 0.01, 0.0145))
    u = 2 * torch.zeros(slab.n, 3).double().requires_grad_()
    with torch.no_grad():
        contact.gaps(u, at)
    kept = weakref.ref(u)
    del u
    assert kept() is None


def test_a_wide_flat_press_without_friction_is_uniaxial() -> None:
    elements = Elements(block((0.01, 0.01, 0.01), (2, 2, 2)), 2)
    contact = RigidContact(elements, "top", HalfSpace(), 1e12)
    held = {"bottom": "z", "x0": "x", "y0": "y"}
    simulator = Simulator(elements, held, None, [contact])
    E, depth = 1e5, 1e-3
    down = path(
        pose((0.0, 0.0, 0.01), UPSIDE_DOWN), pose((0.0, 0.0, 0.01 - depth), UPSIDE_DOWN), steps=2
    )
    found = simulator(materials.linear(E, 0.4), 2, None, [(down, steady(0.0, 2))])
    force = contact.wrench(*found.acting[-1][0])[2].item()
    assert force == pytest.approx(E * 1e-4 * depth / 0.01, rel=1e-4)


def test_a_wrench_balances_what_holds_the_body(slab) -> None:
    contact = RigidContact(slab, "top", Ball(0.006), 1e9)
    simulator = Simulator(slab, ["bottom"], None, [contact])
    stations = [pose((0.01, 0.01, z)) for z in (0.016, 0.0155)] + [pose((0.0103, 0.01, 0.0155))]
    found = simulator(
        materials.neo_hookean(2e5, 0.45), 6, None, [(path(*stations, steps=3), steady(0.4, 6))]
    )
    wrench = contact.wrench(*found.acting[-1][0])
    torch.testing.assert_close(found.holding[-1].sum(0), wrench[:3], rtol=1e-7, atol=1e-9)
    assert wrench[2] > 0.05  # the body pushes the ball up
    assert wrench[0] < -0.01  # and holds it back


def test_the_augmented_lagrangian_keeps_points_out_whatever_the_penalty(slab) -> None:
    forces = []
    for stiffness, penetration in ((3e8, 1e-7), (3e9, 1e-7), (1e8, None)):
        contact = RigidContact(
            slab, "top", Ball(0.006), stiffness, penetration=penetration, solves=20
        )
        simulator = Simulator(slab, ["bottom"], None, [contact])
        down = path(pose((0.01, 0.01, 0.016)), pose((0.01, 0.01, 0.0155)), steps=2)
        found = simulator(materials.neo_hookean(2e5, 0.45), 2, None, [(down, steady(0.0, 2))])
        forces.append(contact.wrench(*found.acting[-1][0])[2].item())
        deepest = -contact.gaps(found.u[-1], down[-1]).min().item()
        assert (deepest <= 1e-7) == (penetration is not None)
    assert forces[0] == pytest.approx(forces[1], rel=1e-3)
    assert forces[2] < 0.9 * forces[1]


def pulled(elements: Elements, friction: float, share: float, steps: int) -> list[float]:
    """Mean sideways displacement, m, of a block's bottom, pressed on a floor and then pulled.

    Args:
        share: of the limit of friction by which it is pulled in the second half.
    """
    floor = RigidContact(elements, "bottom", HalfSpace(), 1e10)
    simulator = Simulator(elements, {"top": "z"}, BDF2(1e-2), [floor, DeadLoad()])
    area, weight = 4e-4, 1.0
    top = torch.from_numpy(elements.surface_weights("top"))[:, None]
    pull = top / area * torch.tensor([share * friction * weight, 0.0, 0.0]).double()
    loads = torch.stack([pull * (step > steps // 2) for step in range(steps + 1)])
    motion = torch.zeros(steps + 1, len(simulator.held), 3).double()
    squeeze = weight / area / 2e6 * SIZE[2]  # about, at ν = 0
    motion[1:, :, 2] = -squeeze
    rest = torch.zeros(steps + 1, 6).double()
    found = simulator(
        materials.linear(2e6, 0.0), steps, motion, [(rest, steady(friction, steps)), (loads,)]
    )
    bottom = elements.on("bottom")
    return [u[bottom, 0].mean().item() for u in found.u]


def test_a_block_pulled_below_the_limit_sticks_and_does_not_creep(slab) -> None:
    steps = 60
    moved = pulled(slab, 0.5, 0.6, steps)
    settled = moved[steps // 2 + 15]
    assert 0 < settled < 1e-5
    assert abs(moved[-1] - settled) < 2e-7


def test_a_block_pulled_beyond_the_limit_goes(slab) -> None:
    assert pulled(slab, 0.5, 1.3, 30)[-1] > 1e-4


@pytest.mark.parametrize("friction", [0.0, 0.2])
def test_a_block_slides_down_an_incline_as_newton_says(friction: float) -> None:
    elements = Elements(block((0.02, 0.02, 0.01), (1, 1, 1)), 1)
    floor = RigidContact(elements, "bottom", HalfSpace(), 1e9, stick=1e-6)
    angle, g, density, steps, dt = 0.5, 9.81, 1000.0, 40, 5e-3
    simulator = Simulator(elements, (), BDF2(dt), [floor, DeadLoad()])
    # the block lies flat on a floor at rest: gravity is what leans
    down = torch.tensor([np.sin(angle), 0.0, -np.cos(angle)]).double() * g * density
    load = torch.from_numpy(np.asarray(simulator.body.mass.sum(1)).ravel())[:, None] * down
    rest = torch.zeros(steps + 1, 6).double()
    found = simulator(
        materials.linear(1e7, 0.3, density),
        steps,
        None,
        [(rest, steady(friction, steps)), (load.expand(steps + 1, *load.shape),)],
    )
    time = steps * dt
    expected = g * (np.sin(angle) - friction * np.cos(angle)) * time**2 / 2
    assert found.u[-1][:, 0].mean().item() == pytest.approx(expected, rel=0.02)


def test_an_indenter_that_starts_inside_is_refused(slab) -> None:
    contact = RigidContact(slab, "top", Ball(0.004), 1e9)
    simulator = Simulator(slab, ["bottom"], None, [contact])
    still = pose((0.01, 0.01, 0.0135)).expand(3, 6)
    with pytest.raises(UserError, match="outside 'top' at the start, got it 0.0005 m inside"):
        simulator(materials.neo_hookean(2e5, 0.45), 2, None, [(still, steady(0.0, 2))])


def test_an_indenter_that_would_jump_past_points_moves_in_parts(slab) -> None:
    contact = RigidContact(slab, "top", Ball(0.004), 1e9)
    simulator = Simulator(slab, ["bottom"], None, [contact])
    stations = [pose((x, 0.01, 0.0132)) for x in (0.0075, 0.0125)]  # a node lies half-way
    found = simulator(
        materials.neo_hookean(2e5, 0.45), 1, None, [(path(*stations, steps=1), steady(0.3, 1))]
    )
    assert found.divided > 0


@pytest.mark.parametrize("name", ["stiffness", "stick", "lag", "penetration"])
def test_settings_that_are_not_positive_are_refused(slab, name: str) -> None:
    with pytest.raises(UserError, match=f"contact: expected {name} > 0"):
        RigidContact(slab, "top", Ball(0.004), **{"stiffness": 1e9, name: 0.0})

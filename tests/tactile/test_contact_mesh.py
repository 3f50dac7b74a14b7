"""Two elastic bodies against each other."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import HalfSpace, MeshContact, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import Mesh
from sciml.tactile.parts import by_cell, moved, united
from sciml.tactile.shapes import block, cylinder
from sciml.tactile.simulator import DeadLoad, Newton, Simulator, superlu

SIDE, HEIGHT = 0.02, 0.01


def two_blocks(above=(2, 2, 1), below=(2, 2, 1), size=None, at=(0.0, 0.0)) -> dict[str, Mesh]:
    upper = block((*(size or (SIDE, SIDE)), HEIGHT), above)
    return {
        "lower": block((SIDE, SIDE, HEIGHT), below),
        "upper": moved(upper, (*at, HEIGHT)),
    }


def steady(value: float, steps: int) -> torch.Tensor:
    return torch.full((steps + 1,), value, dtype=torch.float64)


class Stack:
    """A block on a block; the upper one's top is moved, the lower one's bottom held."""

    def __init__(self, parts, degree=1, stiffness=1e10, held=None, **settings) -> None:
        self.parts = parts
        self.elements = Elements(united(parts), degree)
        self.contact = MeshContact(
            self.elements, "upper.bottom", "lower.top", stiffness, **settings
        )
        held = held or ["lower.bottom", "upper.top"]
        self.simulator = Simulator(
            self.elements, held, None, [self.contact], Newton(1e-12), superlu
        )
        top = set(self.elements.on("upper.top"))
        self.top = torch.tensor([node in top for node in self.simulator.held])

    def motion(self, *stations, steps=2):
        """`[steps + 1, h, 3]`: the top through stations, each reached in `steps`."""
        ways = [torch.zeros(3).double()]
        for station in stations:
            start = ways[-1]
            for k in range(1, steps + 1):
                ways.append(start + (torch.tensor(station).double() - start) * k / steps)
        return torch.stack([self.top[:, None] * way for way in ways])

    def __call__(self, motion, E=1e5, nu=0.3, mu=0.0):
        steps = len(motion) - 1
        friction = mu.expand(steps + 1) if isinstance(mu, torch.Tensor) else steady(mu, steps)
        return self.simulator(materials.neo_hookean(E, nu), steps, motion, [(friction,)])


@pytest.mark.parametrize("degree", [1, 2])
def test_blocks_with_the_same_nodes_act_like_one(degree: int) -> None:
    """Bonded like one by their own symmetry: without friction, sides sliding, uniform pressure."""
    held = {"lower.bottom": "z", "upper.top": "z"}
    held |= {f"{part}.{side}0": side for part in ("lower", "upper") for side in "xy"}
    stack = Stack(two_blocks(), degree, 1e12, held)
    depth, E = 1e-3, 1e5
    found = stack.simulator(
        materials.linear(E, 0.3), 1, stack.motion((0, 0, -depth), steps=1), [(steady(0.0, 1),)]
    )
    expected = E * depth / (2 * HEIGHT)
    push = stack.contact.tractions(*found.acting[-1][0])
    np.testing.assert_allclose(push[:, 2], expected, rtol=1e-4)
    assert push[:, :2].abs().max() < 1e-9 * expected
    strain = found.u[-1][stack.elements.on("upper.bottom"), 2]
    np.testing.assert_allclose(strain, -depth / 2, rtol=1e-4)


def test_blocks_with_other_nodes_press_almost_uniformly() -> None:
    held = {"lower.bottom": "z", "upper.top": "z"}
    held |= {f"{part}.{side}0": side for part in ("lower", "upper") for side in "xy"}
    stack = Stack(two_blocks((5, 5, 2), (2, 2, 1)), 1, 1e10, held)
    depth, E = 1e-3, 1e5
    found = stack.simulator(
        materials.linear(E, 0.3), 1, stack.motion((0, 0, -depth), steps=1), [(steady(0.0, 1),)]
    )
    push = stack.contact.push(*found.acting[-1][0])[2].item()
    assert push == pytest.approx(E * SIDE**2 * depth / (2 * HEIGHT), rel=0.02)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("penetration", [None, 1e-6])
def test_force_and_blocks_are_slopes_of_the_energy(degree: int, penetration) -> None:
    stack = Stack(two_blocks((3, 3, 1)), degree, 1e8, penetration=penetration)
    contact, n = stack.contact, stack.elements.n
    generator = torch.Generator().manual_seed(0)
    some = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    u = 1e-5 * some(n, 3)
    u[stack.elements.on("upper.boundary"), 2] -= 1e-5
    before, q = u + 1e-5 * some(n, 3), len(contact.areas)
    paired = contact._found(u)
    inside = contact.gaps(u) < 0
    memory = (1e3 * some(q).abs() * inside, 3e-6 * some(q, 3), *paired.tensors)
    friction = torch.tensor(0.7).double()
    u.requires_grad_()
    energy = contact.energy(u, before, friction, *memory)
    force = torch.autograd.grad(energy, u, create_graph=True)[0]
    torch.testing.assert_close(contact.force(u, before, friction, *memory), force)
    assert force.sum(0).abs().max() < 1e-12 * force.abs().sum()  # action is reaction
    blocks = contact.blocks(u.detach(), before, friction, *memory)
    whole = torch.zeros(n, n, 3, 3).double()
    a, b = torch.from_numpy(contact.coupled(u.detach(), friction, *memory)).T
    whole.index_put_((a, b), blocks, accumulate=True)
    off = a != b
    whole.index_put_((b[off], a[off]), blocks[off], accumulate=True)
    along = some(n, 3)
    push = contact.force(u, before, friction, *memory)
    seen = torch.autograd.grad((push * along).sum(), u)[0]
    torch.testing.assert_close(torch.einsum("abij,bj->ai", whole, along), seen)


def test_action_is_reaction_and_the_supports_carry_it() -> None:
    stack = Stack(two_blocks((3, 3, 1), size=(0.012, 0.012), at=(0.004, 0.004)))
    found = stack(stack.motion((0, 0, -1e-3), (5e-4, 0, -1e-3)), mu=0.4)
    push = stack.contact.push(*found.acting[-1][0])
    top, bottom = (found.holding[-1][part].sum(0) for part in (stack.top, ~stack.top))
    torch.testing.assert_close(top, -push, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(bottom, push, rtol=1e-8, atol=1e-9)
    assert push[2] > 0.5 and push[0] < -0.05


def test_a_dragged_block_pulls_with_friction_times_pressure() -> None:
    stack = Stack(
        two_blocks((3, 3, 1), (4, 4, 1), size=(0.01, 0.01), at=(0.002, 0.005)), stiffness=1e9
    )
    found = stack(stack.motion((0, 0, -5e-4), (6e-3, 0, -5e-4), steps=4), mu=0.3)
    push = stack.contact.push(*found.acting[-1][0])
    assert -push[0].item() == pytest.approx(0.3 * push[2].item(), rel=0.03)
    assert abs(push[1].item()) < 0.05 * push[2].item()


def cap(height: float, wide: float, R: float) -> Mesh:
    """A cylinder whose top is part of a ball of radius R."""
    flat = cylinder(wide, height, 5, 4)
    x = flat.nodes.copy()
    x[:, 2] -= x[:, 2] / height * (R - np.sqrt(R**2 - x[:, 0] ** 2 - x[:, 1] ** 2))
    return Mesh(x, flat.tets, {k: v for k, v in flat.surfaces.items() if k != "boundary"})


def test_two_equal_caps_press_like_one_on_a_plane_and_about_like_hertz() -> None:
    """By symmetry each is pressed half as deep against a plane; Hertz' F = 4/3 E* √R* d^1.5.

    With R* = R/2, E* = E/(2 (1 - ν²)); the caps' backs are near, they are stiffer than half spaces.
    """
    R, wide, E, nu, depth = 0.02, 0.006, 1e5, 0.3, 2e-4
    lower = cap(wide, wide, R)
    turn = np.array([1.0, -1.0, -1.0])  # about x
    upper = Mesh(
        lower.nodes * turn + [0, 0, 2 * wide],
        lower.tets,
        {k: v for k, v in lower.surfaces.items() if k != "boundary"},
    )
    elements = Elements(united({"lower": lower, "upper": upper}), 1)
    contact = MeshContact(elements, "upper.top", "lower.top", 1e10)
    held = ["lower.bottom", "upper.bottom"]
    simulator = Simulator(elements, held, None, [contact], None, superlu)
    back = torch.from_numpy(elements.nodes[simulator.held][:, 2] > wide)
    down = torch.tensor([0.0, 0.0, -depth]).double()
    motion = torch.stack([share * back[:, None] * down for share in (0.0, 1.0)])
    found = simulator(materials.neo_hookean(E, nu), 1, motion, [(steady(0.0, 1),)])
    push = contact.push(*found.acting[-1][0])[2].item()

    alone = Elements(lower, 1)
    plane = RigidContact(alone, "top", HalfSpace(), 2e10)
    simulator = Simulator(alone, ["bottom"], None, [plane], None, superlu)
    way = path(*(pose((0.0, 0.0, z), (np.pi, 0.0, 0.0)) for z in (wide, wide - depth / 2)), steps=1)
    found = simulator(materials.neo_hookean(E, nu), 1, None, [(way, steady(0.0, 1))])
    assert push == pytest.approx(plane.wrench(*found.acting[-1][0])[2].item(), rel=0.02)
    hertz = 4 / 3 * E / (2 * (1 - nu**2)) * np.sqrt(R / 2) * depth**1.5
    assert 1 < push / hertz < 1.6


def test_what_lies_beside_a_surface_is_not_touched_by_it() -> None:
    """The upper block overhangs: its nodes beyond the edge of the lower one are free to sink."""
    parts = two_blocks((4, 2, 1), at=(0.01, 0.0))
    stack = Stack(parts)
    still = torch.zeros(stack.elements.n, 3).double()
    sunk = still.clone()
    sunk[stack.elements.on("upper.boundary"), 2] = -1e-4
    x = stack.elements.nodes[stack.contact.nodes.numpy(), 0]
    gaps = stack.contact.gaps(sunk).numpy()
    assert (gaps[x <= SIDE] < 0).all() and (gaps[x > SIDE + 1e-9] > 0).all()


def test_gradients() -> None:
    stack = Stack(
        two_blocks((3, 3, 1), (2, 2, 1), size=(0.012, 0.012), at=(0.0035, 0.004)), stiffness=1e9
    )
    way = stack.motion((0, 0, -6e-4), (4e-4, 1e-4, -6e-4))
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(stack.elements.n, 3, generator=generator, dtype=torch.float64)
    inputs = {
        "E": torch.tensor([1e5, 3e5]).double(),
        "mu": torch.tensor(0.4).double(),
        "motion": way,
    }

    def loss(E, mu, motion) -> torch.Tensor:
        field = by_cell(stack.parts, {"lower": E[0], "upper": E[1]})
        found = stack(motion, field, 0.3, mu)
        return (
            1e3 * (seen * found.u[-1]).sum()
            + stack.contact.push(*found.acting[-1][0]).square().sum()
        )

    values = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    slopes = dict(
        zip(values, torch.autograd.grad(loss(**values), list(values.values())), strict=True)
    )
    along = {
        "E": inputs["E"] * torch.tensor([1.0, -0.5]).double(),
        "mu": inputs["mu"],
        "motion": 0.1 * way,
    }
    for name, direction in along.items():
        h = 3e-5
        ends = [loss(**{**inputs, name: inputs[name] + s * h * direction}) for s in (1, -1)]
        central = (ends[0] - ends[1]).item() / (2 * h)
        assert (slopes[name] * direction).sum().item() == pytest.approx(central, rel=1e-6), name


def test_a_pattern_grows_where_contacts_move_and_keeps_its_order() -> None:
    stack = Stack(two_blocks((2, 2, 1), (6, 6, 1), size=(0.006, 0.006), at=(0.001, 0.007)))
    blocks, free = len(stack.simulator.body.pattern.rows), stack.simulator.body.pattern.free
    stack(stack.motion((0, 0, -2e-4), (0.01, 0, -2e-4), steps=4), mu=0.0)
    assert len(stack.simulator.body.pattern.rows) > blocks
    assert (stack.simulator.body.pattern.free == free).all()


def test_bodies_that_overlap_at_the_start_are_refused() -> None:
    parts = two_blocks()
    parts["upper"] = moved(parts["upper"], (0.0, 0.0, -1e-4))
    stack = Stack(parts)
    with pytest.raises(UserError, match="outside 'lower.top' at the start, got it 0.0001 m inside"):
        stack(stack.motion((0, 0, -1e-4), steps=1))


def test_a_body_against_itself_is_refused() -> None:
    elements = Elements(block((0.01, 0.01, 0.01), (1, 1, 1)), 1)
    with pytest.raises(UserError, match="contact of a body with itself is not offered"):
        MeshContact(elements, "top", "bottom", 1e9)


def test_dead_loads_and_contacts_live_in_one_balance() -> None:
    stack = Stack(two_blocks(), held={"lower.bottom": "xyz", "upper.top": "xy"})
    simulator = Simulator(
        stack.elements,
        {"lower.bottom": "xyz", "upper.top": "xyz"},
        None,
        [DeadLoad(), stack.contact],
    )
    load = torch.from_numpy(stack.elements.surface_weights("upper.x1"))[:, None] * torch.tensor(
        [0.0, 0.0, -100.0]
    )
    loads = torch.stack([0 * load, load])
    found = simulator(materials.linear(1e5, 0.3), 1, None, [(loads,), (steady(0.0, 1),)])
    push = stack.contact.push(*found.acting[-1][1])[2]
    assert 0 < push < 100.0 * SIDE * HEIGHT

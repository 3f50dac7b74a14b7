"""Contact by a barrier: nothing ever penetrates, forces are slopes, gradients are right."""

import sys

import numpy as np
import pytest
import torch
import trimesh

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import (
    Ball,
    BarrierContact,
    RigidContact,
    Shell,
    path,
    pose,
    shell,
)
from sciml.tactile.contact.shell import inside
from sciml.tactile.elements import Elements
from sciml.tactile.parts import by_cell, moved, united
from sciml.tactile.shapes import block
from sciml.tactile.simulator import Newton, Simulator, superlu

pytest.importorskip("ipctk", reason="extra barrier")

SIZE, TOP, R = (0.012, 0.012, 0.006), 0.006, 0.004
DHAT = 2e-5


def ball(fine: int = 2) -> Shell:
    return shell(trimesh.creation.icosphere(subdivisions=fine, radius=R))


def steady(value: float | torch.Tensor, steps: int) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64).expand(steps + 1)


def some(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Press:
    """A ball of triangles pressed into a slab, slid and turned."""

    def __init__(self, degree=1, cells=(4, 4, 2), steps=(2, 2), newton=None, **settings) -> None:
        self.elements = Elements(block(SIZE, cells), degree)
        settings = {"dhat": DHAT, "stiffness": 1e5} | settings
        self.contact = BarrierContact(self.elements, "top", solid=ball(), **settings)
        self.simulator = Simulator(
            self.elements, ["bottom"], None, [self.contact], newton or Newton(1e-12), superlu
        )
        stations = (
            pose((0.0062, 0.0057, TOP + R + 3e-5)),
            pose((0.0062, 0.0057, TOP + R - 5e-4)),
            pose((0.0070, 0.0060, TOP + R - 5e-4), (0.0, 0.0, 0.1)),
        )
        self.path = path(*stations[: len(steps) + 1], steps=steps)

    def __call__(self, E=2e5, nu=0.42, mu=0.4, way=None):
        way = self.path if way is None else way
        steps = len(way) - 1
        return self.simulator(materials.neo_hookean(E, nu), steps, None, [(way, steady(mu, steps))])


def apart(contact: BarrierContact, u: torch.Tensor, *at: torch.Tensor) -> None:
    x = contact.vertices(u, *at).detach().numpy()
    assert contact.distance(u, *at) > 0
    assert not contact.collisions.crossing(x)
    soft = x[: contact.skin.count]
    if contact.solid is not None:  # trimesh looks at it in its own way, by rays
        hard = trimesh.Trimesh(x[len(soft) :], contact.solid.triangles, process=False)
        assert not hard.contains(soft).any()


@pytest.mark.parametrize("degree", [1, 2])
def test_forces_and_stiffness_are_slopes(degree: int) -> None:
    """Of the energy and of each other, with friction; against central differences."""
    press = Press(degree)
    contact, n = press.contact, press.elements.n
    z = press.path[0] - torch.tensor([0, 0, 2e-5, 0, 0, 0]).double()
    u, before, lag = (2e-6 * some(k, n, 3) for k in range(3))
    at = (z, torch.tensor(0.7).double(), lag, z + 1e-7, z - 2e-6)
    along, h = some(5, n, 3), 1e-10
    force = contact.force(u, before, *at)
    assert force.abs().max() > 1e-3
    ends = [contact.energy(u + s * h * along, before, *at).item() for s in (1, -1)]
    assert (force * along).sum().item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)
    whole = torch.zeros(n, n, 3, 3).double()
    a, b = torch.from_numpy(contact.coupled(u, *at)).T
    blocks = contact.blocks(u, before, *at)
    whole[a, b], whole[b, a] = blocks, blocks.transpose(1, 2)
    ends = [contact.force(u + s * h * along, before, *at) for s in (1, -1)]
    seen = torch.einsum("abij,bj->ai", whole, along)
    torch.testing.assert_close(
        seen, (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-7 * seen.abs().max().item()
    )
    whole[a, b] = convex = contact.convex_blocks(u, before, *at)
    whole[b, a] = convex.transpose(1, 2)
    flat = whole.permute(0, 2, 1, 3).reshape(3 * n, 3 * n)
    assert torch.linalg.eigvalsh(flat)[0] > -1e-9 * flat.abs().max()


@pytest.mark.parametrize("name", ["before", "pose", "friction", "lag", "lag_pose", "began"])
def test_what_a_force_owes_to_its_parameters(name: str) -> None:
    """Slopes by torch, those by the solid's pose through its vertices, and the slope of a slope."""
    press = Press()
    contact, n = press.contact, press.elements.n
    z = press.path[0] - torch.tensor([0, 0, 2e-5, 0, 0, 0]).double()
    given = {
        "before": 2e-6 * some(1, n, 3),
        "pose": z,
        "friction": torch.tensor(0.7).double(),
        "lag": 2e-6 * some(2, n, 3),
        "lag_pose": z + 1e-7,
        "began": z - 2e-6,
    }
    u, weight = 2e-6 * some(3, n, 3), some(4, n, 3).requires_grad_()
    value = given[name].clone().requires_grad_()
    along, h = some(6, *value.shape), 1e-6 if name == "friction" else 1e-10
    work = (weight * contact.force(u, *{**given, name: value}.values())).sum()
    (slope,) = torch.autograd.grad(work, value, create_graph=True)
    ends = [
        contact.force(u, *{**given, name: given[name] + s * h * along}.values()) for s in (1, -1)
    ]
    change = (ends[0] - ends[1]) / (2 * h)
    assert change.abs().max() > 0
    assert (slope * along).sum().item() == pytest.approx((weight * change).sum().item(), rel=1e-5)
    (mixed,) = torch.autograd.grad((slope * along).sum(), weight)
    torch.testing.assert_close(mixed, change, rtol=1e-4, atol=1e-6 * change.abs().max().item())


@pytest.mark.parametrize(
    ("degree", "cells", "within"), [pytest.param(1, 12, 0.06, marks=pytest.mark.slow), (2, 6, 0.04)]
)
def test_nothing_penetrates_and_the_force_is_that_of_the_penalty(degree, cells, within) -> None:
    """The penalty asks points only, the barrier whole triangles: it is the stiffer, less so the
    finer the mesh (P1 16 cells across + 2.5 %, P2 8 cells + 1.3 %).
    """
    wide, big, depth = 0.006, 0.008, 3e-4
    elements = Elements(block((wide, wide, wide / 2), (cells, cells, cells // 2)), degree)
    solid = shell(trimesh.creation.icosphere(subdivisions=4, radius=big))
    tight = BarrierContact(elements, "top", 3e-6, 1e5, solid)
    loose = RigidContact(elements, "top", Ball(big), 1e11)
    ends = (pose((0.00305, 0.0029, wide / 2 + big - z)) for z in (-1e-5, depth))
    way, pushes = path(*ends, steps=2), []
    for contact in (tight, loose):
        simulator = Simulator(elements, ["bottom"], None, [contact])
        found = simulator(materials.neo_hookean(2e5, 0.42), 2, None, [(way, steady(0.0, 2))])
        pushes.append(contact.wrench(*found.acting[-1][0])[2].item())
        if contact is tight:
            for u, z in zip(found.u, way, strict=True):
                apart(tight, u, z)
            assert tight.distance(found.u[-1], way[-1]) < 3e-6
    assert pushes[0] == pytest.approx(pushes[1], rel=within)


def test_a_step_through_a_thin_solid_stops_at_it() -> None:
    """The held bottom moves a thick slab by far more than a thin plate's thickness at once."""
    plate = shell(trimesh.creation.box((0.02, 0.02, 2e-4)))
    elements = Elements(block(SIZE, (3, 3, 2)), 1)
    contact = BarrierContact(elements, "boundary", DHAT, 1e5, plate)
    simulator = Simulator(elements, ["bottom"], None, [contact], None, superlu)
    still = pose((0.006, 0.006, TOP + 2e-4)).expand(2, 6)
    motion = torch.zeros(2, len(simulator.held), 3).double()
    motion[1, :, 2] = 1.5e-3
    found = simulator(materials.neo_hookean(2e5, 0.42), 1, motion, [(still, steady(0.0, 1))])
    apart(contact, found.u[-1], still[0])
    top = elements.nodes[elements.on("top"), 2] + found.u[-1][elements.on("top"), 2].numpy()
    assert (top < TOP + 1e-4).all()
    push = contact.wrench(*found.acting[-1][0])
    torch.testing.assert_close(push[2], found.holding[-1][:, 2].sum(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("degree", [1, 2])
def test_gradients_through_a_press_and_a_slide(degree: int) -> None:
    press = Press(degree, (3, 3, 2), steps=(1, 1), newton=Newton(1e-13))
    seen = some(0, press.elements.n, 3)
    inputs = {
        "E": torch.tensor(2e5).double(),
        "nu": torch.tensor(0.42).double(),
        "mu": torch.tensor(0.4).double(),
        "way": press.path,
    }

    def loss(**given: torch.Tensor) -> torch.Tensor:
        found = press(**given)
        wrench = press.contact.wrench(*found.acting[-1][0])
        scale = torch.tensor([1.0, 1.0, 1.0, 100.0, 100.0, 100.0]).double()
        return (seen * found.u[-1]).sum() * 1e3 + (scale * wrench).square().sum()

    values = [value.clone().requires_grad_() for value in inputs.values()]
    slopes = torch.autograd.grad(loss(**dict(zip(inputs, values, strict=True))), values)
    turn = some(1, *press.path.shape)
    turn[0] = 0  # where it starts is not what the body feels
    for (name, value), slope in zip(inputs.items(), slopes, strict=True):
        along, h = (1e-5 * turn, 1e-3) if name == "way" else (value, 3e-5)
        with torch.no_grad():
            up, down = (loss(**{**inputs, name: value + s * h * along}) for s in (1, -1))
        central = (up - down).item() / (2 * h)
        assert (slope * along).sum().item() == pytest.approx(central, rel=1e-5), name


# ---- two elastic bodies -------------------------------------------------------------------------


class Stack:
    """A small block above a larger one, 30 µm apart; its top is moved, the lower bottom held."""

    def __init__(self, degree=1, side=0.006, at=0.0031, held=None, newton=None, **settings) -> None:
        upper = block((side, side, 0.004), (2, 2, 1))
        self.parts = {
            "lower": block(SIZE, (3, 3, 2)),
            "upper": moved(upper, (at, at + 2e-4, TOP + 3e-5)),
        }
        self.elements = Elements(united(self.parts), degree)
        settings = {"dhat": DHAT, "stiffness": 1e5} | settings
        self.contact = BarrierContact(
            self.elements, ["upper.boundary", "lower.boundary"], **settings
        )
        held = held or ["lower.bottom", "upper.top"]
        self.simulator = Simulator(
            self.elements, held, None, [self.contact], newton or Newton(1e-12), superlu
        )
        top = set(self.elements.on("upper.top"))
        self.top = torch.tensor([node in top for node in self.simulator.held])

    def motion(self, *stations, steps=2) -> torch.Tensor:
        ways = [torch.zeros(3).double()]
        for station in stations:
            start = ways[-1]
            for k in range(1, steps + 1):
                ways.append(start + (torch.tensor(station).double() - start) * k / steps)
        return torch.stack([self.top[:, None] * way for way in ways])

    def __call__(self, motion, E=1e5, mu=0.0):
        steps = len(motion) - 1
        material = materials.neo_hookean(E, 0.3)
        return self.simulator(material, steps, motion, [(steady(mu, steps),)])


@pytest.mark.parametrize("degree", [1, 2])
def test_two_bodies_press_and_drag_each_other(degree: int) -> None:
    stack = Stack(degree)
    found = stack(stack.motion((0, 0, -4e-4), (1.5e-3, 0, -4e-4), steps=3), mu=0.3)
    for u in found.u:
        apart(stack.contact, u)
    acting = found.acting[-1][0]
    up, down = (stack.contact.push(f"{part}.boundary", *acting) for part in ("upper", "lower"))
    torch.testing.assert_close(up, -down, rtol=1e-9, atol=1e-9)
    top, bottom = (found.holding[-1][part].sum(0) for part in (stack.top, ~stack.top))
    torch.testing.assert_close(top, -up, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(bottom, -down, rtol=1e-7, atol=1e-8)
    assert -up[0].item() == pytest.approx(0.3 * up[2].item(), rel=0.05)  # it slides, at μ N
    assert abs(up[1].item()) < 0.05 * up[2].item()


def test_blocks_on_each_other_bear_a_uniform_pressure() -> None:
    """p = E d/(2 h) of two like blocks between smooth walls, less what the gap takes of d."""
    parts = {"lower": block((0.01, 0.01, 0.005), (3, 3, 2))}
    parts["upper"] = moved(block((0.01, 0.01, 0.005), (3, 3, 2)), (0.0, 0.0, 0.00501))
    elements = Elements(united(parts), 1)
    contact = BarrierContact(elements, ["upper.bottom", "lower.top"], 1e-5, 1e5)
    held = {"lower.bottom": "z", "upper.top": "z"}
    held |= {f"{part}.{side}0": side for part in parts for side in "xy"}
    simulator = Simulator(elements, held, None, [contact], Newton(1e-12), superlu)
    E, depth = 1e5, 5e-4
    motion = torch.zeros(2, len(simulator.held), 3).double()
    motion[1, torch.from_numpy(elements.nodes[simulator.held, 2]) > 0.01, 2] = -depth
    found = simulator(materials.linear(E, 0.3), 1, motion, [(steady(0.0, 1),)])
    closed = depth - 1e-5 + contact.distance(found.u[-1])
    push = contact.push("upper.bottom", *found.acting[-1][0])[2].item()
    assert push == pytest.approx(E * 0.01**2 * closed / 0.01, rel=2e-3)
    strain = found.u[-1][elements.on("lower.bottom", "lower.top"), 2]
    assert strain.min().item() == pytest.approx(-closed / 2, rel=2e-3)


def test_gradients_of_two_bodies() -> None:
    stack = Stack(newton=Newton(1e-13))
    way = stack.motion((0, 0, -3e-4), (2e-4, 1e-4, -3e-4), steps=1)
    seen = some(0, stack.elements.n, 3)
    inputs = {
        "E": torch.tensor([1e5, 3e5]).double(),
        "mu": torch.tensor(0.4).double(),
        "motion": way,
    }

    def loss(E, mu, motion) -> torch.Tensor:
        found = stack(motion, by_cell(stack.parts, {"lower": E[0], "upper": E[1]}), mu)
        push = stack.contact.push("upper.boundary", *found.acting[-1][0])
        return 1e3 * (seen * found.u[-1]).sum() + push.square().sum()

    values = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    slopes = torch.autograd.grad(loss(**values), list(values.values()))
    along = {
        "E": inputs["E"] * torch.tensor([1.0, -0.5]).double(),
        "mu": inputs["mu"],
        "motion": 0.1 * way,
    }
    for slope, (name, direction) in zip(slopes, along.items(), strict=True):
        h = 1e-5
        ends = [loss(**{**inputs, name: inputs[name] + s * h * direction}) for s in (1, -1)]
        central = (ends[0] - ends[1]).item() / (2 * h)
        assert (slope * direction).sum().item() == pytest.approx(central, rel=1e-6), name


# ---- refusals -----------------------------------------------------------------------------------


def test_what_overlaps_or_touches_at_the_start_is_refused() -> None:
    press = Press()
    for height in (TOP + R - 1e-4, TOP / 2):  # across the surface; below it, inside the body
        contact = press.contact
        if height < TOP:
            small = shell(trimesh.creation.icosphere(subdivisions=1, radius=1e-3))
            contact = BarrierContact(press.elements, "top", DHAT, 1e5, small)
        with pytest.raises(UserError, match="'top' and the solid apart at the start, got overlap"):
            contact.start(
                torch.zeros(press.elements.n, 3).double(),
                pose((0.006, 0.006, height)),
                torch.tensor(0.0).double(),
            )
    parts = {"a": block(SIZE, (1, 1, 1)), "b": moved(block(SIZE, (1, 1, 1)), (0.0, 0.0, TOP))}
    elements = Elements(united(parts), 1)
    touching = BarrierContact(elements, ["a.top", "b.bottom"], DHAT, 1e5)
    with pytest.raises(UserError, match="'a.top', 'b.bottom' outside each other at the start"):
        touching.start(torch.zeros(elements.n, 3).double(), torch.tensor(0.0).double())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dhat": 0.0}, "expected dhat > 0, got 0.0"),
        ({"stiffness": -1.0}, "expected stiffness > 0, got -1.0"),
        ({"stick": float("inf")}, "expected stick > 0, got inf"),
        ({"surfaces": "front"}, "surface 'front': expected one of bottom"),
        ({"surfaces": []}, "expected one surface or more, got none"),
        ({"solid": None}, "surfaces of two bodies or a solid, got 'top' of one body; contact of a"),
    ],
)
def test_settings(given: dict, said: str) -> None:
    elements = Elements(block(SIZE, (1, 1, 1)), 1)
    sound = {"surfaces": "top", "dhat": DHAT, "stiffness": 1e5, "solid": ball(1)}
    with pytest.raises(UserError, match=said):
        BarrierContact(elements, **sound | given)


def test_a_solid_that_is_open_is_refused() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1, radius=R)
    sphere.update_faces(np.arange(len(sphere.faces)) > 0)
    with pytest.raises(UserError, match="surface: expected a closed one, got 3 edges"):
        shell(sphere)


def test_without_ipctk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipctk", None)
    with pytest.raises(
        UserError, match=r"expected ipctk, got .*pip install 'sciml-suite\[barrier\]'"
    ):
        BarrierContact(Elements(block(SIZE, (1, 1, 1)), 1), "top", DHAT, 1e5, ball(1))


def test_inside_is_told_by_the_solid_angle() -> None:
    torus = trimesh.creation.torus(0.01, 0.003)
    corners = np.asarray(torus.triangles)
    assert inside(np.array([[0.01, 0.0, 0.0]]), corners)
    assert not inside(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]]), corners)

"""Gradients to the nodes' positions at rest against central differences."""

from functools import partial

import numpy as np
import pytest
import torch
import trimesh

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import (
    Ball,
    BarrierContact,
    MeshContact,
    RigidContact,
    path,
    pose,
    shell,
)
from sciml.tactile.elements import Elements
from sciml.tactile.parts import moved, united
from sciml.tactile.sensor import Camera, Pinhole, Sensor, grid, looking
from sciml.tactile.shapes import block, pad
from sciml.tactile.simulator import BDF2, BackwardEuler, Newton, QuasiStatic, Simulator, State

SIZE = (0.02, 0.02, 0.01)
NEWTON = Newton(1e-13)


def directions(mesh, positions: torch.Tensor, number: int = 2) -> list[torch.Tensor]:
    """Every corner anywhere, by about a hundredth of an edge; thicker throughout."""
    rng = np.random.default_rng(3)
    anywhere = torch.from_numpy(rng.normal(size=mesh.nodes.shape)) * 1e-5
    thicker = positions.detach() * torch.tensor([0.0, 0.0, 1e-2]).double()
    return [anywhere, thicker][:number]


def compare(loss, mesh, accuracy: float = 1e-6, h: float = 1e-3) -> None:
    """One gradient along directions against central differences."""
    positions = torch.from_numpy(mesh.nodes).requires_grad_()
    (slope,) = torch.autograd.grad(loss(positions), positions)
    for along in directions(mesh, positions):
        with torch.no_grad():
            up, down = (float(loss(positions + s * along)) for s in (h, -h))
        assert float((slope * along).sum()) == pytest.approx((up - down) / (2 * h), rel=accuracy)


def pressed(mesh, degree, scheme, law, steps, positions, checkpoints=False) -> torch.Tensor:
    """A ball pressed in, slid and turned with friction; of displacements, forces and wrench."""
    elements = Elements(mesh, degree, positions)
    contact = RigidContact(elements, "top", Ball(0.02), 1e8)
    simulator = Simulator(elements, ["bottom"], scheme, [contact], NEWTON)
    stations = (
        pose((0.0102, 0.0097, 0.0302)),
        pose((0.0102, 0.0097, 0.0293)),
        pose((0.0106, 0.0099, 0.0293), (0.0, 0.0, 0.1)),
    )
    poses = path(*stations, steps=(steps // 2, steps - steps // 2))
    friction = torch.full((steps + 1,), 0.4, dtype=torch.float64)
    found = simulator(law, steps, None, [(poses, friction)], checkpoints=checkpoints)
    wrench = sum(contact.wrench(*moment.acting[0]) for moment in found.moments)
    scale = torch.tensor([1.0, 1.0, 1.0, 100.0, 100.0, 100.0]).double()
    seen = torch.from_numpy(np.random.default_rng(0).normal(size=(elements.n, 3)))
    held = sum(forces[:3].square().sum() for forces in found.holding)
    return 1e3 * (seen * found.u[-1]).sum() + (scale * wrench).square().sum() + held


RUBBER = materials.neo_hookean(2e5, 0.42)
GEL = materials.viscoelastic(materials.yeoh(3e4, -3e3, 3e2, 0.45), beta=[0.3], tau=[4e-3])
MIXED = materials.neo_hookean(2e5, 0.49, pressure=True)


@pytest.mark.parametrize(
    ("degree", "scheme", "law", "checkpoints"),
    [
        (1, None, RUBBER, False),
        (2, None, RUBBER, False),
        (1, BackwardEuler(2e-3), RUBBER, 2),
        (2, BackwardEuler(2e-3), RUBBER, False),
        (1, BDF2(2e-3), GEL, False),
        (2, QuasiStatic(2e-3), MIXED, 2),
    ],
)
def test_a_press_with_friction(degree, scheme, law, checkpoints) -> None:
    mesh = block(SIZE, (4, 4, 2) if degree == 1 else (2, 2, 1))
    steps = 2 if law is MIXED else 4
    compare(partial(pressed, mesh, degree, scheme, law, steps, checkpoints=checkpoints), mesh)


def test_two_elastic_bodies() -> None:
    parts = {
        "gel": block((0.02, 0.02, 0.01), (3, 3, 2)),
        "object": moved(block((0.01, 0.01, 0.005), (2, 2, 1)), (0.0052, 0.0047, 0.01015)),
    }
    mesh = united(parts)

    def loss(positions: torch.Tensor) -> torch.Tensor:
        elements = Elements(mesh, 1, positions)
        contact = MeshContact(elements, "object.bottom", "gel.top", stiffness=1e8)
        simulator = Simulator(elements, ["gel.bottom", "object.top"], None, [contact], NEWTON)
        above = torch.from_numpy(mesh.nodes[simulator.held, 2] > 0.01)
        motion = torch.zeros(4, len(simulator.held), 3).double()
        ramp = torch.linspace(0, 1, 4).double()[:, None, None]
        motion[:, above] = ramp * torch.tensor([5e-4, 2e-4, -6e-4]).double()
        found = simulator(RUBBER, 3, motion, [(torch.full((4,), 0.5).double(),)])
        return sum(forces[above].sum(0).square().sum() for forces in found.holding)

    compare(loss, mesh)


def test_mass_alone() -> None:
    """A body that flies and shakes, held nowhere."""
    mesh = block(SIZE, (2, 2, 1))

    def loss(positions: torch.Tensor) -> torch.Tensor:
        elements = Elements(mesh, 2, positions)
        rng = np.random.default_rng(0)
        v, seen = (torch.from_numpy(rng.normal(size=(elements.n, 3))) for _ in range(2))
        simulator = Simulator(elements, [], BackwardEuler(1e-3), (), NEWTON)
        found = simulator(RUBBER, 3, initial=State(torch.zeros_like(v), 0.05 * v))
        return (seen * found.u[-1]).sum() * 1e3

    compare(loss, mesh)


def test_markers_stay_where_they_are() -> None:
    """Their places in the mesh change with it; so do pixels and flow."""
    mesh = pad(0.02, 0.015, 0.004, (4, 3, 1))

    def loss(positions: torch.Tensor) -> torch.Tensor:
        sensor = Sensor(
            mesh,
            RUBBER,
            Camera(Pinhole(320, 320, 159.5, 119.5), 320, 240, looking((0, 0, -0.012), (0, 0, 0))),
            grid(4, 3, 0.0022, height=0.004) + np.array([1e-4, 1.5e-4, 0.0]),
            degree=2,
            positions=positions,
        )
        rng = np.random.default_rng(0)
        u = 1e-4 * torch.from_numpy(rng.normal(size=(sensor.elements.n, 3)))
        return sensor.flow(u).square().sum() + sensor.marker_pixels(u).sum()

    compare(loss, mesh)


def test_nothing_changes_without() -> None:
    """The same mesh, given as positions or as a mesh, gives the same numbers."""
    mesh = block(SIZE, (2, 2, 1))
    positions = torch.from_numpy(mesh.nodes).clone().requires_grad_()
    plain = pressed(mesh, 1, None, RUBBER, 2, None)
    assert pressed(mesh, 1, None, RUBBER, 2, positions).item() == plain.item()


def test_bad_input() -> None:
    mesh = block(SIZE, (2, 2, 1))
    positions = torch.from_numpy(mesh.nodes).clone().requires_grad_()
    with pytest.raises(UserError, match=r"positions: expected one for each corner, \[18, 3\]"):
        Elements(mesh, 1, positions[:5])
    with pytest.raises(UserError, match="inverted"):
        Elements(mesh, 1, -positions)
    simulator = Simulator(Elements(mesh, 1, positions), ["bottom"])
    with torch.no_grad():
        positions += 1e-4
    with pytest.raises(UserError, match="positions: expected them as they were"):
        simulator(RUBBER, 1)


def test_a_barrier_refuses_positions_that_ask_for_gradients() -> None:
    pytest.importorskip("ipctk", reason="the barrier comes with the extra 'barrier'")
    mesh = block(SIZE, (2, 2, 1))
    elements = Elements(mesh, 1, torch.from_numpy(mesh.nodes).clone().requires_grad_())
    solid = shell(trimesh.creation.box((0.01, 0.01, 0.01)))
    with pytest.raises(UserError, match="positions at rest without gradients"):
        BarrierContact(elements, "top", 1e-4, 1e5, solid)

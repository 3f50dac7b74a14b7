"""Gradients through contact and friction against central differences, nothing clamped."""

import numpy as np
import pytest
import torch

from sciml.tactile import materials
from sciml.tactile.contact import Ball, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BackwardEuler, Newton, Simulator

SIZE = (0.02, 0.02, 0.01)


class Scene:
    """A ball pressed into a slab, slid and turned; a loss of displacements, forces and wrench."""

    def __init__(self, degree=1, scheme=None, steps=6, penetration=None) -> None:
        elements = Elements(block(SIZE, (4, 4, 3)), degree)
        self.contact = RigidContact(elements, "top", Ball(0.006), 1e9, penetration=penetration)
        newton = Newton(1e-13)
        self.simulator = Simulator(elements, ["bottom"], scheme, [self.contact], newton)
        self.steps = steps
        down, along = steps // 2, steps - steps // 2
        stations = (
            pose((0.0102, 0.0097, 0.0161)),
            pose((0.0102, 0.0097, 0.0153)),
            pose((0.0106, 0.0099, 0.0153), (0.0, 0.0, 0.1)),
        )
        self.inputs = {
            "E": torch.tensor(2e5).double(),
            "nu": torch.tensor(0.42).double(),
            "mu": torch.tensor(0.4).double(),
            "path": path(*stations, steps=(down, along)),
        }
        rng = np.random.default_rng(0)
        self.seen = torch.from_numpy(rng.normal(size=(elements.n, 3)))

    def loss(self, **inputs: torch.Tensor) -> torch.Tensor:
        at = {**self.inputs, **inputs}
        parameters = [(at["path"], at["mu"].expand(self.steps + 1))]
        material = materials.neo_hookean(at["E"], at["nu"])
        found = self.simulator(material, self.steps, None, parameters)
        wrench = self.contact.wrench(*found.acting[-1][0])
        scale = torch.tensor([1.0, 1.0, 1.0, 100.0, 100.0, 100.0]).double()
        return (self.seen * found.u[-1]).sum() * 1e3 + (scale * wrench).square().sum()


def compare(scene: Scene, accuracy: float = 1e-6) -> None:
    names = tuple(scene.inputs)
    values = [scene.inputs[name].clone().requires_grad_() for name in names]
    slopes = torch.autograd.grad(scene.loss(**dict(zip(names, values, strict=True))), values)
    rng = np.random.default_rng(1)
    for name, value, slope in zip(names, values, slopes, strict=True):
        along = torch.from_numpy(rng.normal(size=tuple(value.shape)))
        along, h = (1e-5 * along, 1e-3) if name == "path" else (value.detach(), 1e-5)
        if name == "path":
            along[0] = 0  # where it starts is not what the body feels
        with torch.no_grad():
            up, down = (scene.loss(**{name: value + s * along}) for s in (h, -h))
        central = float(up - down) / (2 * h)
        assert float((slope * along).sum()) == pytest.approx(central, rel=accuracy), name


def test_statics() -> None:
    compare(Scene())


def test_quadratic_elements() -> None:
    compare(Scene(degree=2, steps=4))


def test_dynamics() -> None:
    compare(Scene(scheme=BackwardEuler(5e-3)))


def test_the_augmented_lagrangian() -> None:
    compare(Scene(penetration=1e-7))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [None, BackwardEuler(2e-3)])
def test_through_a_hundred_steps_with_friction(scheme) -> None:
    compare(Scene(scheme=scheme, steps=100))

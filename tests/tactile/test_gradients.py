"""Gradients through many steps against central differences, by one adjoint solve a step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import (
    BDF2,
    BackwardEuler,
    Newton,
    QuasiStatic,
    Simulator,
    State,
)
from tests.tactile.sphere import on_top, press

SIZE, RADIUS = (0.02, 0.02, 0.01), 0.004


def of(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


class Scene:
    """A pad under a sphere; all inputs in one dictionary, a loss of every kind of output."""

    def __init__(self, degree, scheme, steps, law=materials.neo_hookean) -> None:
        elements = Elements(block(SIZE, (3, 3, 2)), degree)
        sphere = on_top(elements, RADIUS, 2e7)
        self.simulator = Simulator(elements, ["bottom"], scheme, [sphere], Newton(1e-13))
        self.law, self.steps, rng = law, steps, np.random.default_rng(0)
        cells, held = len(elements.cells), len(self.simulator.held)
        ramp = torch.linspace(0, 1, steps + 1).double()[:, None, None]
        sway = torch.tensor([2e-4, 0.0, 1e-4]).double().expand(held, 3)
        self.inputs = {
            "E": of(2e5),
            "nu": of(0.42),
            "field": torch.from_numpy(1e5 * rng.uniform(1, 2, cells)),
            "path": press((0.0072, 0.0068, 0.0138), 0.0008, 0.0004, steps),
            "motion": ramp * sway,
            "u": torch.zeros(elements.n, 3).double(),
            "v": torch.from_numpy(1e-2 * rng.normal(size=(elements.n, 3))),
        }
        self.seen = torch.from_numpy(rng.normal(size=(elements.n, 3)))

    def loss(self, mapped: bool = False, **inputs: torch.Tensor) -> torch.Tensor:
        at = {**self.inputs, **inputs}
        material = self.law(at["field"] if mapped else at["E"], at["nu"])
        initial = State(at["u"], at["v"])
        found = self.simulator(material, self.steps, at["motion"], [(at["path"],)], initial)
        last, held = found.u[-1], sum(forces.sum(0) for forces in found.holding)
        return (self.seen * last).sum() * 1e3 + (held**2).sum() + (last * last).sum() * 1e6


#: Size of a perturbation by input, and the share of it by which differences are taken: large enough
#: that Newton's tolerance does not show, small enough for the second order.
SIZES = {"u": (1e-4, 1e-3), "v": (1e-2, 1e-3), "path": (1e-4, 1e-4), "motion": (1e-4, 1e-4)}


def compare(scene: Scene, *names: str, mapped: bool = False) -> None:
    """All slopes by one backward pass, each along one direction against central differences."""
    values = [scene.inputs[name].clone().requires_grad_() for name in names]
    loss = scene.loss(mapped, **dict(zip(names, values, strict=True)))
    rng = np.random.default_rng(1)
    for name, value, slope in zip(names, values, torch.autograd.grad(loss, values), strict=True):
        size, h = SIZES.get(name, (None, 1e-5))
        along = torch.from_numpy(rng.normal(size=tuple(value.shape)))
        along = along * size if size else along.abs() * value.detach()
        with torch.no_grad():
            up, down = (scene.loss(mapped, **{name: value + s * along}) for s in (h, -h))
        central = float(up - down) / (2 * h)
        assert float((slope * along).sum()) == pytest.approx(central, rel=1e-6), name


STATIC, EULER, SECOND = QuasiStatic(), BackwardEuler(2e-3), BDF2(2e-3)


@pytest.fixture(scope="module")
def statics() -> Scene:
    return Scene(1, STATIC, 6)


def test_statics(statics: Scene) -> None:
    compare(statics, "E", "nu", "path", "motion")


def test_a_field_of_moduli(statics: Scene) -> None:
    compare(statics, "field", mapped=True)


@pytest.mark.parametrize(
    ("law", "name"),
    [
        (materials.stable_neo_hookean, "nu"),
        (lambda E, nu: materials.yeoh(E / 6, -E / 60, E / 600, nu), "E"),
        (lambda E, nu: materials.mooney_rivlin(E / 8, E / 24, nu), "nu"),
    ],
)
def test_other_materials(law, name: str) -> None:
    compare(Scene(1, STATIC, 3, law), name)


def test_quadratic_elements() -> None:
    compare(Scene(2, STATIC, 3), "nu", "path")


@pytest.mark.parametrize("scheme", [EULER, SECOND])
def test_dynamics_through_twenty_steps(scheme) -> None:
    compare(Scene(1, scheme, 20), "nu", "v")


class Heavy(Scene):
    """The density is an input too."""

    def loss(self, mapped: bool = False, **inputs: torch.Tensor) -> torch.Tensor:
        rho = inputs.get("rho", self.inputs["rho"])
        self.law = lambda E, nu: materials.neo_hookean(E, nu, rho)
        return super().loss(mapped, **inputs)


@pytest.mark.parametrize("scheme", [EULER, SECOND])
def test_density(scheme) -> None:
    scene = Heavy(1, scheme, 4)
    scene.inputs["rho"] = of(1100.0)
    compare(scene, "rho", "E")


def test_initial_displacement() -> None:
    compare(Scene(1, EULER, 4), "u")


def test_through_a_divided_step() -> None:
    """Steps that had to be halved are as differentiable as others."""
    scene = Scene(1, STATIC, 2)
    scene.inputs["path"] = press((0.0072, 0.0068, 0.0138), 0.003, 0.0, 2)
    scene.simulator.newton = replace(scene.simulator.newton, iterations=4)
    assert _divided(scene) > 0
    compare(scene, "path")


def _divided(scene: Scene) -> int:
    at = scene.inputs
    material = scene.law(at["E"], at["nu"])
    found = scene.simulator(material, scene.steps, at["motion"], [(at["path"],)])
    return found.divided


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [STATIC, EULER, SECOND])
def test_through_a_hundred_steps(scheme) -> None:
    compare(Scene(1, scheme, 100), "nu", "path")


def test_a_gradient_costs_no_second_newton(statics: Scene) -> None:
    """Nothing is stored but the states: the backward pass takes no Newton iterations."""
    scene = statics
    E = scene.inputs["E"].clone().requires_grad_()
    found = scene.simulator(materials.neo_hookean(E, 0.42), 2, None, [(scene.inputs["path"][:3],)])
    before = found.iterations
    found.u[-1].sum().backward()
    assert found.iterations == before and E.grad is not None

"""Viscoelastic bodies: relaxation, creep, storage and loss, energy that only falls, gradients."""

import math

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.physics.viscoelasticity import loss_and_storage, relaxation
from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.prony import Viscous
from sciml.tactile.shapes import block
from sciml.tactile.simulator import (
    BDF2,
    BackwardEuler,
    DeadLoad,
    Newton,
    QuasiStatic,
    Simulator,
    State,
)
from tests.tactile.test_elements import balance_of, shaken, smooth
from tests.tactile.test_gradients import Scene, compare, of

EDGE, E, NU = 0.01, 2e5, 0.4
BETA, TAU = torch.tensor([0.5, 0.3]).double(), torch.tensor([0.1, 2.0]).double()
UNIAXIAL = {"x0": "x", "x1": "x", "y0": "y", "bottom": "z"}
KINDS = {
    "neo-Hookean": lambda E, nu: materials.neo_hookean(E, nu),
    "Mooney-Rivlin": lambda E, nu: materials.mooney_rivlin(
        0.1875 * E / (1 + nu), 0.0625 * E / (1 + nu), nu
    ),
    "linear": lambda E, nu: materials.linear(E, nu),
    "with pressure": lambda E, nu: materials.neo_hookean(E, nu, pressure=True),
}


@pytest.fixture(scope="module")
def cube() -> Elements:
    return Elements(block((EDGE,) * 3, (1, 1, 1)), 2)


def pulled(cube: Elements, material, strains: torch.Tensor, scheme) -> tuple[np.ndarray, object]:
    """Nominal stress along x after every step of a cube with free sides."""
    simulator = Simulator(cube, UNIAXIAL, scheme, newton=Newton(1e-12))
    at = torch.from_numpy(cube.nodes[simulator.held] * [1, 0, 0])
    found = simulator(material, len(strains) - 1, strains[:, None, None] * at)
    end = torch.from_numpy(cube.nodes[simulator.held, 0] > EDGE / 2)
    stress = [float(forces[end, 0].sum()) / EDGE**2 for forces in found.holding]
    return np.array(stress), found


@pytest.mark.parametrize("kind", KINDS)
def test_relaxation_of_a_small_strain(cube: Elements, kind: str) -> None:
    """After a rise in Δt ≪ τ: σ = E ε (1 + Σ β e^(-t/τ)), whatever the steps that follow.

    With a pressure the shear alone relaxes: σ = 9κμ/(3κ + μ) ε of μ(t), at ν near ½ the same.
    """
    nu = 0.49999 if kind == "with pressure" else NU
    strain, sudden = 1e-7, 1e-6
    elastic = KINDS[kind](E, nu)
    material = materials.viscoelastic(elastic, BETA, TAU)
    stress, found = pulled(
        cube, material, torch.tensor([0, strain]).double(), QuasiStatic(dt=sudden)
    )
    u, times = found.u[-1], []
    simulator = Simulator(cube, UNIAXIAL, QuasiStatic(dt=0.05), newton=Newton(1e-12))
    held = torch.from_numpy(cube.nodes[simulator.held] * [strain, 0, 0])
    end = torch.from_numpy(cube.nodes[simulator.held, 0] > EDGE / 2)
    later = simulator(material, 8, held.expand(9, -1, 3), initial=found.end)
    for step, forces in enumerate(later.holding, 1):
        t = torch.tensor(0.05 * step).double()
        times.append((float(forces[end, 0].sum()) / EDGE**2, float(relaxation(t, BETA, TAU))))
    assert stress[-1] == pytest.approx(E * strain * 1.8, rel=2e-5)
    for got, wanted in times:
        assert got == pytest.approx(E * strain * wanted, rel=2e-5)
    assert float(u.abs().max()) > 0


def test_relaxation_of_a_large_strain_is_the_elastic_stress_times_the_series(cube) -> None:
    """All components of F held: P(t) = (1 + Σ β e^(-t/τ)) P_e, exactly."""
    simulator = Simulator(cube, ["boundary"], QuasiStatic(dt=1e-7))
    turn = torch.tensor([[0.3, 0.1, 0.0], [0.2, -0.1, 0.0], [0.0, 0.3, 0.1]]).double()
    target = torch.from_numpy(cube.nodes[simulator.held]) @ turn.T
    motion = torch.stack([0 * target, target])
    elastic = materials.neo_hookean(E, NU)
    material = materials.viscoelastic(elastic, BETA, TAU)
    wanted = simulator(elastic, 1, motion).holding[-1]
    first = simulator(material, 1, motion)
    later = Simulator(cube, ["boundary"], QuasiStatic(dt=0.3))
    found = later(material, 2, target.expand(3, -1, 3), initial=first.end).holding[-1]
    share = float(relaxation(torch.tensor(0.6).double(), BETA, TAU))
    assert float((found - share * wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_creep_under_a_sudden_load(cube: Elements) -> None:
    """One branch: ε(t) = σ/E (1 - β/(1 + β) e^(-t/τ_c)), τ_c = τ (1 + β)."""
    beta, tau, steps = 0.8, 0.1, 40
    dt = 0.2 / steps
    f = torch.from_numpy(np.outer(cube.surface_weights("x1"), [1.0, 0, 0]))
    held = {"x0": "x", "y0": "y", "bottom": "z"}
    simulator = Simulator(cube, held, QuasiStatic(dt=dt), [DeadLoad()], Newton(1e-12))
    material = materials.viscoelastic(materials.neo_hookean(E, NU), [beta], [tau])
    load = torch.cat([0 * f[None], f.expand(steps, -1, 3)])
    found = simulator(material, steps, parameters=[(load,)])
    strain = [float(u[cube.on("x1"), 0].mean()) / EDGE for u in found.u[1:]]
    for step in (4, 20, 40):
        t = (step - 0.5) * dt  # the load comes up within the first step
        wanted = (1 - beta / (1 + beta) * math.exp(-t / (tau * (1 + beta)))) / E
        assert strain[step - 1] == pytest.approx(wanted, rel=1e-4)


def test_harmonic_strain_shows_storage_and_loss(cube: Elements) -> None:
    omega, steps, periods = 3.0, 60, 3
    dt = 2 * math.pi / omega / steps
    t = torch.arange(steps * periods + 1).double() * dt
    material = materials.viscoelastic(materials.neo_hookean(E, NU), BETA[:1], TAU[:1])
    stress = pulled(cube, material, 1e-6 * torch.sin(omega * t), QuasiStatic(dt=dt))[0]
    last, at = stress[-steps:] / (E * 1e-6), omega * t[-steps:].numpy()
    loss, storage = loss_and_storage(torch.tensor(omega).double(), BETA[:1], TAU[:1])
    assert 2 * (last * np.sin(at)).mean() == pytest.approx(float(storage), rel=1e-3)
    assert 2 * (last * np.cos(at)).mean() == pytest.approx(float(loss), rel=1e-3)


def branch_energy(Q: torch.Tensor, beta: torch.Tensor, weights: torch.Tensor) -> float:
    """Σ ∫ Q:C⁻¹:Q/2β dV of Hooke's C."""
    trace = Q.diagonal(dim1=-2, dim2=-1).sum(-1)
    density = ((1 + NU) * (Q * Q).sum((-2, -1)) - NU * trace**2) / (2 * E)
    return float((density * weights / beta[:, None, None]).sum())


@pytest.mark.parametrize("scheme", [BackwardEuler, BDF2])
def test_energy_only_falls_where_nothing_is_done_to_the_body(scheme) -> None:
    """Kinetic, elastic and in the branches, after a push; and vibrations die that would not."""
    elements = Elements(block((0.02, 0.01, 0.01), (2, 1, 1)), 2)
    simulator = Simulator(elements, ["x0"], scheme(1e-3), newton=Newton(1e-12))
    beta, tau = BETA[:1], torch.tensor([2e-3]).double()
    start = State(
        torch.zeros(elements.n, 3).double(), 0.05 * torch.from_numpy(elements.nodes) / EDGE
    )
    start.v[simulator.held] = 0
    elastic, M = materials.linear(E, NU), simulator.body.mass
    energies = {}
    for name, material in (
        ("viscous", materials.viscoelastic(elastic, beta, tau)),
        ("elastic", elastic),
    ):
        state, found = start, []
        for _ in range(20):
            state = simulator(material, 1, initial=state).end
            F = elements.deformation(state.u.numpy())
            stored = float((elastic.solid().energy(F) * elements.weights_tensor).sum())
            v = state.v.numpy()
            moving = 500 * float((v * (M @ v)).sum())
            past = state.past
            inner = branch_energy(past.Q, beta, elements.weights_tensor) if past else 0.0
            found.append(stored + moving + inner)
        energies[name] = np.array(found)
    assert (np.diff(energies["viscous"]) < 1e-9 * energies["viscous"][0]).all()
    assert energies["viscous"][-1] < 0.5 * energies["elastic"][-1]


def test_tangent_and_stress_of_one_step() -> None:
    """Φ(u + h d) - Φ - h r·d is O(h²), less ½ h² d·K d it is O(h³); K is symmetric."""
    elements = Elements(shaken(block((0.02, 0.03, 0.01), (1, 2, 1))), 2)
    balance, u = balance_of(elements, "neo-Hookean"), smooth(elements, 0.05)
    H = (
        3e4
        * torch.randn(
            *elements.weights.shape, 3, 3, generator=torch.Generator().manual_seed(0)
        ).double()
    )
    object.__setattr__(balance, "solid", Viscous(balance.solid, of(1.4), H + H.mT))
    d, at = np.roll(smooth(elements, 0.01), 1, axis=1), balance.at(u)
    K = balance.among_free(balance.tangent(u, at.deformation))
    assert abs(K - K.T).max() <= 1e-14 * abs(K).max()
    flat = d.reshape(-1)[balance.free]
    slope, curvature = (at.residual * d).sum(), flat @ (K @ flat)
    steps = np.array([1.0, 0.5, 0.25])
    fallen = np.array([balance.at(u + h * d).energy for h in steps]) - at.energy
    first = np.abs(fallen - steps * slope)
    second = np.abs(fallen - steps * slope - steps**2 * curvature / 2)
    assert np.log2(first[:-1] / first[1:]) == pytest.approx(2, abs=0.1)
    assert np.log2(second[:-1] / second[1:]) == pytest.approx(3, abs=0.15)


class Relaxing(Scene):
    """A pad under a sphere whose branches are inputs too."""

    def __init__(self, degree, scheme, steps, law) -> None:
        super().__init__(degree, scheme, steps, law)
        self.inputs |= {
            "beta": torch.tensor([0.6, 0.4]).double(),
            "tau": torch.tensor([3e-3, 2e-2]).double(),
        }
        self.elastic = law

    def loss(self, mapped: bool = False, **inputs: torch.Tensor) -> torch.Tensor:
        at = {**self.inputs, **inputs}
        self.law = lambda E, nu: materials.viscoelastic(self.elastic(E, nu), at["beta"], at["tau"])
        return super().loss(mapped, **inputs)


@pytest.mark.parametrize(
    ("degree", "scheme", "kind"),
    [
        (1, QuasiStatic(dt=2e-3), "neo-Hookean"),
        (1, BackwardEuler(2e-3), "Mooney-Rivlin"),
        (1, BDF2(2e-3), "neo-Hookean"),
        (2, QuasiStatic(dt=2e-3), "with pressure"),
    ],
)
def test_gradients(degree: int, scheme, kind: str) -> None:
    scene = Relaxing(degree, scheme, 4, KINDS[kind])
    scene.inputs["nu"] = of(0.499 if kind == "with pressure" else 0.42)
    compare(scene, "beta", "tau", "nu", "path")


@pytest.mark.parametrize(
    ("beta", "tau", "said"),
    [
        ([0.5], [0.1, 0.2], r"expected one tau for each beta, got shapes \[1\] and \[2\]"),
        ([-0.5], [0.1], "expected beta in shares ≥ 0, got .-0.5"),
        ([0.5], [0.0], "expected tau in seconds > 0, got .0.0"),
        (0.5, 0.1, r"one tau for each beta, got shapes \[\] and"),
    ],
)
def test_branches_that_make_no_sense_are_refused(beta, tau, said: str) -> None:
    with pytest.raises(UserError, match=said):
        materials.viscoelastic(materials.neo_hookean(E, NU), beta, tau)


def test_statics_without_time_are_refused(cube: Elements) -> None:
    material = materials.viscoelastic(materials.neo_hookean(E, NU), [0.5], [0.1])
    with pytest.raises(UserError, match="got QuasiStatic.*; use QuasiStatic.dt=…. in seconds"):
        Simulator(cube, ["bottom"])(material, 1)
    with pytest.raises(UserError, match="expected dt > 0 in seconds, got -1.0"):
        QuasiStatic(dt=-1.0)

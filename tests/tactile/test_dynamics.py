"""Dynamics: momentum, orders of the schemes, energy, the first bending frequency."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BDF2, BackwardEuler, Newton, Simulator, State
from sciml.tactile.simulator.balance import Balance

SIZE = (0.02, 0.01, 0.01)
MATERIAL = materials.neo_hookean(1e5, 0.4)


@pytest.fixture(scope="module")
def elements() -> Elements:
    return Elements(block(SIZE, (2, 1, 1)), 2)


def thrown(elements: Elements) -> State:
    """Flying along z, spinning about z, and strained."""
    x = torch.from_numpy(elements.nodes) - torch.tensor(SIZE).double() / 2
    spin = torch.cross(torch.tensor([0.0, 0.0, 20.0]).double().expand_as(x), x, dim=1)
    u = 0.05 * x * torch.tensor([1.0, -1.0, 0.0]).double()
    return State(u, spin + torch.tensor([0.0, 0.0, 0.3]).double())


@pytest.mark.parametrize("scheme", [BackwardEuler, BDF2])
def test_free_flight_keeps_its_momentum(elements: Elements, scheme) -> None:
    simulator = Simulator(elements, [], scheme(5e-4), newton=Newton(1e-13))
    found = simulator(MATERIAL, 6, initial=thrown(elements))
    M = simulator.body.mass
    momenta = np.array([(M @ v.numpy()).sum(0) for v in found.v])
    assert np.abs(momenta - momenta[0]).max() <= 1e-11 * np.abs(momenta[0]).max()


def energy(simulator: Simulator, u: torch.Tensor, v: torch.Tensor) -> float:
    rest = torch.zeros_like(u)
    stored = Balance(simulator.body, MATERIAL.solid(), 0.0, rest.numpy(), rest, ()).at(u.numpy())
    return stored.energy + MATERIAL.density / 2 * float(
        (v.numpy() * (simulator.body.mass @ v.numpy())).sum()
    )


@pytest.mark.parametrize("scheme", [BackwardEuler, BDF2])
def test_energy_only_falls(elements: Elements, scheme) -> None:
    simulator = Simulator(elements, ["x0"], scheme(1e-3))
    start = State(torch.zeros(elements.n, 3).double(), 5 * torch.from_numpy(elements.nodes))
    start.v[simulator.held] = 0
    found = simulator(MATERIAL, 12, initial=start)
    energies = np.array([energy(simulator, u, v) for u, v in zip(found.u, found.v, strict=True)])
    assert (np.diff(energies) < 1e-9 * energies[0]).all()


def lowest_mode(simulator: Simulator, material: materials.Material) -> tuple[np.ndarray, float]:
    """Shape `[n, 3]` and angular frequency of K φ = ω² ρ M φ, by dense matrices."""
    body, n = simulator.body, simulator.elements.n
    rest = torch.zeros(n, 3).double()
    balance = Balance(body, material.solid(), 0.0, rest.numpy(), rest, ())
    pattern = body.pattern
    K = pattern.among_free(
        balance.tangent(rest.numpy(), simulator.elements.deformation(rest.numpy()))
    )
    M = np.kron(body.mass.toarray(), np.eye(3))[np.ix_(pattern.free, pattern.free)]
    squares, shapes = eigh(K.toarray(), material.density * M, subset_by_index=[0, 0])
    phi = np.zeros(3 * n)
    phi[pattern.free] = shapes[:, 0]
    return phi.reshape(n, 3), float(np.sqrt(squares[0]))


@pytest.mark.parametrize(("scheme", "order"), [(BackwardEuler, 1), (BDF2, 2)])
def test_order_in_time_of_one_mode(scheme, order: int) -> None:
    """u = φ cos ωt, exactly, of the linear body; errors at ωt = 1 fall as Δt^order."""
    elements, material = Elements(block(SIZE, (2, 1, 1)), 1), materials.linear(1e5, 0.3)
    phi, omega = lowest_mode(Simulator(elements, ["x0"], scheme(1.0)), material)
    start = State(torch.from_numpy(phi), torch.zeros(elements.n, 3).double())
    errors = []
    for steps in (20, 40):
        simulator = Simulator(elements, ["x0"], scheme(1 / omega / steps))
        u = simulator(material, steps, initial=start).u[-1].numpy()
        errors.append(np.abs(u - phi * np.cos(1)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_first_bending_frequency() -> None:
    """f = (1.8751²/2π) √(EI/(ρ A L⁴)) of a cantilever, 2 %; from the period of a BDF2 run."""
    L, h, E, rho = 0.1, 0.01, 2e5, 1000.0
    elements = Elements(block((L, h, h), (8, 1, 1)), 2)
    wanted = 1.8751**2 / (2 * np.pi) * np.sqrt(E * h**2 / 12 / (rho * L**4))
    steps = 60
    dt = 0.6 / wanted / steps
    simulator = Simulator(elements, ["x0"], BDF2(dt))
    x = torch.from_numpy(elements.nodes[:, 0]) / L
    shape = x**2 * (6 - 4 * x + x**2) / 3  # near the mode: the deflection under its own weight
    u = torch.zeros(elements.n, 3).double()
    u[:, 2] = 1e-4 * shape
    u[:, 0] = (
        -1e-4
        * (torch.from_numpy(elements.nodes[:, 2]) - h / 2)
        * (12 * x - 12 * x**2 + 4 * x**3)
        / 3
        / L
    )
    u[simulator.held] = 0
    found = simulator(materials.linear(E, 0.0, rho), steps, initial=State(u, 0 * u))
    tip = np.array([float(state[elements.on("x1"), 2].mean()) for state in found.u])
    down = np.flatnonzero(np.diff(np.sign(tip)))[0]  # a quarter of the period
    quarter = dt * (down + tip[down] / (tip[down] - tip[down + 1]))
    assert 1 / (4 * quarter) == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("scheme", [BackwardEuler, BDF2])
def test_a_step_of_no_length_is_refused(scheme) -> None:
    with pytest.raises(UserError, match="expected dt > 0 in seconds, got 0.0"):
        scheme(0.0)

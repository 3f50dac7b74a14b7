"""Statics: homogeneous laws on a cube, beams, Cook's membrane, observed orders of convergence."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import Mesh
from sciml.tactile.shapes import block
from sciml.tactile.simulator import DeadLoad, Newton, Simulator

E, NU = 2e5, 0.4
MU, LAM = E / (2 * (1 + NU)), E * NU / ((1 + NU) * (1 - 2 * NU))
EDGE = 0.01


def stretched(degree: int, held: dict[str, str], motion) -> tuple[np.ndarray, np.ndarray]:
    """u, and holding forces scattered to all nodes, of a neo-Hookean cube moved to `motion(x)`."""
    elements = Elements(block((EDGE,) * 3, (2, 2, 2)), degree)
    simulator = Simulator(elements, held, newton=Newton(1e-13))
    path = torch.zeros(3, len(simulator.held), 3).double()
    target = torch.from_numpy(motion(elements.nodes[simulator.held]))
    path[1], path[2] = target / 2, target
    found = simulator(materials.neo_hookean(E, NU), 2, path)
    forces = np.zeros((elements.n, 3))
    forces[simulator.held] = found.holding[-1].numpy()
    return found.u[-1].numpy(), forces, elements


def log(x: float) -> float:
    return float(np.log(x))


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("s", [0.8, 1.3])
def test_uniaxial(degree: int, s: float) -> None:
    """μ(t² - 1) + λ ln(s t²) = 0;  P = (μ(s² - 1) + λ ln(s t²))/s."""
    held = {"x0": "x", "x1": "x", "y0": "y", "bottom": "z"}
    u, forces, elements = stretched(degree, held, lambda x: x * [s - 1, 0, 0])
    t = brentq(lambda t: MU * (t * t - 1) + LAM * log(s * t * t), 0.3, 3, xtol=1e-15)
    P = (MU * (s * s - 1) + LAM * log(s * t * t)) / s
    assert np.abs(u - elements.nodes * [s - 1, t - 1, t - 1]).max() <= 1e-10 * EDGE
    assert forces[elements.on("x1"), 0].sum() == pytest.approx(P * EDGE**2, rel=1e-10)


@pytest.mark.parametrize("degree", [1, 2])
def test_equibiaxial(degree: int) -> None:
    """μ(t² - 1) + λ ln(s² t) = 0;  P = (μ(s² - 1) + λ ln(s² t))/s."""
    s = 1.2
    held = {"x0": "x", "x1": "x", "y0": "y", "y1": "y", "bottom": "z"}
    u, forces, elements = stretched(degree, held, lambda x: x * [s - 1, s - 1, 0])
    t = brentq(lambda t: MU * (t * t - 1) + LAM * log(s * s * t), 0.3, 3, xtol=1e-15)
    P = (MU * (s * s - 1) + LAM * log(s * s * t)) / s
    assert np.abs(u[:, 2] - elements.nodes[:, 2] * (t - 1)).max() <= 1e-10 * EDGE
    for side, component in (("x1", 0), ("y1", 1)):
        assert forces[elements.on(side), component].sum() == pytest.approx(P * EDGE**2, rel=1e-10)


@pytest.mark.parametrize("degree", [1, 2])
def test_simple_shear(degree: int) -> None:
    """The whole boundary sheared along x: J = 1, P_xz = μ γ on the top."""
    gamma = 0.5
    turn = np.array([[0, 0, 0], [0, 0, 0], [gamma, 0, 0]])
    u, forces, elements = stretched(degree, {"boundary": "xyz"}, lambda x: x @ turn)
    assert np.abs(u - elements.nodes @ turn).max() <= 1e-10 * EDGE
    at = elements.nodes
    # the work of the boundary's forces in a further shear is μ γ times the volume
    assert (forces[:, 0] * at[:, 2]).sum() == pytest.approx(MU * gamma * EDGE**3, rel=1e-10)


def test_cantilever() -> None:
    """d = P L³/3EI + P L/(κ G A), κ = 5/6, to 1 %, of a slender beam; Poisson's ratio 0."""
    L, h, modulus, load = 0.1, 0.01, 2e5, 1e-4
    elements = Elements(block((L, h, h), (12, 1, 1)), 2)
    f = torch.from_numpy(np.outer(elements.surface_weights("x1"), [0, 0, -load / h**2]))
    simulator = Simulator(elements, ["x0"], terms=[DeadLoad()])
    u = simulator(materials.linear(modulus, 0.0), 1, parameters=[(torch.stack([0 * f, f]),)]).u[-1]
    inertia, shear = h**4 / 12, modulus / 2
    wanted = load * L**3 / (3 * modulus * inertia) + load * L / (5 / 6 * shear * h**2)
    assert -float(u[elements.on("x1"), 2].mean()) == pytest.approx(wanted, rel=0.01)


def cook(n: int) -> Elements:
    """The trapezium (0, 0), (48, 44), (48, 60), (0, 44), one unit thick, free in thickness."""
    brick = block((1.0, 1.0, 1.0), (n, n, 1))
    x, y, z = brick.nodes.T
    nodes = np.column_stack([48 * x, 44 * x + y * (44 * (1 - x) + 16 * x), z])
    surfaces = {k: v for k, v in brick.surfaces.items() if k != "boundary"}
    return Elements(Mesh(nodes, brick.tets, surfaces, largest=100.0), 2)


def test_cooks_membrane() -> None:
    """E 1, ν 1/3, load 1 along y: 23.96 in the middle of the right side (plane stress)."""
    elements = cook(8)
    weights = elements.surface_weights("x1")
    f = torch.from_numpy(np.outer(weights / weights.sum(), [0, 1.0, 0]))
    simulator = Simulator(elements, {"x0": "xy", "bottom": "z"}, terms=[DeadLoad()])
    u = simulator(materials.linear(1.0, 1 / 3), 1, parameters=[(torch.stack([0 * f, f]),)]).u[-1]
    middle = np.abs(elements.nodes - [48, 52, 0]).sum(1).argmin()
    assert float(u[middle, 1]) == pytest.approx(23.96, rel=0.01)


def manufactured(x: np.ndarray) -> np.ndarray:
    """A harmonic displacement ∇(eˣ sin y) has neither divergence nor Laplacian: no body force."""
    x = x / EDGE
    return (
        1e-3
        * EDGE
        * np.column_stack(
            [np.exp(x[:, 0]) * np.sin(x[:, 1]), np.exp(x[:, 0]) * np.cos(x[:, 1]), 0 * x[:, 0]]
        )
    )


@pytest.mark.parametrize("degree", [1, 2])
def test_order_of_convergence(degree: int) -> None:
    """The mean square of the error falls as h^(degree + 1), by the mass matrix."""
    errors = []
    for n in (2, 4):
        elements = Elements(block((EDGE,) * 3, (n,) * 3), degree)
        simulator = Simulator(elements, ["boundary"], newton=Newton(1e-12))
        exact = manufactured(elements.nodes)
        motion = torch.from_numpy(np.stack([0 * exact, exact]))[:, simulator.held]
        u = simulator(materials.linear(E, 0.3), 1, motion).u[-1].numpy()
        errors.append(_mean_square(elements, u))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(degree + 1, abs=0.35)


def _mean_square(elements: Elements, u: np.ndarray) -> float:
    """Root of ∫ |u_h - u|² dV, by quadrature in the cells."""
    from sciml.calculus.simplex import rule, shape

    quadrature = rule(5)
    N = shape(elements.degree, quadrature.points)
    at = quadrature.points @ elements.mesh.nodes[elements.cells[:, :4]]
    found = N @ u[elements.cells]
    wrong = found - manufactured(at.reshape(-1, 3)).reshape(at.shape)
    return float(np.sqrt(np.einsum("mqi,q,m->", wrong**2, quadrature.weights, elements.volumes)))

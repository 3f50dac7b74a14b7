"""Mixed elements: incompressible laws, no locking, no checkerboard, gradients of the saddle."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import Ball, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BackwardEuler, DeadLoad, Newton, Simulator, State
from sciml.tactile.simulator.adjoint import Adjoint, March, Step, _balance
from sciml.tactile.simulator.indefinite import SaddleSolver, factor, gmres
from tests.tactile.test_elements import shaken, smooth
from tests.tactile.test_gradients import EULER, SECOND, STATIC, Scene, compare, of
from tests.tactile.test_statics import cook

EDGE, E = 0.01, 2e5
LAWS = {
    "linear": lambda nu: materials.linear(E, nu, pressure=True),
    "neo-Hookean": lambda nu: materials.neo_hookean(E, nu, pressure=True),
    "stable neo-Hookean": lambda nu: materials.stable_neo_hookean(E, nu, pressure=True),
    "Mooney-Rivlin": lambda nu: materials.mooney_rivlin(E / 8, E / 24, nu, pressure=True),
    "Yeoh": lambda nu: materials.yeoh(E / 6, -E / 60, E / 600, nu, pressure=True),
}
FINITE = [name for name in LAWS if name != "linear"]


@pytest.fixture(scope="module")
def elements() -> Elements:
    return Elements(shaken(block((EDGE, 1.2 * EDGE, EDGE), (2, 2, 2))))


def balance_of(elements: Elements, name: str, nu: float = 0.499):
    """The balance of a body of which nothing is held."""
    simulator = Simulator(elements, [], BackwardEuler(1.0))
    march = March(simulator.body, simulator.newton, SaddleSolver(), Adjoint(SaddleSolver()))
    material, rest = LAWS[name](nu), torch.zeros(elements.n, 3).double()
    step = Step(march, material.law, len(material.parameters), ())
    return _balance(step, rest, torch.zeros(()), rest, rest, *material.parameters)


@pytest.mark.parametrize("nu", [0.4, 0.4999])
@pytest.mark.parametrize("name", LAWS)
def test_patch(elements: Elements, name: str, nu: float) -> None:
    """Affine motion of the whole boundary: the inner nodes follow, the pressure is constant.

    Its round-off moves them: at ν 0.4999 it is a hundred times E.
    """
    gradient = np.array([[0.05, 0.02, 0.0], [-0.03, -0.04, 0.01], [0.02, 0.0, 0.06]])
    affine = elements.nodes @ gradient.T
    simulator = Simulator(elements, ["boundary"], newton=Newton(1e-16))
    motion = torch.from_numpy(np.stack([0 * affine, affine]))[:, simulator.held]
    found = simulator(LAWS[name](nu), 1, motion)
    assert np.abs(found.u[-1].numpy() - affine).max() <= 3e-12 * np.abs(affine).max()
    assert float(found.p[-1].std()) <= 1e-9 * float(found.p[-1].abs().mean())


@pytest.mark.parametrize("name", FINITE)
def test_rigid_motion_and_objectivity(elements: Elements, name: str) -> None:
    """A body turned with its pressures has turned forces, whatever its strain."""
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    Q *= np.linalg.det(Q)
    balance, n = balance_of(elements, name), 3 * elements.n
    p = 0.2 * E * np.random.default_rng(2).normal(size=balance.pressure.count)
    turned = lambda u: (elements.nodes + u) @ Q.T - elements.nodes + 0.01  # noqa: E731
    straining = balance.at(balance.joined(smooth(elements), p)).residual
    rigid = balance.at(balance.joined(turned(0.0), np.zeros(0))).residual
    assert np.abs(rigid).max() <= 1e-12 * np.abs(straining).max()
    found = balance.at(balance.joined(turned(smooth(elements)), p)).residual
    forces = straining[:n].reshape(-1, 3) @ Q.T
    scale = np.abs(straining).max()
    assert np.abs(found[:n].reshape(-1, 3) - forces).max() <= 1e-12 * scale
    assert np.abs(found[n:] - straining[n:]).max() <= 1e-12 * scale


@pytest.mark.parametrize("name", LAWS)
def test_the_saddle_is_symmetric_and_the_slope_of_the_residual(elements, name: str) -> None:
    balance = balance_of(elements, name)
    p = 0.1 * E * np.random.default_rng(2).normal(size=balance.pressure.count)
    y = balance.joined(smooth(elements), p)
    at = balance.at(y)
    S = balance.among_free(balance.tangent(y, at.deformation))
    assert abs(S - S.T).max() <= 1e-14 * abs(S).max()
    d = np.random.default_rng(3).normal(size=y.shape)
    h, free = 1e-8, balance.free
    central = (balance.at(y + h * d).residual - balance.at(y - h * d).residual)[free] / (2 * h)
    found = S @ d[free]
    assert np.allclose(found, central, rtol=0, atol=1e-6 * abs(found).max())
    slope = balance.slope(at.residual[free], S, d[free])
    fallen = balance.at(y + h * d).energy - balance.at(y - h * d).energy
    assert fallen / (2 * h) == pytest.approx(slope, rel=1e-5)


def stretched(name: str, held: dict[str, str], stretches) -> tuple[np.ndarray, dict, Elements]:
    """u and nominal stresses by side of an incompressible cube, in four steps."""
    elements = Elements(block((EDGE,) * 3, (2, 2, 2)))
    simulator = Simulator(elements, held, newton=Newton(1e-13))
    target = torch.from_numpy(elements.nodes[simulator.held] * (np.array(stretches) - 1))
    motion = torch.linspace(0, 1, 5).double()[:, None, None] * target
    found = simulator(LAWS[name](0.5), 4, motion)
    forces = np.zeros((elements.n, 3))
    forces[simulator.held] = found.holding[-1].numpy()
    sides = {
        s: forces[elements.on(s), i].sum() / EDGE**2 for s, i in (("x1", 0), ("y1", 1), ("top", 2))
    }
    return found.u[-1].numpy(), sides, elements


def derivatives(name: str, I1: float) -> tuple[float, float]:
    """W1 and W2 of the incompressible solid; μ = E/3."""
    e, m = I1 - 3, 4 * E / 9
    return {
        "neo-Hookean": (E / 6, 0.0),
        "stable neo-Hookean": (m / 2 * (1 - 1 / (I1 + 1)), 0.0),
        "Mooney-Rivlin": (E / 8, E / 24),
        "Yeoh": (E / 6 - 2 * E / 60 * e + 3 * E / 600 * e * e, 0.0),
    }[name]


@pytest.mark.parametrize("s", [0.6, 2.0])
@pytest.mark.parametrize("name", FINITE)
def test_incompressible_uniaxial(name: str, s: float) -> None:
    """P = 2 (s - s⁻²)(W1 + W2/s), sides s^-½."""
    held = {"x0": "x", "x1": "x", "y0": "y", "bottom": "z"}
    u, P, elements = stretched(name, held, [s, 1, 1])
    W1, W2 = derivatives(name, s * s + 2 / s)
    t = s**-0.5
    assert np.abs(u - elements.nodes * [s - 1, t - 1, t - 1]).max() <= 1e-10 * EDGE
    assert P["x1"] == pytest.approx(2 * (s - s**-2) * (W1 + W2 / s), rel=1e-9)


@pytest.mark.parametrize("name", FINITE)
def test_incompressible_equibiaxial(name: str) -> None:
    """P = 2 (s - s⁻⁵)(W1 + W2 s²)."""
    s = 1.3
    held = {"x0": "x", "x1": "x", "y0": "y", "y1": "y", "bottom": "z"}
    u, P, elements = stretched(name, held, [s, s, 1])
    W1, W2 = derivatives(name, 2 * s * s + s**-4)
    assert np.abs(u[:, 2] - elements.nodes[:, 2] * (s**-2 - 1)).max() <= 1e-10 * EDGE
    for side in ("x1", "y1"):
        assert P[side] == pytest.approx(2 * (s - s**-5) * (W1 + W2 * s * s), rel=1e-9)


def test_agrees_with_displacements_alone_where_nothing_locks() -> None:
    """ν 0.4, a cube pulled and bent while its ends are glued: the gap closes with the mesh."""
    gaps = []
    for n in (2, 3):
        elements = Elements(block((EDGE,) * 3, (n,) * 3))
        simulator = Simulator(elements, ["bottom", "top"])
        motion = torch.zeros(2, len(simulator.held), 3).double()
        top = torch.from_numpy(elements.nodes[simulator.held, 2] > EDGE / 2)
        motion[1, top] = torch.tensor([1e-3, 0.0, 1e-3]).double()
        forces = [
            simulator(material, 1, motion).holding[-1][top].sum(0)
            for material in (materials.neo_hookean(E, 0.4), LAWS["neo-Hookean"](0.4))
        ]
        gaps.append(float((forces[0] - forces[1]).norm() / forces[0].norm()))
    assert gaps[1] < 6e-3 and gaps[1] < 0.6 * gaps[0]


def test_cooks_membrane_in_plane_strain() -> None:
    """E 250, ν 0.4999, load 100: 7.38 amid the right side and 7.72 at its corner, still rising.

    These are quadratic displacements alone on 64 cells; here 16, with pressures.
    """
    elements = cook(16)
    weights = elements.surface_weights("x1")
    f = torch.from_numpy(np.outer(weights / weights.sum(), [0, 100.0, 0]))
    held = {"x0": "xy", "bottom": "z", "top": "z"}
    simulator = Simulator(elements, held, terms=[DeadLoad()])
    material = materials.linear(250.0, 0.4999, pressure=True)
    u = simulator(material, 1, parameters=[(torch.stack([0 * f, f]),)]).u[-1]
    for place, wanted in (([48, 52, 0], 7.38), ([48, 60, 0], 7.72)):
        at = np.abs(elements.nodes - place).sum(1).argmin()
        assert float(u[at, 1]) == pytest.approx(wanted, rel=0.01)


def test_no_pressure_is_left_without_displacements_to_see_it() -> None:
    """inf-sup: the smallest eigenvalue of B K⁻¹ Bᵀ against the mass of p keeps its size."""
    least = []
    for n in (2, 3, 4):
        elements = Elements(block((EDGE,) * 3, (n,) * 3))
        simulator = Simulator(elements, ["bottom"])
        march = March(simulator.body, simulator.newton, SaddleSolver(), Adjoint(SaddleSolver()))
        material, rest = LAWS["linear"](0.45), torch.zeros(elements.n, 3).double()
        step = Step(march, material.law, 2, ())
        balance = _balance(
            step, rest, torch.zeros(()), rest[simulator.held], rest, *material.parameters
        )
        y = balance.joined(rest.numpy(), np.zeros(0))
        S = balance.among_free(balance.tangent(y, balance.at(y).deformation)).toarray()
        pressures = balance.free >= 3 * elements.n
        K, B = S[~pressures][:, ~pressures], S[~pressures][:, pressures]
        C = -S[pressures][:, pressures]  # mass of p times 1/λ
        least.append(eigh(B.T @ np.linalg.solve(K, B), C, eigvals_only=True)[0])
    assert min(least[1:]) > 0.7 * least[0] > 0


def test_a_bonded_incompressible_pad_has_a_smooth_pressure() -> None:
    """Pressed by a fifth between glued plates: volume kept, and one minimum of p, in the middle."""
    elements = Elements(block((2 * EDGE, 2 * EDGE, EDGE / 2), (6, 6, 2)))
    simulator = Simulator(elements, ["bottom", "top"])
    motion = torch.zeros(3, len(simulator.held), 3).double()
    top = torch.from_numpy(elements.nodes[simulator.held, 2] > EDGE / 4)
    motion[1, top, 2], motion[2, top, 2] = -EDGE / 20, -EDGE / 10
    found = simulator(LAWS["Mooney-Rivlin"](0.5), 2, motion)
    J = torch.linalg.det(elements.deformation(found.u[-1].numpy()))
    volume = (J * elements.weights_tensor).sum() / elements.weights.sum()
    assert float(volume) == pytest.approx(1, abs=1e-9)
    x, y, z = elements.mesh.nodes.T
    middle = np.flatnonzero((np.abs(z - EDGE / 4) < 1e-9) & (np.abs(y - EDGE) < 1e-9))
    p = found.p[-1].numpy()[middle[np.argsort(x[middle])]]
    assert p.argmin() == 3 and (np.diff(np.sign(np.diff(p))) != 0).sum() == 1


PRESSED = {
    "neo-Hookean": lambda E, nu: materials.neo_hookean(E, nu, pressure=True),
    "stable neo-Hookean": lambda E, nu: materials.stable_neo_hookean(E, nu, pressure=True),
    "Mooney-Rivlin": lambda E, nu: materials.mooney_rivlin(E / 8, E / 24, nu, pressure=True),
    "Yeoh": lambda E, nu: materials.yeoh(E / 6, -E / 60, E / 600, nu, pressure=True),
}


@pytest.mark.parametrize("name", PRESSED)
def test_gradients_in_statics(name: str) -> None:
    scene = Scene(2, STATIC, 2, PRESSED[name])
    scene.inputs["nu"] = of(0.499)
    compare(scene, "E", "nu", "path", "motion")


@pytest.mark.parametrize("scheme", [EULER, SECOND])
def test_gradients_in_dynamics_of_an_incompressible_body(scheme) -> None:
    scene = Scene(2, scheme, 4, PRESSED["neo-Hookean"])
    scene.inputs["nu"] = of(0.5)
    compare(scene, "E", "v", "path")


def test_gradient_of_pressures_through_a_contact_with_friction() -> None:
    elements = Elements(block((0.02, 0.02, 0.01), (3, 3, 2)))
    contact = RigidContact(elements, "top", Ball(0.006), 1e8)
    simulator = Simulator(elements, ["bottom"], None, [contact], Newton(1e-13))
    friction = torch.full((4,), 0.4).double()

    def loss(E: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        along = path(pose((0.0101, 0.0098, 0.0161)), pose((0.0104, 0.0098, 0.0155)), steps=3)
        share = torch.linspace(0, 1, 4).double()
        along = torch.column_stack([along[:, :2], along[:, 2] - depth * share, along[:, 3:]])
        material = materials.neo_hookean(E, 0.4995, pressure=True)
        found = simulator(material, 3, None, [(along, friction)])
        wrench = contact.wrench(*found.acting[-1][0])
        return (found.p[-1] ** 2).sum() * 1e-9 + wrench[0] + 3 * wrench[2]

    at = [of(2e5).requires_grad_(), of(1e-4).requires_grad_()]
    slopes = torch.autograd.grad(loss(*at), at)
    for k, slope in enumerate(slopes):
        with torch.no_grad():
            moved = [[v * (1 + s * 1e-5 * (i == k)) for i, v in enumerate(at)] for s in (1, -1)]
            central = (loss(*moved[0]) - loss(*moved[1])) / (2e-5 * at[k])
        assert float(slope) == pytest.approx(float(central), rel=1e-6)


def test_an_incompressible_body_in_free_flight_keeps_momentum_and_volume(elements) -> None:
    simulator = Simulator(elements, [], BackwardEuler(1e-3), newton=Newton(1e-13))
    v = torch.from_numpy(np.random.default_rng(4).normal(size=(elements.n, 3)) * 0.1)
    u = torch.zeros(elements.n, 3).double()
    found = simulator(LAWS["neo-Hookean"](0.5), 3, initial=State(u, v))
    M = simulator.body.mass
    momenta = np.array([(M @ v.numpy()).sum(0) for v in found.v])
    assert np.abs(momenta - momenta[0]).max() <= 1e-10 * np.abs(momenta[0]).max()
    log_J = torch.linalg.det(elements.deformation(found.u[-1].numpy())).log()
    assert abs(float((log_J * elements.weights_tensor).sum())) < 1e-9 * elements.weights.sum()


def test_a_factor_serves_saddles_without_compliance() -> None:
    rng = np.random.default_rng(0)
    elements = Elements(block((EDGE,) * 3, (3, 3, 3)))
    simulator = Simulator(elements, ["bottom"])
    march = March(simulator.body, simulator.newton, SaddleSolver(), Adjoint(SaddleSolver()))
    material, rest = LAWS["neo-Hookean"](0.5), torch.zeros(elements.n, 3).double()
    step = Step(march, material.law, 2, ())
    balance = _balance(
        step, rest, torch.zeros(()), rest[simulator.held], rest, *material.parameters
    )
    y = balance.joined(rest.numpy(), np.zeros(0))
    S = balance.among_free(balance.tangent(y, balance.at(y).deformation))
    b = rng.normal(size=S.shape[0])
    left = gmres(S, b, factor(S), 3, 1e-12 * np.linalg.norm(b))[1]
    assert left <= 1e-11 * np.linalg.norm(b)
    solver = SaddleSolver()
    for scale in (1.0, 1.01):
        solver(scale * S, b, 1e-10)
    assert solver.factors == 1


def test_linear_elements_are_refused() -> None:
    elements = Elements(block((EDGE,) * 3, (1, 1, 1)), 1)
    with pytest.raises(UserError, match="expected elements of degree 2 for a pressure field"):
        Simulator(elements, ["bottom"])(LAWS["linear"](0.499), 1)

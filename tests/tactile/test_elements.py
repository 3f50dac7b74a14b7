"""Elements: patch test, rigid motion, Taylor slopes, symmetry, mass; degrees 1 and 2."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import Mesh
from sciml.tactile.shapes import block
from sciml.tactile.simulator import Newton, Simulator
from sciml.tactile.simulator.balance import Balance
from sciml.tactile.simulator.body import Body

SIZE, CELLS = (0.02, 0.03, 0.01), (2, 3, 2)
MATERIALS = {
    "linear": materials.linear(2e5, 0.3),
    "St. Venant-Kirchhoff": materials.st_venant_kirchhoff(2e5, 0.3),
    "neo-Hookean": materials.neo_hookean(2e5, 0.45),
    "stable neo-Hookean": materials.stable_neo_hookean(2e5, 0.45),
    "Mooney-Rivlin": materials.mooney_rivlin(2e4, 1e4, 0.45),
    "Yeoh": materials.yeoh(3e4, -2e3, 1e2, 0.45),
}
FINITE = [name for name in MATERIALS if name != "linear"]


def shaken(mesh: Mesh, share: float = 0.15) -> Mesh:
    """Inner nodes moved at random, so that no two cells are alike."""
    rng, x = np.random.default_rng(0), mesh.nodes.copy()
    inner = np.setdiff1d(np.arange(len(x)), mesh.surface("boundary"))
    x[inner] += share * min(SIZE) / max(CELLS) * rng.uniform(-1, 1, (len(inner), 3))
    return Mesh(x, mesh.tets, {k: v for k, v in mesh.surfaces.items() if k != "boundary"})


@pytest.fixture(params=[1, 2], scope="module")
def elements(request) -> Elements:
    return Elements(shaken(block(SIZE, CELLS)), request.param)


def balance_of(elements: Elements, name: str) -> Balance:
    free = np.zeros((elements.n, 3), dtype=bool)
    rest = torch.zeros(elements.n, 3).double()
    return Balance(Body(elements, free, ()), MATERIALS[name].solid(), 0.0, rest.numpy(), rest, ())


def smooth(elements: Elements, size: float = 0.1) -> np.ndarray:
    """A bending, twisting displacement with strains of about `size`."""
    x, y, z = elements.nodes.T / min(SIZE)
    return size * min(SIZE) * np.column_stack([np.sin(y) * z, np.cos(x + z), x * y / 3])


@pytest.mark.parametrize("name", MATERIALS)
def test_patch(elements: Elements, name: str) -> None:
    """Affine motion of the whole boundary: the inner nodes follow it."""
    gradient = np.array([[0.05, 0.02, 0.0], [-0.03, -0.04, 0.01], [0.02, 0.0, 0.06]])
    affine = elements.nodes @ gradient.T
    simulator = Simulator(elements, ["boundary"], newton=Newton(1e-16))
    motion = torch.from_numpy(np.stack([0 * affine, affine]))[:, simulator.held]
    found = simulator(MATERIALS[name], 1, motion).u[-1].numpy()
    assert np.abs(found - affine).max() <= 1e-12 * np.abs(affine).max()


@pytest.mark.parametrize("name", FINITE)
def test_rigid_motion_needs_no_force(elements: Elements, name: str) -> None:
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    Q *= np.linalg.det(Q)
    u = elements.nodes @ Q.T + [0.01, -0.02, 0.03] - elements.nodes
    balance = balance_of(elements, name)
    strained = np.abs(balance.at(smooth(elements)).residual).max()
    assert np.abs(balance.at(u).residual).max() <= 1e-12 * strained


@pytest.mark.parametrize("name", MATERIALS)
def test_forces_have_no_resultant(elements: Elements, name: str) -> None:
    at = balance_of(elements, name).at(smooth(elements))
    assert np.abs(at.residual.sum(0)).max() <= 1e-12 * np.abs(at.residual).max()
    if name in FINITE:  # moment about the origin, at the deformed positions
        moment = np.cross(elements.nodes + at.u, at.residual)
        assert np.abs(moment.sum(0)).max() <= 1e-12 * np.abs(moment).max()


@pytest.mark.parametrize("name", MATERIALS)
def test_taylor_slopes(elements: Elements, name: str) -> None:
    """Φ(u + h d) - Φ - h r·d is O(h²), less ½ h² d·K d it is O(h³)."""
    balance, u = balance_of(elements, name), smooth(elements, 0.05)
    d = np.roll(smooth(elements, 0.01), 1, axis=1)
    at = balance.at(u)
    K = balance.body.pattern.among_free(balance.tangent(u, at.deformation))
    flat = d.reshape(-1)[balance.body.pattern.free]
    slope, curvature = (at.residual * d).sum(), flat @ (K @ flat)
    steps = np.array([1.0, 0.5, 0.25])
    fallen = np.array([balance.at(u + h * d).energy for h in steps]) - at.energy
    first = np.abs(fallen - steps * slope)
    second = np.abs(fallen - steps * slope - steps**2 * curvature / 2)
    assert np.log2(first[:-1] / first[1:]) == pytest.approx(2, abs=0.1)
    if name == "linear":
        assert second.max() < 1e-9 * first.max()
    else:
        assert np.log2(second[:-1] / second[1:]) == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("name", MATERIALS)
def test_tangent_is_symmetric_and_the_slope_of_the_residual(elements: Elements, name: str) -> None:
    balance, u = balance_of(elements, name), smooth(elements)
    pattern = balance.body.pattern
    K = pattern.among_free(balance.tangent(u, balance.at(u).deformation))
    assert abs(K - K.T).max() <= 1e-14 * abs(K).max()
    d = np.random.default_rng(3).normal(size=u.shape)
    h = 1e-8
    central = (balance.at(u + h * d).residual - balance.at(u - h * d).residual) / (2 * h)
    found = K @ d.reshape(-1)[pattern.free]
    assert np.allclose(
        found, central.reshape(-1)[pattern.free], rtol=0, atol=1e-6 * abs(found).max()
    )


def test_mass_of_linear_motion(elements: Elements) -> None:
    """v·M v of v = x along one axis is ∫ x² dV = V L²/3; the total is the volume."""
    free = np.zeros((elements.n, 3), dtype=bool)
    M = Body(elements, free, ()).mass
    x, volume = elements.nodes[:, 0], np.prod(SIZE)
    assert M.sum() == pytest.approx(volume, rel=1e-13)
    assert x @ M @ x == pytest.approx(volume * SIZE[0] ** 2 / 3, rel=1e-13)


def test_midpoints_lie_between_corners() -> None:
    elements = Elements(block(SIZE, CELLS), 2)
    found = elements.with_midpoints(elements.mesh.surface("top"))
    a, b, c, *middles = np.moveaxis(elements.nodes[found], 1, 0)
    for middle, (p, q) in zip(middles, ((a, b), (b, c), (c, a)), strict=True):
        assert np.allclose(middle, (p + q) / 2, atol=1e-17)
    top = elements.on("top")
    assert (elements.nodes[top, 2] == SIZE[2]).all() and len(top) == 5 * 7


@pytest.mark.parametrize("degree", [1, 2])
def test_surface_weights_integrate_linear_functions(degree: int) -> None:
    elements = Elements(block(SIZE, CELLS), degree)
    weights = elements.surface_weights("top")
    assert weights.sum() == pytest.approx(SIZE[0] * SIZE[1], rel=1e-14)
    mean = SIZE[0] ** 2 * SIZE[1] / 2
    assert weights @ elements.nodes[:, 0] == pytest.approx(mean, rel=1e-14)


def test_nodes_of_every_cell_rise() -> None:
    assert (np.diff(Elements(block(SIZE, CELLS), 2).cells, axis=1) > 0).all()


def test_another_degree_is_refused() -> None:
    with pytest.raises(UserError, match="expected degree 1 or 2, got 3"):
        Elements(block(SIZE, CELLS), 3)

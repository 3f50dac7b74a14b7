"""The same meshes and equations by scikit-fem, whose weak forms are written down independently."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import spsolve
from skfem import Basis, BilinearForm, ElementVector, LinearForm, MeshTet, asm, condense
from skfem.element import ElementTetP1, ElementTetP2
from skfem.helpers import ddot, eye, grad, sym_grad, trace, transpose

from sciml.calculus.simplex import rule
from sciml.tactile import materials
from sciml.tactile.elements import QUADRATURE, Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import Newton, Simulator

E, NU = 2e5, 0.4
MU, LAM = E / (2 * (1 + NU)), E * NU / ((1 + NU) * (1 - 2 * NU))
SIZE = (0.02, 0.01, 0.015)
TOP = np.array([0.001, -0.0005, -0.002])


@pytest.fixture(params=[1, 2])
def elements(request) -> Elements:
    return Elements(block(SIZE, (2, 1, 2)), request.param)


def basis_of(elements: Elements) -> Basis:
    quadrature = rule(QUADRATURE[elements.degree])
    kind = {1: ElementTetP1, 2: ElementTetP2}[elements.degree]()
    mesh = MeshTet(elements.mesh.nodes.T.copy(), elements.mesh.tets.T.copy())
    points = quadrature.points[:, 1:].T, quadrature.weights / 6
    return Basis(mesh, ElementVector(kind), quadrature=points)


def ours(elements: Elements, material: materials.Material) -> np.ndarray:
    simulator = Simulator(elements, ["bottom", "top"], newton=Newton(1e-13))
    motion = torch.zeros(2, len(simulator.held), 3).double()
    motion[1, elements.nodes[simulator.held, 2] > 0] = torch.from_numpy(TOP)
    return simulator(material, 1, motion).u[-1].numpy()


def nodal(elements: Elements, basis: Basis, x: np.ndarray) -> np.ndarray:
    """Values at our nodes, found by their positions."""
    size = min(SIZE)
    keys = {tuple(k): n for n, k in enumerate(np.round(elements.nodes / size * 1e6).astype(int))}
    found = np.full((elements.n, 3), np.nan)
    places = np.round(basis.doflocs.T / size * 1e6).astype(int)
    for component in range(3):
        dofs = np.unique(np.concatenate([basis.get_dofs(elements=True).all(f"u^{component + 1}")]))
        for dof in dofs:
            found[keys[tuple(places[dof])], component] = x[dof]
    assert not np.isnan(found).any()
    return found


def held(basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    """Held dofs, and a vector with their values."""
    z, x = basis.doflocs[2], np.zeros(basis.N)
    for component in range(3):
        own = basis.get_dofs(elements=True).all(f"u^{component + 1}")
        x[own[z[own] > SIZE[2] - 1e-9]] = TOP[component]
    return np.flatnonzero((z < 1e-9) | (z > SIZE[2] - 1e-9)), x


def test_linear(elements: Elements) -> None:
    @BilinearForm
    def elasticity(u, v, _):
        strain = sym_grad(u)
        return ddot(2 * MU * strain + LAM * eye(trace(strain), 3), sym_grad(v))

    basis = basis_of(elements)
    dofs, x = held(basis)
    K, b, x, free = condense(asm(elasticity, basis), np.zeros(basis.N), x=x, D=dofs)
    x[free] = spsolve(K.tocsc(), b)
    wanted = nodal(elements, basis, x)
    found = ours(elements, materials.linear(E, NU))
    assert np.abs(found - wanted).max() <= 1e-10 * np.abs(wanted).max()


def inverse_transpose(F: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.linalg.inv(np.moveaxis(F, (0, 1), (-2, -1))), (-1, -2), (0, 1))


@LinearForm
def internal(v, w):
    """P : ∇v, P = μ (F - F⁻ᵀ) + λ ln J F⁻ᵀ."""
    F = grad(w["u"]) + eye(1.0 + 0 * w.x[0], 3)
    H, J = inverse_transpose(F), np.linalg.det(np.moveaxis(F, (0, 1), (-2, -1)))
    return ddot(MU * (F - H) + LAM * np.log(J) * H, grad(v))


@BilinearForm
def stiffness(du, v, w):
    """dP = μ dF + (μ - λ ln J) H dFᵀ H + λ (H : dF) H."""
    F = grad(w["u"]) + eye(1.0 + 0 * w.x[0], 3)
    H, J = inverse_transpose(F), np.linalg.det(np.moveaxis(F, (0, 1), (-2, -1)))
    turned = np.einsum("ij...,jk...,kl...->il...", H, transpose(grad(du)), H)
    dP = MU * grad(du) + (MU - LAM * np.log(J)) * turned + LAM * ddot(H, grad(du)) * H
    return ddot(dP, grad(v))


def test_neo_hookean(elements: Elements) -> None:
    basis = basis_of(elements)
    dofs, target = held(basis)
    x, free = np.zeros(basis.N), np.setdiff1d(np.arange(basis.N), dofs)
    for load, steps in ((0.5, 4), (1.0, 6)):
        x[dofs] = load * target[dofs]
        for _ in range(steps):
            u = basis.interpolate(x)
            r = asm(internal, basis, u=u)[free]
            K = asm(stiffness, basis, u=u)[free][:, free]
            x[free] -= spsolve(K.tocsc(), r)
    assert np.abs(r).max() < 1e-12
    wanted = nodal(elements, basis, x)
    found = ours(elements, materials.neo_hookean(E, NU))
    assert np.abs(found - wanted).max() <= 1e-8 * np.abs(wanted).max()

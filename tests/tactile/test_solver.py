"""Sparse solvers: old factors serve while they can, new ones where they must; orders fill less."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import splu

from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import superlu
from sciml.tactile.simulator.newton import _raised
from sciml.tactile.simulator.ordering import nested_dissection
from sciml.tactile.simulator.pardiso import Pardiso
from sciml.tactile.simulator.solver import Solver


def laplacian(n: int, shift: float = 0.0) -> csr_matrix:
    one = diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    return (one + shift * identity(n)).tocsr()


B = np.random.default_rng(0).normal(size=200)


@pytest.fixture(params=["superlu", "pardiso"])
def solver(request) -> Solver:
    if request.param == "pardiso":
        pytest.importorskip("pypardiso", reason="extra 'direct' is not installed")
    return Solver(superlu if request.param == "superlu" else Pardiso())


def left(K: csr_matrix, x: np.ndarray) -> float:
    return float(np.linalg.norm(K @ x - B) / np.linalg.norm(B))


def test_an_old_factor_serves_a_matrix_nearby(solver: Solver) -> None:
    for shift in (1.0, 1.1, 0.95):
        K = laplacian(200, shift)
        assert left(K, solver(K, B, 1e-10)) < 1e-10
    assert solver.factors == 1


def test_a_matrix_far_away_is_factored(solver: Solver) -> None:
    solver(laplacian(200, 100.0), B, 1e-10)
    K = laplacian(200)
    assert left(K, solver(K, B, 1e-10)) < 1e-9
    assert solver.factors == 2


def test_what_is_enough_is_used_and_the_next_is_factored(solver: Solver) -> None:
    solver(laplacian(200, 10.0), B, 1e-10)
    K = laplacian(200, 0.5)
    x = solver(K, B, 1e-12, enough=0.5)
    assert 1e-12 < left(K, x) < 0.5 and x @ B > 0 and solver.factors == 1
    assert left(K, solver(K, B, 1e-12)) < 1e-12
    assert solver.factors == 2


def test_pardiso_refuses_what_is_not_positive_definite() -> None:
    pytest.importorskip("pypardiso", reason="extra 'direct' is not installed")
    for rounded in (False, True):
        with pytest.raises(RuntimeError, match="PARDISO"):
            Pardiso()(laplacian(200, -1.0), rounded)


def test_pardiso_analyses_a_pattern_once_and_takes_another() -> None:
    pytest.importorskip("pypardiso", reason="extra 'direct' is not installed")
    factorise = Pardiso()
    for K in (laplacian(200, 1.0), laplacian(200, 2.0), laplacian(100, 1.0)):
        b = B[: K.shape[0]]
        for rounded, digits in ((False, 1e-13), (True, 1e-5)):
            x = factorise(K, rounded)(b)
            assert np.linalg.norm(K @ x - b) < digits * np.linalg.norm(b)


def test_an_ill_conditioned_matrix_gets_an_exact_factor(solver: Solver) -> None:
    """Condition 2e8: beyond single precision."""
    K = (laplacian(200, 1e-6) @ laplacian(200, 1e-6)).tocsr()
    assert left(K, solver(K, B, 1e-10)) < 1e-7


def test_nested_dissection_is_a_permutation_that_fills_less() -> None:
    elements = Elements(block((0.02, 0.02, 0.01), (6, 6, 4)), 1)
    nodes = np.arange(elements.n)
    order = nested_dissection(elements.nodes, elements.cells, nodes)
    assert (np.sort(order) == nodes).all()
    touch = csr_matrix(abs(elements.divergence) @ abs(elements.gradient) > 0).astype(float)
    K = (touch + 30 * identity(elements.n)).tocsr()
    fill = [
        splu(K[o][:, o].tocsc(), permc_spec="NATURAL", options={"SymmetricMode": True}).L.nnz
        for o in (nodes, order)
    ]
    assert fill[1] < 0.8 * fill[0]


def test_a_raised_diagonal_keeps_entries_that_become_zero() -> None:
    """PARDISO reads beyond its arrays where one is missing."""
    K = laplacian(5, -3.0)  # -1 on the diagonal
    raised = _raised(K, 1.0)
    assert raised.nnz == K.nnz and (raised.diagonal() == 0).all()
    assert (K.diagonal() == -1).all()

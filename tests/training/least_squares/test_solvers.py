"""Every solver gives the damped least-squares step that a dense reference gives."""

import numpy as np
import pytest
import torch

from sciml.training.least_squares.rows import DenseRows
from sciml.training.least_squares.solvers import SOLVERS, ConjugateGradient, choose


def rows_of(n: int, parameters: int, seed: int = 0) -> DenseRows:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    first = n // 3
    found = {
        "residual": (draw(first), draw(first, parameters)),
        "walls": (draw(n - first), draw(n - first, parameters)),
    }
    return DenseRows(found, {"residual": torch.tensor(0.3), "walls": torch.tensor(2.0)})


def damped(rows: DenseRows, mu: float, v: np.ndarray) -> np.ndarray:
    """The step by NumPy's SVD of the augmented system."""
    matrix = rows.matrix().numpy()
    augmented = np.concatenate([matrix, np.sqrt(mu) * np.eye(matrix.shape[1])])
    right = np.concatenate([v, np.zeros(matrix.shape[1])])
    return np.linalg.lstsq(augmented, right, rcond=None)[0]


@pytest.mark.parametrize("mu", [1e-6, 1.0])
@pytest.mark.parametrize("shape", [(60, 20), (20, 60)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", list(SOLVERS))
def test_every_solver_agrees_with_a_dense_reference(name, shape, mu):
    rows = rows_of(*shape)
    solver = SOLVERS[name](rows)
    for v in (-rows.r, torch.linspace(-1, 1, shape[0], dtype=torch.float64)):
        found = solver.solve(mu, v).numpy()
        np.testing.assert_allclose(found, damped(rows, mu, v.numpy()), rtol=1e-4, atol=1e-6)


def test_products_agree_with_the_matrix():
    rows, p = rows_of(12, 5), torch.arange(5, dtype=torch.float64)
    matrix = rows.matrix()
    torch.testing.assert_close(rows.apply(p), matrix @ p)
    torch.testing.assert_close(rows.adjoint(rows.r), matrix.T @ rows.r)
    torch.testing.assert_close(rows.gram(), matrix.T @ matrix)


def test_cholesky_refuses_what_is_singular_and_qr_does_not():
    found = {"residual": (torch.ones(4).double(), torch.ones(4, 2).double() * 1e3)}
    rows = DenseRows(found, {"residual": torch.tensor(1.0)})
    assert SOLVERS["cholesky"](rows).solve(1e-17, -rows.r) is None
    step = SOLVERS["qr"](rows).solve(1e-6, -rows.r)
    np.testing.assert_allclose(step, damped(rows, 1e-6, -rows.r.numpy()), rtol=1e-8)


def test_preconditioned_gradients_need_few_iterations():
    scale = torch.logspace(0, -6, 200, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(300, 200, generator=generator, dtype=torch.float64) * scale
    rows = DenseRows({"a": (torch.ones(300).double(), matrix)}, {"a": torch.tensor(1.0)})
    mu = 1e-2
    right = damped(rows, mu, -rows.r.numpy())
    errors = {}
    for rank in (1, 80):
        step = ConjugateGradient(rows, rank=rank, iterations=30, tolerance=1e-12).solve(mu, -rows.r)
        errors[rank] = np.linalg.norm(step.numpy() - right) / np.linalg.norm(right)
    assert errors[80] < 1e-2 * errors[1]


@pytest.mark.parametrize(
    ("rows", "parameters", "name"),
    [(3000, 900, "cholesky"), (500, 9000, "woodbury"), (9000, 9000, "cg")],
)
def test_the_cheapest_solver_is_chosen_by_size(rows, parameters, name):
    assert choose(rows, parameters) == name

"""Damped linear least squares: the step p that minimises |J p − v|² + μ |p|².

Each solver is prepared once for J and then asked for several μ and v: a rejected step costs a
factorisation at most, the acceleration nothing but a substitution.
"""

from collections.abc import Callable
from typing import Protocol, final

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from sciml.training.least_squares.rows import DenseRows, Rows, gram

#: Parameters beyond which a factorisation of JᵀJ costs more than conjugate gradients.
LARGE = 5000


class Solver(Protocol):
    """`solve(μ, v)` is p `[P]`, or None where μ is too small for a stable answer."""

    def solve(self, mu: float, v: Tensor) -> Tensor | None: ...


@final
class Cholesky:
    """(JᵀJ + μ I) p = Jᵀ v by Cholesky: n P² + P³/3 operations, the fastest for P < n.

    Squares the condition number: small μ are refused by the factorisation itself.
    """

    def __init__(self, rows: DenseRows) -> None:
        self.rows, self.gram = rows, rows.gram()
        self._factor: tuple[float, Tensor] | None = None

    def solve(self, mu: float, v: Tensor) -> Tensor | None:
        if self._factor is None or self._factor[0] != mu:
            self._factor = None
            damped = self.gram.clone()
            damped.diagonal().add_(mu)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if failed:
                return None
            self._factor = mu, factor
        return torch.cholesky_solve(self.rows.adjoint(v)[:, None], self._factor[1])[:, 0]


@final
class Woodbury:
    """p = Jᵀ (JJᵀ + μ I)⁻¹ v, which is the same step with an n × n matrix: for n < P."""

    def __init__(self, rows: DenseRows) -> None:
        self.rows = rows
        matrix = rows.matrix()
        self.kernel = gram(matrix.T)
        self._factor: tuple[float, Tensor] | None = None

    def solve(self, mu: float, v: Tensor) -> Tensor | None:
        if self._factor is None or self._factor[0] != mu:
            self._factor = None
            damped = self.kernel.clone()
            damped.diagonal().add_(mu)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if failed:
                return None
            self._factor = mu, factor
        dual = torch.cholesky_solve(v[:, None], self._factor[1])[:, 0]
        return self.rows.adjoint(dual)


@final
class QR:
    """J = Q R once, then R and √μ I by a second, small QR: the condition number is not squared.

    About 5 times the cost of Cholesky; the polish of an optimum that Cholesky's rounding hides.
    """

    def __init__(self, rows: DenseRows) -> None:
        matrix = rows.matrix().cpu().numpy()
        self.q, self.r = np.linalg.qr(matrix)
        self.like = rows.r
        self._factor: tuple[float, np.ndarray, np.ndarray] | None = None

    def solve(self, mu: float, v: Tensor) -> Tensor | None:
        size = self.r.shape[1]
        if self._factor is None or self._factor[0] != mu:
            damped = np.concatenate([self.r, np.sqrt(mu) * np.eye(size)])
            self._factor = (mu, *np.linalg.qr(damped))
        _, q, r = self._factor
        diagonal = np.abs(r.diagonal())
        if not diagonal.min() > np.finfo(r.dtype).eps * 1e-2 * diagonal.max():
            return None
        right = q[: len(self.r)].T @ (self.q.T @ v.cpu().numpy())
        return torch.from_numpy(scipy.linalg.solve_triangular(r, right)).to(self.like)


@final
class ConjugateGradient:
    """Conjugate gradients on (JᵀJ + μ I) p = Jᵀ v with a Nyström preconditioner.

    Needs products with J alone, so it serves where J does not fit or its terms couple points, and
    beyond some 5,000 parameters.

    Args:
        rank: of the preconditioner: that many products with JᵀJ once per step.
        iterations: at most.
        tolerance: of the residual of the linear system, relative.

    Source: Frangella, Tropp, Udell, "Randomized Nyström preconditioning", SIAM J. Matrix Anal.
    Appl. 44 (2023) 718.
    """

    def __init__(
        self, rows: Rows, rank: int = 50, iterations: int = 100, tolerance: float = 1e-6
    ) -> None:
        self.rows, self.iterations, self.tolerance = rows, iterations, tolerance
        rank = min(rank, rows.parameters)
        generator = torch.Generator().manual_seed(rank)
        sketch = torch.randn(rows.parameters, rank, generator=generator, dtype=torch.float64)
        sketch = torch.linalg.qr(sketch.to(rows.r))[0]
        image = torch.stack([rows.adjoint(rows.apply(column)) for column in sketch.T], dim=1)
        shift = torch.finfo(image.dtype).eps * image.norm()
        image = image + shift * sketch
        core = sketch.T @ image
        factor, failed = torch.linalg.cholesky_ex((core + core.T) / 2)
        if failed:
            self.vectors, self.values = sketch[:, :0], image.new_zeros(0)
            return
        root = torch.linalg.solve_triangular(factor, image.T, upper=False).T
        self.vectors, singular, _ = torch.linalg.svd(root, full_matrices=False)
        self.values = (singular**2 - shift).clamp_min(0)

    def solve(self, mu: float, v: Tensor) -> Tensor | None:
        right = self.rows.adjoint(v)
        p = conjugate_gradient(
            lambda x: self.rows.adjoint(self.rows.apply(x)) + mu * x,
            right, lambda x: self._precondition(mu, x), self.iterations, self.tolerance,
        )  # fmt: skip
        return p if torch.isfinite(p).all() else None

    def _precondition(self, mu: float, x: Tensor) -> Tensor:
        if not len(self.values):
            return x
        inside = self.vectors.T @ x
        least = self.values[-1] + mu
        return x + self.vectors @ ((least / (self.values + mu) - 1) * inside)


def conjugate_gradient(
    apply: Callable[[Tensor], Tensor],
    right: Tensor,
    precondition: Callable[[Tensor], Tensor],
    iterations: int,
    tolerance: float,
) -> Tensor:
    """x with A x = right for a symmetric positive A given by its products."""
    x = torch.zeros_like(right)
    r = right.clone()
    z = precondition(r)
    direction, inner = z, r @ z
    goal = tolerance * right.norm()
    for _ in range(iterations):
        if r.norm() <= goal:
            break
        image = apply(direction)
        alpha = inner / (direction @ image)
        x = x + alpha * direction
        r = r - alpha * image
        z = precondition(r)
        last, inner = inner, r @ z
        direction = z + (inner / last) * direction
    return x


SOLVERS: dict[str, Callable[..., Solver]] = {
    "cholesky": Cholesky,
    "woodbury": Woodbury,
    "qr": QR,
    "cg": ConjugateGradient,
}


def choose(rows: int, parameters: int) -> str:
    """The cheapest solver for a Jacobian of this size."""
    if min(rows, parameters) > LARGE:
        return "cg"
    return "cholesky" if parameters <= rows else "woodbury"

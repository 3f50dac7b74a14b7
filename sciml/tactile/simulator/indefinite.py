"""Sparse symmetric systems of a saddle, [[K, B], [Bᵀ, -C]]: old factors in generalised residuals.

A saddle with K positive definite and C > 0 is quasi-definite: it has a factorisation L D Lᵀ with
pivots on the diagonal in any order. A small multiple of the diagonal of B diag(K)⁻¹ Bᵀ stands in
for a C that vanishes; GMRES with that factor as preconditioner solves the system as it is. Like
`solver.Solver`, one factor serves as long as few steps suffice.

Source: R. J. Vanderbei, SIAM J. Optim. 5 (1995) 100-113 (quasi-definite matrices); Y. Saad,
Iterative Methods for Sparse Linear Systems, 2nd ed. (2003), § 9.3.2 (GMRES, preconditioned from
the right).
"""

from typing import final

import numpy as np
from scipy.sparse import csr_matrix, diags

from sciml.tactile.simulator.solver import Solve, superlu

#: Share of the diagonal of B diag(K)⁻¹ Bᵀ that is added to C in a factor.
REGULARISED = 1e-6
#: Share of the right side down to which a new factor is used.
FRESH = 1e-8
#: Share of the right side that a new factor may leave before the matrix is called singular.
SINGULAR = 1e-2


def factor(S: csr_matrix) -> Solve:
    """Factors a saddle whose unknowns are in a fill-reducing order already.

    Raises:
        RuntimeError: S is singular.
    """
    diagonal = S.diagonal()
    stiff = diagonal > 0
    soft = np.zeros_like(diagonal)
    soft[stiff] = 1 / diagonal[stiff]
    squares = S.copy()
    squares.data = squares.data**2
    schur = np.where(stiff, 0.0, squares @ soft)
    some = schur > 0
    if some.any():  # a pressure between held nodes alone has none of its own
        schur = np.where(stiff | some, schur, schur[some].mean())
    return superlu((S - diags(REGULARISED * schur)).tocsr())


@final
class SaddleSolver:
    """Solves a sequence of related saddles, keeping the last factor.

    Args:
        steps: of GMRES before a new factor is made.

    Attributes:
        factors: number of factorisations so far.
    """

    def __init__(self, steps: int = 8) -> None:
        self.steps = steps
        self.factor: Solve | None = None
        self.factors = 0

    def __call__(
        self, S: csr_matrix, b: np.ndarray, tolerance: float, enough: float = 0.0
    ) -> np.ndarray:
        """x with ‖S x - b‖ ≤ tolerance ‖b‖, or as near as a new factor comes.

        Arguments and errors: see `solver.Solver`.
        """
        size = np.linalg.norm(b)
        if self.factor is not None:
            x, left = gmres(S, b, self.factor, self.steps, tolerance * size)
            if left <= tolerance * size:
                return x
            self.factor = None
            if left <= enough * size:
                return x
        self.factor = factor(S)
        self.factors += 1
        x, left = gmres(S, b, self.factor, self.steps, min(tolerance, FRESH) * size)
        if not left <= SINGULAR * size:
            raise RuntimeError("the saddle is singular")
        return x


def gmres(
    S: csr_matrix, b: np.ndarray, precondition: Solve, steps: int, goal: float
) -> tuple[np.ndarray, float]:
    """x of the smallest ‖S x - b‖ in the Krylov space of at most `steps`, and that residual."""
    size = float(np.linalg.norm(b))
    if size == 0.0:
        return np.zeros_like(b), 0.0
    basis, images, H = [b / size], [], np.zeros((steps + 1, steps))
    first, y, left = np.zeros(steps + 1), np.zeros(0), size
    first[0] = size
    for j in range(steps):
        images.append(precondition(basis[j]))
        w = S @ images[j]
        for _ in range(2):  # twice is enough to keep the basis orthogonal
            for i, v in enumerate(basis):
                share = float(v @ w)
                H[i, j] += share
                w = w - share * v
        H[j + 1, j] = np.linalg.norm(w)
        if not np.isfinite(H[: j + 2, j]).all():
            return np.zeros_like(b), size
        small = H[: j + 2, : j + 1]
        y = np.linalg.lstsq(small, first[: j + 2], rcond=None)[0]
        left = float(np.linalg.norm(small @ y - first[: j + 2]))
        if left <= goal or H[j + 1, j] <= 1e-14 * size:
            break
        basis.append(w / H[j + 1, j])
    x = sum((share * z for share, z in zip(y, images, strict=True)), np.zeros_like(b))
    return x, float(np.linalg.norm(S @ x - b))

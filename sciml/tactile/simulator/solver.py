"""Sparse symmetric systems K x = b for matrices that change little: old factors as preconditioners.

Factors are dear and steps of conjugate gradients on an old factor cheap, so one factor serves as
long as few steps suffice. SuperLU comes with scipy; PARDISO (extra `direct`) factors three times
quicker and is used where it is installed.

Source: J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed. (2006), algorithm 5.3.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu

#: Solves K x = b for `b [k]`.
Solve = Callable[[np.ndarray], np.ndarray]
#: Share of the right side that a new factor may leave: a rounded one must show what it is worth.
FRESH = 1e-6
#: Conjugate gradients end early where even this many times the steps left would not do.
HOPE = 1.5


@runtime_checkable
class Factorise(Protocol):
    """Factors a matrix whose unknowns are in a fill-reducing order already."""

    def __call__(self, K: csr_matrix, rounded: bool = False) -> Solve:
        """`rounded`: the factor only has to precondition.

        Raises:
            RuntimeError: K is singular, or of a kind that is refused.
        """


def superlu(K: csr_matrix, rounded: bool = False) -> Solve:
    """Factors by scipy's SuperLU, symmetric in structure; a zero pivot is left to the caller.

    Raises:
        RuntimeError: K is singular.
    """
    factor = splu(
        K.T.astype(np.float64),  # the same matrix, by compressed columns
        permc_spec="NATURAL",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return factor.solve


def available() -> Factorise:
    """PARDISO where it is installed, else SuperLU; for one sequence of systems."""
    if find_spec("pypardiso") is None:
        return superlu
    from sciml.tactile.simulator.pardiso import Pardiso

    return Pardiso()


@final
class Solver:
    """Solves a sequence of related systems, keeping the last factor.

    Args:
        factorise: makes a new factor.
        steps: of conjugate gradients before a new factor is made.

    Attributes:
        factors: number of factorisations so far.
    """

    def __init__(self, factorise: Factorise, steps: int = 8) -> None:
        self.factorise, self.steps = factorise, steps
        self.factor: Solve | None = None
        self.factors = 0

    def __call__(
        self, K: csr_matrix, b: np.ndarray, tolerance: float, enough: float = 0.0
    ) -> np.ndarray:
        """x with ‖K x - b‖ ≤ tolerance ‖b‖, or what a new factor gives, refined once.

        Args:
            K: symmetric, free of structural zeros on its diagonal.
            b: right side.
            tolerance: share of ‖b‖.
            enough: a share of ‖b‖ that will do where the old factor does not reach the tolerance;
                the next system then has a new one. Conjugate gradients cut short still lead
                downhill.

        Raises:
            RuntimeError: K is singular.
        """
        x, left = np.zeros_like(b), b
        if self.factor is not None:
            x, left = self._conjugate_gradients(K, b, tolerance * np.linalg.norm(b))
            size, all_of_it = np.linalg.norm(left), np.linalg.norm(b)
            if size <= tolerance * all_of_it:
                return x
            self.factor = None
            if size <= enough * all_of_it:
                return x
        goal = min(tolerance, FRESH) * np.linalg.norm(b)
        for rounded in (True, False):
            self.factor = self.factorise(K, rounded)
            self.factors += 1
            dx, left = self._conjugate_gradients(K, left, goal)
            x = x + dx
            if np.linalg.norm(left) <= goal:
                return x
        x = x + self.factor(left)
        return x + self.factor(b - K @ x)

    def _conjugate_gradients(
        self, K: csr_matrix, b: np.ndarray, goal: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """x and b - K x; nothing is gained where K or the factor is not positive definite."""
        precondition: Any = self.factor
        x, r = np.zeros_like(b), b.copy()
        p, last, began = np.zeros_like(b), 1.0, np.linalg.norm(b)
        for step in range(1, self.steps + 1):
            z = precondition(r)
            rz = r @ z
            p = z + (rz / last) * p
            last = rz
            q = K @ p.astype(K.dtype, copy=False)
            curvature = p @ q
            if not (rz > 0 and curvature > 0):
                return np.zeros_like(b), b
            x += (rz / curvature) * p
            r -= (rz / curvature) * q
            size = np.linalg.norm(r)
            if size <= goal or (
                step > 2 and began * (size / began) ** (HOPE * self.steps / step) > goal
            ):
                break
        return x, r

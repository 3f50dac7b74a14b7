"""Sparse symmetric systems K x = b for matrices that change little: old factors as preconditioners.

Factors are dear and steps of conjugate gradients on an old factor cheap, so one factor serves as
long as few steps suffice. SuperLU comes with scipy; PARDISO (extra `direct`) factors three times
quicker and is used where it is installed.

Source: J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed. (2006), algorithm 5.3.
"""

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final
from weakref import finalize

import numpy as np
from scipy.sparse import csr_matrix, triu
from scipy.sparse.linalg import splu

#: Solves K x = b for `b [k]`.
Solve = Callable[[np.ndarray], np.ndarray]
#: Factors a matrix whose unknowns are in a fill-reducing order already.
Factorise = Callable[[csr_matrix], Solve]


def superlu(K: csr_matrix) -> Solve:
    """Factors by scipy's SuperLU, symmetric in structure; a zero pivot is left to the caller.

    Raises:
        RuntimeError: K is singular.
    """
    factor = splu(
        K.T,  # the same matrix, by compressed columns
        permc_spec="NATURAL",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return factor.solve


def pardiso(K: csr_matrix) -> Solve:
    """Factors by MKL's PARDISO, symmetric positive definite; other matrices are refused.

    Raises:
        RuntimeError: K is not positive definite.
    """
    from pypardiso import PyPardisoSolver
    from pypardiso.pardiso_wrapper import PyPardisoError

    _locate_mkl()
    solver, upper = PyPardisoSolver(mtype=2), triu(K, format="csr")
    solver.set_iparm(1, 1)  # all settings as given, that is zero: no refinement of solutions …
    solver.set_iparm(2, 2)  # … but METIS' order
    try:
        solver.factorize(upper)
    except PyPardisoError as error:
        solver.free_memory(everything=True)
        raise RuntimeError(str(error)) from None

    def solve(b: np.ndarray) -> np.ndarray:
        solver.set_phase(33)  # its own `solve` first compares the whole matrix, as long as solving
        return solver._call_pardiso(upper, b)

    finalize(solve, solver.free_memory, everything=True)
    return solve


@cache
def _locate_mkl() -> None:
    """pypardiso would search the whole environment for its library at every factor."""
    places = sorted(Path(sys.prefix, "lib").glob("*mkl_rt*"))
    if places:
        os.environ.setdefault("PYPARDISO_MKL_RT", str(places[0]))


def available() -> Factorise:
    """PARDISO where it is installed, else SuperLU."""
    return pardiso if find_spec("pypardiso") else superlu


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
            x, left = self._conjugate_gradients(K, b, tolerance)
            size, all_of_it = np.linalg.norm(left), np.linalg.norm(b)
            if size <= tolerance * all_of_it:
                return x
            self.factor = None
            if size <= enough * all_of_it:
                return x
        self.factor = self.factorise(K)
        self.factors += 1
        x = x + self.factor(left)
        return x + self.factor(b - K @ x) if tolerance < 1e-8 else x

    def _conjugate_gradients(
        self, K: csr_matrix, b: np.ndarray, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """x and b - K x; nothing is gained where K or the factor is not positive definite."""
        precondition: Any = self.factor
        goal = tolerance * np.linalg.norm(b)
        x, r = np.zeros_like(b), b.copy()
        p, last = np.zeros_like(b), 1.0
        for _ in range(self.steps):
            z = precondition(r)
            rz = r @ z
            p = z + (rz / last) * p
            last = rz
            q = K @ p
            curvature = p @ q
            if not (rz > 0 and curvature > 0):
                return np.zeros_like(b), b
            x += (rz / curvature) * p
            r -= (rz / curvature) * q
            if np.linalg.norm(r) <= goal:
                break
        return x, r

"""Newton's method for the balance of one step, with a line search that round-off cannot stall.

The iteration ends when the residual is a small share of the forces, or their round-off: the last
digit of positions times the stiffness. A step d is taken whole if the energy falls enough (Armijo),
or the residual halves, or the promised fall of the energy is below its round-off and the residual
falls at all. Else d is halved. Of bodies that must not pass each other no
more is taken of d than leaves them apart. Where the tangent leads uphill (an unstable state), its
diagonal is raised until it does not.

Source: J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed. (2006), §§ 3.1, 3.4 and 7.1
(systems solved to the share of the forces that is out of balance, which keeps the convergence
quadratic).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.sparse import csr_matrix

from sciml.tactile.simulator.balance import Balance, Evaluation
from sciml.tactile.simulator.indefinite import SaddleSolver
from sciml.tactile.simulator.mixed import MixedBalance
from sciml.tactile.simulator.solver import Solver

#: Share of the energy's scale below which a change of energy is round-off.
ROUND_OFF = 1e-11
#: Last digits of forces that no iteration can be asked for.
DIGITS = 4 * np.finfo(float).eps
#: Share of the residual that a linear solve on an old factor may leave.
ENOUGH = 1e-3
#: Share of the residual that no linear solve need go below.
ACCURATE = 1e-6
#: Share of the forces out of balance from which a start is good enough.
NEAR = 0.03
#: Share of the forces out of balance from which a state counts as far from it.
FAR = 0.1
#: Raises of the diagonal, as shares of it, tried in turn.
RAISES = (0.0, 1e-2, 1e-1, 1.0, 10.0)
#: A balance in displacements, or in displacements and pressures, with the solver it needs.
AnyBalance, AnySolver = Balance | MixedBalance, Solver | SaddleSolver


class Unconverged(Exception):
    """No balance was found; the text says why."""


@final
@dataclass(frozen=True)
class Newton:
    """Settings of the iteration.

    Args:
        tolerance: of ‖r‖, as a share of the largest external, inertial or holding force.
        iterations: at most.
        halvings: of one step, at most.
    """

    tolerance: float = 1e-8
    iterations: int = 25
    halvings: int = 8

    def __call__(
        self, balance: AnyBalance, starts: Iterable[np.ndarray], solver: AnySolver, floor: float
    ) -> tuple[Evaluation, int]:
        """The balanced state and the number of iterations.

        Args:
            balance: what to solve.
            starts: unknowns with the held nodes in place; the first that can be
                evaluated and is nearly balanced is used, else the best.
            solver: of the linear systems.
            floor: N, a size of forces below which the tolerance does not go further down.

        Raises:
            Unconverged: and why.
        """
        at = self._first(balance, starts)
        free = balance.free
        for iteration in range(self.iterations + 1):
            size = float(np.linalg.norm(at.residual.reshape(-1)[free]))
            goal = self.tolerance * max(at.force_scale, floor)
            if size <= goal:
                return at, iteration
            if iteration == self.iterations:
                break
            far = size > FAR * at.force_scale
            K = balance.among_free(balance.tangent(at.u, at.deformation, far, rounded=True))
            goal = max(goal, _round_off(balance, at, K))
            if size <= goal:
                return at, iteration
            share = 0.0 if far else size / at.force_scale  # stiff contact far off hides the rest
            accuracy = min(1e-2, max(0.1 * goal / size, 0.1 * share, ACCURATE))
            direction, slope = self._direction(balance, at, K, solver, accuracy)
            at = self._searched(balance, at, direction, slope)
        raise Unconverged(
            f"after {iteration} Newton iterations the forces are out of balance by {size:.3g} N "
            f"of {at.force_scale:.3g} N"
        )

    def _first(self, balance: AnyBalance, starts: Iterable[np.ndarray]) -> Evaluation:
        """The first start that is nearly balanced, else the best of them."""
        best, free = None, balance.free
        least = np.inf
        for start in starts:
            at = balance.at(start)
            if not (np.isfinite(at.energy) and np.isfinite(at.residual).all()):
                continue
            size = float(np.linalg.norm(at.residual.reshape(-1)[free]))
            if size < least:
                best, least = at, size
            if size <= NEAR * at.force_scale:
                break
        if best is None:
            raise Unconverged("the step turns elements inside out")
        return best

    def _direction(
        self, balance: AnyBalance, at: Evaluation, K: csr_matrix, solver: AnySolver, accuracy: float
    ) -> tuple[np.ndarray, float]:
        """A direction like u that leads downhill, and the slope along it."""
        free = balance.free
        r = at.residual.reshape(-1)[free]
        for share in RAISES:
            try:
                d = solver(_raised(K, share), -r, accuracy, ENOUGH)
            except RuntimeError:  # not positive definite
                continue
            slope = balance.slope(r, K, d)
            if slope < 0:
                found = np.zeros_like(at.u)
                found.reshape(-1)[free] = d
                return found, slope
            solver.factor = None
        raise Unconverged("the tangent has no direction in which the energy falls")

    def _searched(
        self, balance: AnyBalance, at: Evaluation, direction: np.ndarray, slope: float
    ) -> Evaluation:
        free = balance.free
        size = np.linalg.norm(at.residual.reshape(-1)[free])
        share = balance.free_share(at.u, at.u + direction)
        for _ in range(self.halvings + 1):
            new = balance.at(at.u + share * direction)
            if np.isfinite(new.energy):
                left = np.linalg.norm(new.residual.reshape(-1)[free])
                fallen = new.energy <= at.energy + 1e-4 * share * slope
                lost = -share * slope < ROUND_OFF * at.energy_scale
                if fallen or left <= size / 2 or (lost and left < size):
                    return new
            share /= 2
        raise Unconverged(
            f"no part of the Newton step lowers the energy, {size:.3g} N out of balance"
        )


def _round_off(balance: AnyBalance, at: Evaluation, K: csr_matrix) -> float:
    """N: the stiffness of the nodes times the last digit of their positions."""
    size = float(np.cbrt(balance.body.elements.volumes.mean())) + float(np.abs(at.u).max())
    return DIGITS * size * float(np.linalg.norm(K.diagonal()))


def _raised(K: csr_matrix, share: float) -> csr_matrix:
    """K with a raised diagonal, none of whose entries is dropped, as PARDISO requires."""
    if not share:
        return K
    found, diagonal = K.copy(), K.diagonal()
    found.setdiag(diagonal + share * np.abs(diagonal))
    return found

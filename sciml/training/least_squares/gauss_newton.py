"""Gauss–Newton for problems that are linear, or nearly, in what is trained.

    θ* = argmin |J θ* − (J θ − r)|² + (ε c)² |θ*|²        c: largest norm of a column of J
    θ ← θ + s (θ* − θ)  with the first s of 1, 1/2, 1/4 … that decreases the loss

On the last layer of a network with frozen features a linear equation is solved in one step. The
unknown is the new θ*, not the increment: features are nearly dependent, so that θ has large parts
which J hardly sees. An increment would keep those of every earlier step for good.
"""

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError, Weights
from sciml.training.least_squares import memory
from sciml.training.least_squares.levenberg_marquardt import device_of, write
from sciml.training.least_squares.rows import DenseRows, moved, scales
from sciml.training.step import Step

#: Relative decrease of the loss below which a step is rounding.
ROUNDING = 1e-10


@final
class GaussNewton(torch.optim.Optimizer):
    """Steps by Householder QR, which bears columns that depend on one another to rounding.

    Args:
        parameters: float64.
        shrinkage: ε, relative to the largest column of J. 0 for plain least squares, and of several
            answers the shortest: by singular values on the processor, which take longer than QR.
        halvings: of a step that does not decrease the loss, at most.
        lr: factor on the step, for schedules.

    Cost: one Jacobian and 2 n P² operations a step.
    """

    asks_for_residuals = True
    needs_double = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        shrinkage: float = 1e-15,
        halvings: int = 10,
        lr: float = 1.0,
    ) -> None:
        if not (0 <= shrinkage < 1 and halvings >= 0 and lr > 0):
            raise UserError(
                "optimizer: expected 0 <= shrinkage < 1, halvings >= 0 and lr > 0, "
                f"got {shrinkage}, {halvings} and {lr}"
            )
        super().__init__(list(parameters), {"lr": lr})
        self.shrinkage, self.halvings = shrinkage, halvings
        self._checked = False

    def look(self, step: Step) -> None:
        """Takes residuals and Jacobian, after a look at the memory.

        Raises:
            UserError: the objective has no residuals; J does not fit.
        """
        if not self._checked:
            with torch.no_grad():
                count = sum(len(r) for r in step.fresh().residuals().values())
            parameters = sum(value.numel() for value in step.parameters.values())
            kind = "shrunk" if self.shrinkage > 0 else "lstsq"
            memory.require(count, parameters, kind, device_of(step))
            self._checked = True
        step.linearised()

    @torch.no_grad()
    def step(self, closure: Any = None, *, step: Step, weights: Weights) -> Tensor:
        """One step of training, after `look`; returns the loss before it."""
        found = step.linearised()
        factors = scales(weights, {name: len(r) for name, (r, _) in found.items()})
        rows = DenseRows(found, factors)
        theta = torch.cat([value.detach().reshape(-1) for value in step.parameters.values()])
        loss = rows.r @ rows.r
        p = self.param_groups[0]["lr"] * (self._solve(rows, theta) - theta)
        image = rows.apply(p)
        for _ in range(self.halvings + 1):
            if -(2 * rows.r @ image + image @ image) < ROUNDING * loss:
                break  # the linear model itself promises nothing more
            new = moved(step, factors, theta + p)
            if new @ new < loss:
                write(theta + p, step.parameters)
                break
            p, image = p / 2, image / 2
        return loss

    def _solve(self, rows: DenseRows, theta: Tensor) -> Tensor:
        """θ*."""
        matrix, right = rows.matrix(), rows.apply(theta) - rows.r
        if self.shrinkage == 0:
            there = torch.linalg.lstsq(matrix.cpu(), right[:, None].cpu(), driver="gelsd")
            return there.solution[:, 0].to(right)
        size = matrix.shape[1]
        small = self.shrinkage * matrix.norm(dim=0).max()
        below = torch.zeros(size, size, dtype=matrix.dtype, device=matrix.device)
        below.diagonal().fill_(small)
        matrix = torch.cat([matrix, below])
        right = torch.cat([right, right.new_zeros(size)])
        return torch.linalg.lstsq(matrix, right[:, None], driver="gels").solution[:, 0]

"""Gauss–Newton for problems that are linear, or nearly, in what is trained.

    p = argmin |r + J p|²,   θ ← θ + s p with the first s of 1, 1/2, 1/4 … that decreases the loss

On the last layer of a network with frozen features a linear equation is solved in one step.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from sciml.contracts import UserError, Weights
from sciml.training.least_squares import memory
from sciml.training.least_squares.levenberg_marquardt import require_double, write
from sciml.training.least_squares.rows import DenseRows, moved, scales
from sciml.training.step import Step


class GaussNewton(torch.optim.Optimizer):
    """Undamped steps by a rank-revealing QR, the shortest of the best where J is deficient.

    Args:
        parameters: float64.
        rcond: singular directions below rcond times the largest are left out; the columns of J
            are scaled to norm 1 first.
        halvings: of a step that does not decrease the loss, at most.
        lr: factor on the step, for schedules.

    Cost: one Jacobian and about 2 n P² operations a step.
    """

    asks_for_residuals = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rcond: float = 1e-15,
        halvings: int = 10,
        lr: float = 1.0,
    ) -> None:
        if not (0 <= rcond < 1 and halvings >= 0 and lr > 0):
            raise UserError(
                "optimizer: expected 0 <= rcond < 1, halvings >= 0 and lr > 0, "
                f"got {rcond}, {halvings} and {lr}"
            )
        super().__init__(list(parameters), {"lr": lr})
        self.rcond, self.halvings = rcond, halvings
        self._checked = False

    def look(self, step: Step) -> None:
        """Takes residuals and Jacobian, after a look at the memory.

        Raises:
            UserError: the objective has no residuals; J does not fit; parameters in float32.
        """
        require_double(step)
        if not self._checked:
            with torch.no_grad():
                count = sum(len(r) for r in step.fresh().residuals().values())
            parameters = sum(value.numel() for value in step.parameters.values())
            memory.require(count, parameters, "lstsq")
            self._checked = True
        step.linearised()

    @torch.no_grad()
    def step(self, closure: Any = None, *, step: Step, weights: Weights) -> Tensor:
        """One step of training; returns the loss before it."""
        found = step.linearised()
        factors = scales(weights, {name: len(r) for name, (r, _) in found.items()})
        rows = DenseRows(found, factors)
        theta = torch.cat([value.detach().reshape(-1) for value in step.parameters.values()])
        loss = rows.r @ rows.r
        p = self.param_groups[0]["lr"] * self._solve(rows)
        for _ in range(self.halvings + 1):
            new = moved(step, factors, theta + p)
            if new @ new < loss:
                write(theta + p, step.parameters)
                break
            p = p / 2
        return loss

    def _solve(self, rows: DenseRows) -> Tensor:
        matrix = rows.matrix().cpu().numpy()
        norms = np.linalg.norm(matrix, axis=0)
        norms[norms == 0] = 1
        answer = scipy.linalg.lstsq(
            matrix / norms, -rows.r.cpu().numpy(), cond=self.rcond, lapack_driver="gelsy",
            overwrite_a=True, overwrite_b=True, check_finite=False,
        )[0]  # fmt: skip
        return torch.from_numpy(answer / norms).to(rows.r)

"""Levenberg–Marquardt with geodesic acceleration, as a torch optimiser on residual rows.

    p = argmin |r + J p|² + μ |p|²
    a = argmin |k + J a|² + μ |a|²,   k = (2/h) [ (r(θ + h p) − r)/h − J p ],   a second derivative
    θ ← θ + p + a/2                   where 2|a| <= ratio |p|, else θ + p

A step is taken where it decreases the loss; otherwise μ grows and the same J is used again.

Source: Transtrum and Sethna, "Improvements to the Levenberg–Marquardt algorithm for nonlinear
least-squares minimization" (2012), arXiv:1201.5885.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError, Weights
from sciml.training.least_squares import memory
from sciml.training.least_squares.damping import GainRatio, GradientPower
from sciml.training.least_squares.rows import (
    DenseRows,
    MatrixFreeRows,
    Rows,
    couples_points,
    moved,
    scales,
)
from sciml.training.least_squares.solvers import SOLVERS, ConjugateGradient, Solver, choose
from sciml.training.refusals import refuse_nonfinite
from sciml.training.step import Step
from sciml.training.vectors import unflatten


@final
class LevenbergMarquardt(torch.optim.Optimizer):
    """Damped Gauss–Newton steps; `Fit` hands over the step and the weights of the terms.

    Args:
        parameters: float64.
        solver: "cholesky", "woodbury" (fewer rows than parameters), "qr" (polish), "cg" (conjugate
            gradients on a dense J), "matrix_free" (conjugate gradients on products), or "auto" by
            size.
        damping: rule for μ; `GainRatio()` where None.
        acceleration: geodesic acceleration, one residual evaluation more a step.
        ratio: largest 2|a|/|p| at which the acceleration is trusted.
        h: step of its finite difference.
        trials: rejected steps, at most, before the next points are tried.
        lr: factor on the step, for schedules.

    Cost of an accepted step: one Jacobian, n P² + P³/3 operations, two residual evaluations; each
    rejection a factorisation and two evaluations more.
    """

    asks_for_residuals = True
    needs_double = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        solver: Literal["auto", "cholesky", "woodbury", "qr", "cg", "matrix_free"] = "auto",
        damping: GainRatio | GradientPower | None = None,
        acceleration: bool = True,
        ratio: float = 0.75,
        h: float = 0.1,
        trials: int = 12,
        lr: float = 1.0,
    ) -> None:
        known = ("auto", *SOLVERS, "matrix_free")
        if solver not in known:
            raise UserError(f"optimizer: expected solver to be one of {known}, got {solver!r}")
        if not (ratio > 0 and h > 0 and trials >= 1 and lr > 0):
            raise UserError(
                f"optimizer: expected ratio, h, lr > 0 and trials >= 1, "
                f"got {ratio}, {h}, {lr} and {trials}"
            )
        if not isinstance(damping, GainRatio | GradientPower | None):
            raise UserError(
                f"optimizer: expected damping to be GainRatio or GradientPower, got {damping!r}; "
                "set optimizer.damping.start, or optimizer.damping._target_"
            )
        super().__init__(list(parameters), {"lr": lr})
        self.solver, self.rule = solver, damping or GainRatio()
        self.acceleration, self.ratio, self.h, self.trials = acceleration, ratio, h, trials
        self._dense: bool | None = None

    def look(self, step: Step) -> None:
        """Answers the step's questions on residuals before anybody asks for terms or gradients.

        Raises:
            UserError: the objective has no residuals; J does not fit.
        """
        if self._dense is None:
            self._dense = self._is_dense(step)
        if self._dense:
            step.linearised()
        else:
            step.residuals()

    @torch.no_grad()
    def step(self, closure: Any = None, *, step: Step, weights: Weights) -> Tensor:
        """One step of training, after `look`; returns the loss before it.

        Raises:
            Diverged: a residual or the gradient is not finite.
        """
        rows, factors = self._linearise(step, weights)
        theta = torch.cat([value.detach().reshape(-1) for value in step.parameters.values()])
        loss, gradient = rows.r @ rows.r, rows.adjoint(rows.r)
        refuse_nonfinite(step, gradient)
        solver = self._prepare(rows)
        state, norm = self._state["damping"], float(gradient.norm())
        for _ in range(self.trials):
            mu = self.rule.damping(state, norm)
            p = solver.solve(mu, -rows.r)
            if p is None:
                state = self.rule.refused(self.rule.refused(state))
                continue
            p = self.param_groups[0]["lr"] * p
            image = rows.apply(p)
            full = self._accelerated(step, factors, rows, solver, theta, p, image, mu)
            new = moved(step, factors, theta + full)
            decrease = loss - new @ new
            if decrease > 0:
                promised = -(2 * rows.r @ image + image @ image)
                state = self.rule.accepted(state, float(decrease / promised))
                write(theta + full, step.parameters)
                break
            state = self.rule.refused(state)
        self._state["damping"] = state
        return loss

    def _accelerated(
        self,
        step: Step,
        factors: Mapping[str, Tensor],
        rows: Rows,
        solver: Solver,
        theta: Tensor,
        p: Tensor,
        image: Tensor,
        mu: float,
    ) -> Tensor:
        """p + a/2 where the second-order correction is small against p, else p."""
        if not self.acceleration:
            return p
        ahead = moved(step, factors, theta + self.h * p)
        bend = (2 / self.h) * ((ahead - rows.r) / self.h - image)
        if not torch.isfinite(bend).all():
            return p
        a = solver.solve(mu, -bend)
        if a is None or 2 * a.norm() > self.ratio * p.norm():
            return p
        return p + a / 2

    @property
    def _state(self) -> dict[str, Any]:
        """Kept with the first parameter, so that it is in the checkpoint."""
        state = self.state[self.param_groups[0]["params"][0]]
        state.setdefault("damping", self.rule.start)
        return state

    def _linearise(self, step: Step, weights: Weights) -> tuple[Rows, dict[str, Tensor]]:
        if not self._dense:
            factors = scales(weights, {name: len(r) for name, r in step.residuals().items()})
            return MatrixFreeRows(step, factors), factors
        found = step.linearised()
        factors = scales(weights, {name: len(r) for name, (r, _) in found.items()})
        return DenseRows(found, factors), factors

    def _is_dense(self, step: Step) -> bool:
        """Whether J is to be held, decided once: it fits, and is right for these terms."""
        if self.solver == "matrix_free":
            return False
        with torch.no_grad():
            rows = sum(len(r) for r in step.fresh().residuals().values())
        parameters = sum(value.numel() for value in step.parameters.values())
        name = choose(rows, parameters) if self.solver == "auto" else self.solver
        memory.require(
            rows, parameters, name, device_of(step), "set optimizer.solver=matrix_free, or "
        )
        if couples_points(step):
            warnings.warn(
                "least squares: the residuals of one point depend on other points; products with "
                "the Jacobian replace it, slower and equally right",
                stacklevel=2,
            )
            return False
        return True

    def _prepare(self, rows: Rows) -> Solver:
        if isinstance(rows, MatrixFreeRows):
            return ConjugateGradient(rows)
        name = choose(len(rows.r), rows.parameters) if self.solver == "auto" else self.solver
        return SOLVERS[name](rows)


def device_of(step: Step) -> torch.device:
    """Where the parameters, and so the Jacobian, are."""
    return next(iter(step.parameters.values())).device


def write(theta: Tensor, parameters: Mapping[str, Tensor]) -> None:
    """Put the values of one vector into the parameters."""
    for name, value in unflatten(theta, parameters).items():
        parameters[name].copy_(value)

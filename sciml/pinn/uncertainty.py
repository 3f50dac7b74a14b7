"""Error bars after least squares: the normal distribution around the trained weights (Laplace).

Training minimises |r|², r the rows of all terms k, each √(w_k/n_k) r_k with Jacobian J at the
optimum. Seen as errors with variance σ² n_k/w_k, they leave the parameters and any field u with

    Σ = σ² (JᵀJ + α)⁻¹          σ_u² = J_u Σ J_uᵀ
    σ² = |r|² / (n − γ)         γ = tr [JᵀJ (JᵀJ + α)⁻¹], the parameters that the rows determine

σ² and γ are taken over the rows of the terms with noise; equations beside measurements are soft
constraints, as strong as they were in the loss. What the rows leave open, α holds.

Source: D. J. C. MacKay, Bayesian interpolation, Neural Computation 4 (1992) 415-447, section 4.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.pinn import names as known
from sciml.pinn.data import CollocationData
from sciml.pinn.fields import Fields
from sciml.pinn.objective import CollocationLoss
from sciml.pinn.points import Collocation, Points
from sciml.pinn.problem import RESIDUAL, Problem
from sciml.pinn.regions import At

#: Points at which fields are linearised at once, which bounds the memory of J_u.
CHUNK = 2048

_NO_WEIGHTS = (
    "no error bars: they need the constant weights of the loss, and this balancer finds its own; "
    "set balancer=fixed, or uncertainty=none to hear no more of it"
)


@final
@dataclass(frozen=True, eq=False)
class Posterior:
    """The parameters' normal distribution.

    Args:
        problem: what the model is a solution of.
        model: at the optimum, in double precision.
        parameters: those that vary, by name, in the order of the rows of `root`.
        root: `[P, P]` with Σ = root rootᵀ.
        sigma: standard deviation of rows of weight one.
        effective: parameters that the rows with noise determine.
    """

    problem: Problem
    model: nn.Module
    parameters: Mapping[str, Tensor]
    root: Tensor
    sigma: float
    effective: float

    def deviations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Standard deviation at `x` `[n, d]` of unknowns, unknown numbers and derived fields.

        Cost: the Jacobian of the fields, and n P² operations for each.
        """
        loss = CollocationLoss(_reading(self.problem, names))
        pieces: dict[str, list[Tensor]] = {name: [] for name in names}
        for part in x.double().split(CHUNK):
            batch = Collocation({RESIDUAL: Points(part)})
            for name, (_, j) in loss.linearised(self.model, batch, self.parameters).items():
                pieces[name].append((j @ self.root).norm(dim=1))
        return {name: torch.cat(parts) for name, parts in pieces.items()}


@final
@dataclass(frozen=True)
class Laplace:
    """Error bars of a trained model.

    Args:
        weights: of the terms in the loss that was minimised, 1 for those left out (`minimised`).
            None where a rule finds them in training, or answers otherwise: then the minimum is of a
            loss that is not known here, and there are no error bars.
        noisy: terms whose rows are measurements with errors; all terms when None.
        prior: α, > 0, in units of the weighted rows' JᵀJ.
        trainable: patterns of the names of the parameters that vary.

    Rows are those of the first training batch, weighted by the density of its points; weights that
    a `point_weights` rule found in training are not among them. All given points have to be in it.
    """

    weights: Mapping[str, float] | None = field(default_factory=dict)
    noisy: Sequence[str] | None = None
    prior: float = 1e-8
    trainable: Sequence[str] = ("*",)

    def __post_init__(self) -> None:
        if not self.prior > 0:
            raise UserError(f"uncertainty: expected prior > 0, got {self.prior}; set it to 1e-8")

    def of(
        self, objective: CollocationLoss, data: CollocationData
    ) -> Callable[[nn.Module], Callable[[Tensor, Sequence[str]], dict[str, Tensor]]] | None:
        """`model -> Posterior.deviations`, checked now; None, with a warning, without weights."""
        if self.weights is None:
            warnings.warn(_NO_WEIGHTS, stacklevel=2)
            return None
        self.check(objective.problem, data)
        return lambda model: self.posterior(objective, data, model).deviations

    def check(self, problem: Problem, data: CollocationData) -> None:
        """Refuses names of terms that are none, and batches with a part of the measurements."""
        for name in (*self.weights, *(self.noisy or ())):
            if name not in problem.terms:
                raise UserError(
                    f"uncertainty: expected terms of {problem.terms}, got {name!r}; "
                    f"{known.nearest(name, problem.terms)}"
                )
        for name in self.noisy or problem.terms:
            if not self.weights.get(name, 1.0) > 0:
                raise UserError(
                    f"uncertainty: expected terms with noise of weight > 0, "
                    f"got {self.weights[name]} for {name!r}; name the others in noisy="
                )
        for name, region in data.regions.items():
            if isinstance(region, At) and data.sizes[name] < len(region):
                raise UserError(
                    f"uncertainty: expected all {len(region)} points of {name!r} in a step, "
                    f"got {data.sizes[name]}; set sampling.points.{name}={len(region)}"
                )

    def posterior(
        self, objective: CollocationLoss, data: CollocationData, model: nn.Module
    ) -> Posterior:
        """The distribution around the model's weights.

        Cost: one Jacobian, n P² + 10 P³ operations, in double precision.

        Raises:
            UserError: no parameter varies, or more are determined than there are noisy rows.
        """
        model = copy.deepcopy(model).double().cpu()
        varying = {
            name: parameter.detach()
            for name, parameter in model.named_parameters()
            if any(fnmatchcase(name, pattern) for pattern in self.trainable)
        }
        if not varying:
            raise UserError(f"uncertainty: trainable={list(self.trainable)} matches no parameter")
        batch = next(data.train_dataloader(0, 0, 1)).to("cpu", torch.float64)
        found = objective.linearised(model, batch, varying)
        squares = {term: self.weights.get(term, 1.0) / len(r) for term, (r, _) in found.items()}
        gram = sum(squares[term] * (j.T @ j) for term, (_, j) in found.items())
        values, vectors = torch.linalg.eigh(gram)
        root = vectors / (values.clamp(min=0) + self.prior).sqrt()
        total, rows, effective = 0.0, 0, 0.0
        for term in self.noisy or objective.terms:
            r, j = found[term]
            total += squares[term] * float(r @ r)
            rows += len(r)
            effective += squares[term] * float((j @ root).square().sum())
        if effective >= rows:
            raise UserError(
                f"uncertainty: expected more rows with noise than the {effective:.0f} parameters "
                f"they determine, got {rows}; take more points or a smaller network"
            )
        sigma = (total / (rows - effective)) ** 0.5
        return Posterior(objective.stated, model, varying, sigma * root, sigma, effective)


def minimised(balancer: object) -> Mapping[str, float | int] | None:
    """The constant weights of the sum that a rule minimises (`balance.fixed.Fixed`); else None.

    A rule may be told weights and still end elsewhere than in the minimum of that sum.
    """
    return getattr(balancer, "minimised", None)


def _reading(problem: Problem, names: Sequence[str]) -> Problem:
    """A problem whose terms are the fields `names` themselves."""

    def read(f: Fields) -> dict[str, Tensor]:
        derived = problem.derived
        return {name: derived[name](f) if name in derived else f[name] for name in names}

    return replace(
        problem, equations=read, conditions=(), exact=None, reference=None, compared=None
    )

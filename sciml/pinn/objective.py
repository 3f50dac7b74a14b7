"""The loss terms of a problem at collocation points: a mean square per equation and condition.

    L_k = (1/n) Σ_i w_i r_k(x_i)²      conditions with the same term are added, as four walls are

The weights w_i of the points are 1 unless their density or a `point_weights` rule gives others.

Derivatives come from an `Engine`: nested autograd, Taylor streams, or either of them compiled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.calculus.pointwise import autograd
from sciml.contracts import LossTerms, UserError
from sciml.pinn.compiled_rows import CompiledRows
from sciml.pinn.compiled_terms import CompiledTerms, Derivatives, with_gradients
from sciml.pinn.fields import Asked, Fields, check_shape
from sciml.pinn.linearised import Linearisation
from sciml.pinn.passes import shared_passes
from sciml.pinn.point_weights import PointWeights, gathered
from sciml.pinn.points import Collocation, Points
from sciml.pinn.problem import RESIDUAL, Problem


@final
@dataclass(frozen=True)
class Engine:
    """How derivatives are taken.

    Args:
        derivatives: `autograd.derivatives` or `taylor.derivatives`.
        compiled: compile the terms of training batches. Each program is first checked against eager
            nested autograd; eager code goes on, with a warning, where they differ.
    """

    derivatives: Derivatives = autograd.derivatives
    compiled: bool = False


@final
class CollocationLoss(nn.Module):
    """`contracts.Objective` and `contracts.Residuals` of a problem.

    Args:
        problem: equations and conditions.
        engine: how derivatives are taken; nested autograd where None.
        point_weights: rule by which equations weigh their points; None leaves them alone.
    """

    def __init__(
        self,
        problem: Problem,
        engine: Engine | None = None,
        point_weights: PointWeights | None = None,
    ) -> None:
        super().__init__()
        self.point_weights = point_weights
        self.problem = self.stated = problem
        self.engine = engine or Engine()
        self.terms = problem.terms
        self._prepare()
        self._linearisation = Linearisation()

    def forward(self, model: nn.Module, batch: Collocation) -> LossTerms:
        if self.engine.compiled and self.training and torch.is_grad_enabled():
            scalars = self._compiled(model, batch)
        else:
            scalars = self._scalars(model, batch, self.engine.derivatives)
        return dict(zip(self.terms, scalars, strict=True))

    def rows(
        self, model: nn.Module, batch: Collocation, parameters: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`contracts.GradientRows`: the terms `[K]` and their gradients `[K, P]`, detached.

        Compiled, they cost what one plain step does where the terms have points of their own.
        """
        if self.engine.compiled:
            found = self._compiled_rows(model, batch, parameters)
            if found is not None:
                return found

        own = dict(model.named_parameters())
        function: Callable[[Tensor], Tensor] = model
        if any(own[name] is not value for name, value in parameters.items()):

            def function(x: Tensor) -> Tensor:
                return functional_call(model, dict(parameters), (x,))

        scalars = self._scalars(function, batch, self.engine.derivatives, apart=True)
        for name, scalar in zip(self.terms, scalars, strict=True):
            if not scalar.requires_grad:
                raise UserError(
                    f"objective: the term {name!r} depends on no trained parameter; "
                    "drop it, or train a parameter that it sees (phases.*.trainable)"
                )
        return with_gradients(scalars, tuple(parameters.values()))

    def _prepare(self) -> None:
        """Programs of the problem as it stands, to be compiled at their first use."""
        derivatives, asked = self.engine.derivatives, self.problem.asked
        self._compiled = CompiledTerms(self._scalars, derivatives, asked)
        self._compiled_rows = CompiledRows(partial(self._scalars, apart=True), derivatives, asked)

    def configure(
        self,
        constants: Mapping[str, float] | None = None,
        causal_tolerance: float | None = None,
    ) -> None:
        """A phase's values of the problem's constants; those it does not name are as stated.

        `causal_tolerance` is that of `point_weights.Causal`, its own where None.
        """
        if hasattr(self.point_weights, "configure"):
            self.point_weights.configure(causal_tolerance)
        elif causal_tolerance is not None:
            raise UserError(
                f"causal_tolerance: expected causal point weights, got {self.point_weights!r}; "
                "set point_weights=causal"
            )
        problem = self.stated.at(constants or {})
        if problem.constants != self.problem.constants:
            self.problem = problem  # programs hold the old numbers
            self._prepare()

    @property
    def one_batch_a_step(self) -> str | None:
        """Why a step cannot accumulate batches under these weights of points; None where it can."""
        if not getattr(self.point_weights, "remembers", False):
            return None
        return (
            f"the weights of {type(self.point_weights).__name__} move on with every batch that "
            "they see; set point_weights=causal or none, or take more points in one batch"
        )

    def weigh(
        self,
        model: nn.Module,
        batches: Sequence[Collocation],
        add_over_ranks: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> list[Collocation]:
        """The batches of a training step with the weights of their points for this step.

        To be called once a step: a rule's state moves on at every call. Equal on every rank. Costs
        an evaluation of the equations without a graph where there is a rule, else nothing.
        """
        if self.point_weights is None:
            return list(batches)
        return [self._weighed(model, batch, add_over_ranks) for batch in batches]

    def _weighed(
        self, model: nn.Module, batch: Collocation, add_over_ranks: Callable[[Tensor], Tensor]
    ) -> Collocation:
        points = batch.points[RESIDUAL]
        here = torch.stack((*self.equations(model, points).values(), *points.x.unbind(1)), dim=1)
        first, total = batch.place(RESIDUAL)
        everywhere = gathered(here, first, total, add_over_ranks)
        names = self.problem.equation_names
        rows = dict(zip(names, everywhere[:, : len(names)].unbind(1), strict=True))
        weights = self.point_weights(rows, everywhere[:, len(names) :])
        own = {name: weight[first : first + len(points)] for name, weight in weights.items()}
        return replace(batch, weights=own)

    def criteria(self) -> dict[str, Tensor]:
        """What the rule of the point weights tells of its progress, for the log."""
        own = getattr(self.point_weights, "criteria", dict)
        return own()

    def equations(self, model: nn.Module, points: Points) -> dict[str, Tensor]:
        """The equations' residuals `[n]` at any points, without weights and without a graph."""
        problem, batch = self.problem, Collocation({RESIDUAL: points})
        asked = {RESIDUAL: problem.asked[RESIDUAL]}
        with torch.no_grad():
            fields = fields_at(model, problem, batch, asked, self.engine.derivatives)
            return problem.equations(fields[RESIDUAL])

    def residuals(self, model: nn.Module, batch: Collocation) -> dict[str, Tensor]:
        """Rows `[N]` per term whose mean square is the term.

        A term of several conditions holds the rows of all of them, r_i √(N/n_i) with N rows in all.
        """
        return self._joined(model, batch, self.engine.derivatives)

    def signs(self, batch: Collocation, seed: int) -> dict[str, Tensor]:
        """`contracts.Signed`: of every set the signs of all its points, of which these have theirs.

        They are √ranks large, as a rank's rows are a part of the mean; where every rank has all
        points of a set, 1.
        """
        conditions = [(c.term, c.name) for c in self.problem.conditions]
        equations = [(name, RESIDUAL) for name in self.problem.equation_names]
        found: dict[str, list[Tensor]] = {term: [] for term in self.terms}
        for number, (term, name) in enumerate([*equations, *conditions]):
            points, (first, total) = batch.points[name], batch.place(name)
            generator = torch.Generator().manual_seed(seed * 1000 + number)
            drawn = torch.randint(0, 2, (total,), generator=generator)[first : first + len(points)]
            size = 1.0 if len(points) == total else batch.ranks**0.5
            found[term].append(size * (2 * drawn - 1).to(points.x))
        return {term: torch.cat(parts) for term, parts in found.items()}

    def linearised(
        self, model: nn.Module, batch: Collocation, parameters: Mapping[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """`contracts.Linearised`: the rows `[N]` and their Jacobian `[N, P]` by term."""
        return self._linearisation(self.problem, self._joined, model, batch, parameters)

    def coupled(
        self, model: nn.Module, batch: Collocation, parameters: Mapping[str, Tensor]
    ) -> tuple[str, ...]:
        """The terms with rows that see other points than their own, looked for at this batch."""
        return self._linearisation.coupled(self.problem, self._joined, model, batch, parameters)

    def _joined(
        self, function: Callable[[Tensor], Tensor], batch: Collocation, derivatives: Derivatives
    ) -> dict[str, Tensor]:
        rows = self._rows(function, batch, derivatives)
        return {term: joined(parts) for term, parts in rows.items()}

    def _rows(
        self,
        function: Callable[[Tensor], Tensor],
        batch: Collocation,
        derivatives: Derivatives,
        apart: bool = False,
    ) -> dict[str, list[Tensor]]:
        """Residuals √w r `[n_i]` by term, one entry per equation or condition."""
        problem = self.problem
        fields = fields_at(function, problem, batch, problem.asked, derivatives, apart)
        rows: dict[str, list[Tensor]] = {term: [] for term in self.terms}
        for name, residual in problem.equations(fields[RESIDUAL]).items():
            residual = check_shape(name, residual, len(fields[RESIDUAL]))
            own = None if batch.weights is None else batch.weights.get(name)
            rows[name].append(scaled(residual, batch.points[RESIDUAL].weight, own))
        for condition in problem.conditions:
            at = fields[condition.name]
            residual = check_shape(condition.name, condition.residual(at), len(at))
            rows[condition.term].append(scaled(residual, batch.points[condition.name].weight))
        return rows

    def _scalars(
        self,
        function: Callable[[Tensor], Tensor],
        batch: Collocation,
        derivatives: Derivatives,
        apart: bool = False,
    ) -> list[Tensor]:
        """The terms one by one: the gradient of one goes through no part of another."""
        rows = self._rows(function, batch, derivatives, apart)
        return [torch.stack([r.square().mean() for r in parts]).sum() for parts in rows.values()]


def scaled(residual: Tensor, *weights: Tensor | None) -> Tensor:
    """√w r: its mean square is the mean of w r²; `residual` itself where no weight is given."""
    for weight in weights:
        if weight is not None:
            residual = residual * weight.sqrt()
    return residual


def joined(parts: list[Tensor]) -> Tensor:
    """Rows of several conditions as one, scaled so that the mean square is the sum of theirs."""
    total = sum(len(part) for part in parts)
    return torch.cat([part * (total / len(part)) ** 0.5 for part in parts])


def fields_at(
    function: Callable[[Tensor], Tensor],
    problem: Problem,
    batch: Collocation,
    asked: Mapping[str, Asked],
    derivatives: Derivatives,
    apart: bool = False,
) -> dict[str, Fields]:
    """The fields asked for at each set of points; sets that ask for the same share one pass.

    Args:
        apart: only those do that belong to one term.
    """
    term = {condition.name: condition.term for condition in problem.conditions}
    owner = (lambda key: term.get(key, key)) if apart else (lambda key: None)
    found: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for (names, _), same in shared_passes(batch, asked, owner).items():
        x = same[0][2] if len(same) == 1 else torch.cat([x for *_, x in same])
        values = derivatives(function, x, problem.outputs, problem.coordinates, names)
        sizes = [len(x) for *_, x in same]
        cut = {name: value.split(sizes) for name, value in values.items()}
        for place, (key, image, _) in enumerate(same):
            found[key, image] = {name: cut[name][place] for name in names}
    return {
        key: problem.fields(batch.points[key], found.get((key, False)), found.get((key, True)))
        for key in asked
    }

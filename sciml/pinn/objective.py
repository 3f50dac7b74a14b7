"""The loss terms of a problem at collocation points: a mean square per equation and condition.

    L_k = (1/n) Σ_i r_k(x_i)²          conditions with the same term are added, as four walls are

Derivatives come from an `Engine`: nested autograd, Taylor streams, or either of them compiled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from sciml.calculus.pointwise import autograd
from sciml.contracts import LossTerms
from sciml.pinn.compiled_terms import CompiledTerms, Derivatives
from sciml.pinn.fields import Asked, Fields, check_shape
from sciml.pinn.points import Collocation
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
    """

    def __init__(self, problem: Problem, engine: Engine | None = None) -> None:
        super().__init__()
        self.problem = problem
        self.engine = engine or Engine()
        self.terms = problem.terms
        self._compiled = CompiledTerms(self._vector, self.engine.derivatives, problem.asked)

    def forward(self, model: nn.Module, batch: Collocation) -> LossTerms:
        if self.engine.compiled and self.training and torch.is_grad_enabled():
            vector = self._compiled(model, batch)
        else:
            vector = self._vector(model, batch, self.engine.derivatives)
        return dict(zip(self.terms, vector.unbind(), strict=True))

    def residuals(self, model: nn.Module, batch: Collocation) -> dict[str, Tensor]:
        """Rows `[N]` per term whose mean square is the term.

        A term of several conditions holds the rows of all of them, r_i √(N/n_i) with N rows in all.
        """
        rows = self._rows(model, batch, self.engine.derivatives)
        return {term: joined(parts) for term, parts in rows.items()}

    def _rows(
        self, function: Callable[[Tensor], Tensor], batch: Collocation, derivatives: Derivatives
    ) -> dict[str, list[Tensor]]:
        """Residuals `[n_i]` by term, one entry per equation or condition."""
        problem = self.problem
        fields = fields_at(function, problem, batch, problem.asked, derivatives)
        rows: dict[str, list[Tensor]] = {term: [] for term in self.terms}
        for name, residual in problem.equations(fields[RESIDUAL]).items():
            rows[name].append(check_shape(name, residual, len(fields[RESIDUAL])))
        for condition in problem.conditions:
            at = fields[condition.name]
            residual = check_shape(condition.name, condition.residual(at), len(at))
            rows[condition.term].append(residual)
        return rows

    def _vector(
        self, function: Callable[[Tensor], Tensor], batch: Collocation, derivatives: Derivatives
    ) -> Tensor:
        """The terms as one vector `[K]`."""
        rows = self._rows(function, batch, derivatives)
        return torch.stack(
            [torch.stack([part.square().mean() for part in parts]).sum() for parts in rows.values()]
        )


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
) -> dict[str, Fields]:
    """The fields asked for at each set of points; sets that ask for the same share one pass."""
    pieces: list[tuple[str, bool, Tensor, frozenset[str]]] = []
    for key, what in asked.items():
        points = batch.points[key]
        pieces.append((key, False, points.x, what.names))
        if points.image is not None:
            pieces.append((key, True, points.image, what.image))
    found: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for names in dict.fromkeys(names for *_, names in pieces if names):
        same = [(key, image, x) for key, image, x, those in pieces if those == names]
        x = same[0][2] if len(same) == 1 else torch.cat([x for *_, x in same])
        values = derivatives(function, x, problem.unknowns, problem.coordinates, names)
        sizes = [len(x) for *_, x in same]
        cut = {name: value.split(sizes) for name, value in values.items()}
        for place, (key, image, _) in enumerate(same):
            found[key, image] = {name: cut[name][place] for name in names}
    return {
        key: Fields(
            problem.coordinates, batch.points[key], found.get((key, False)), found.get((key, True))
        )
        for key in asked
    }

"""Residual rows of collocation terms together with their Jacobian by the trained parameters.

Rows of different points share one backward pass; several equations at the same points need one
each. Rows of a periodic condition add what their point and its image contribute.
"""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, taylor
from sciml.calculus.pointwise.affine_maps import Capture
from sciml.calculus.pointwise.per_sample import Columns, backward, exact
from sciml.pinn.compiled_terms import Derivatives
from sciml.pinn.passes import shared_passes
from sciml.pinn.points import Collocation
from sciml.pinn.problem import RESIDUAL, Problem

#: `(function, batch, derivatives) -> term -> rows [n]`.
Rows = Callable[[Callable[[Tensor], Tensor], Collocation, Derivatives], dict[str, Tensor]]
#: Term → rows `[n]` and Jacobian `[n, P]`.
Linear = dict[str, tuple[Tensor, Tensor]]

#: Largest relative difference of Jᵀv to a backward pass for rows of one point each.
DOUBLE, SINGLE = 1e-8, 1e-3
#: Standard deviation of what is added to parameters where coupling is looked for.
NOISE = 0.1


@final
@dataclass(frozen=True)
class RowSet:
    """Rows of a term that belong to one set of points.

    Args:
        rows: where they stand in the term.
        seen_at: pass of the network and points therein that the rows see; two under periodicity.
    """

    rows: slice
    seen_at: tuple[tuple[int, slice], ...]


@final
class Linearisation:
    """Linearises, and remembers of each network which terms couple points.

    Derivatives are Taylor coefficients, whose per-sample products are small; functions without a
    Taylor rule get nested autograd.
    """

    def __init__(self) -> None:
        self._coupled: WeakKeyDictionary[nn.Module, dict[tuple[str, ...], tuple[str, ...]]]
        self._coupled = WeakKeyDictionary()
        self._nested: WeakSet[nn.Module] = WeakSet()

    def __reduce__(self) -> tuple[type["Linearisation"], tuple[()]]:
        """A copy knows no network."""
        return Linearisation, ()

    def __call__(
        self,
        problem: Problem,
        rows: Rows,
        model: nn.Module,
        batch: Collocation,
        parameters: Mapping[str, Tensor],
    ) -> Linear:
        """Rows and Jacobian of every term at the given values, detached.

        Args:
            rows: of all terms, scaled as the terms are.
            parameters: values by name; their order is that of the columns.
        """
        known = self._coupled.setdefault(model, {})
        if tuple(parameters) not in known:
            self.coupled(problem, rows, model, batch, parameters)
        coupled = known[tuple(parameters)]
        alone = [term for term in problem.terms if term not in coupled]
        found = self._per_sample(problem, rows, model, batch, parameters, alone) if alone else {}
        if coupled:
            leaves = _leaves(parameters)
            every = self._graph(rows, model, batch, leaves)
            values = tuple(leaves.values())
            found |= {t: (every[t].detach(), exact(every[t], values)) for t in coupled}
        return {term: found[term] for term in problem.terms}

    def coupled(
        self,
        problem: Problem,
        rows: Rows,
        model: nn.Module,
        batch: Collocation,
        parameters: Mapping[str, Tensor],
    ) -> tuple[str, ...]:
        """Terms whose rows see other points than their own; noted for later calls, with a warning.

        Jᵀv from per-sample products is held against one backward pass of the rows, v random, at
        parameters with noise, so that nothing vanishes by accident.

        Cost: one Jacobian and K backward passes.
        """
        generator = torch.Generator().manual_seed(0)
        noisy = {name: _noisy(value, generator) for name, value in parameters.items()}
        for values in (noisy, parameters):  # where noise leads to infinity the values themselves
            ours = self._per_sample(problem, rows, model, batch, values, problem.terms)
            if all(torch.isfinite(jacobian.sum()) for _, jacobian in ours.values()):
                break
        leaves = _leaves(values)
        every = self._graph(rows, model, batch, leaves)
        coupled = []
        for term, (r, jacobian) in ours.items():
            v = torch.randn(len(r), generator=generator, dtype=torch.float64).to(r)
            true = _product(every[term], leaves, v)
            tolerance = DOUBLE if r.dtype == torch.float64 else SINGLE
            if (v @ jacobian - true).norm() > tolerance * true.norm():
                coupled.append(term)
        known, key = self._coupled.setdefault(model, {}), tuple(parameters)
        if coupled and known.get(key) != tuple(coupled):
            warnings.warn(
                f"the rows of {', '.join(coupled)} see other points than their own; "
                "their Jacobian takes one backward pass for each row or parameter, which is slow",
                stacklevel=4,
            )
        known[key] = tuple(coupled)
        return known[key]

    def _graph(
        self, rows: Rows, model: nn.Module, batch: Collocation, leaves: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The rows, differentiable by the leaves in every way."""
        derivatives = autograd.derivatives if model in self._nested else taylor.derivatives
        with torch.enable_grad():
            return rows(at_values(model, leaves), batch, derivatives)

    def _per_sample(
        self,
        problem: Problem,
        rows: Rows,
        model: nn.Module,
        batch: Collocation,
        parameters: Mapping[str, Tensor],
        terms: Collection[str],
    ) -> Linear:
        """Right for terms that do not couple points."""
        leaves = _leaves(parameters)
        function = at_values(model, leaves)
        with torch.enable_grad():
            if model not in self._nested:
                try:
                    capture = Capture()
                    found = rows(function, batch, _watched(taylor.derivatives, capture))
                except taylor.UnsupportedOperation:
                    self._nested.add(model)
            if model in self._nested:
                capture = Capture(streams=False)
                found = rows(function, batch, _watched(autograd.derivatives, capture))
            found = {term: found[term] for term in terms}
            return _jacobians(found, capture, Columns(leaves), row_sets(problem, batch))


def _leaves(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().requires_grad_() for name, value in parameters.items()}


def _noisy(value: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return value.detach() + NOISE * noise.to(value)


def _product(rows: Tensor, leaves: Mapping[str, Tensor], v: Tensor) -> Tensor:
    """Jᵀv `[P]` by a backward pass."""
    if not rows.requires_grad:
        return torch.cat([torch.zeros_like(leaf).flatten() for leaf in leaves.values()])
    gradients = torch.autograd.grad(
        rows, tuple(leaves.values()), v, retain_graph=True, materialize_grads=True,
        allow_unused=True,
    )  # fmt: skip
    return torch.cat([gradient.flatten() for gradient in gradients])


def at_values(model: nn.Module, values: Mapping[str, Tensor]) -> Callable[[Any], Any]:
    """The model at other values of some parameters; the others have no gradient."""
    fixed = {name: p.detach() for name, p in model.named_parameters() if name not in values}
    every = {**fixed, **values}
    return lambda x: functional_call(model, every, (x,))


def _watched(derivatives: Derivatives, capture: Capture) -> Derivatives:
    """The same derivatives, each call of the network noted as a group of its own."""

    def watched(function: Any, x: Tensor, *names: Any) -> dict[str, Tensor]:
        def noted(inputs: Any) -> Any:
            with capture.points(len(x)):
                return function(inputs)

        return derivatives(noted, x, *names)

    return watched


def row_sets(problem: Problem, batch: Collocation) -> dict[str, list[RowSet]]:
    """The sets of rows of each term, in order."""
    seen: dict[str, list[tuple[int, slice]]] = {}
    for group, sets in enumerate(shared_passes(batch, problem.asked).values()):
        start = 0
        for key, _, x in sets:
            seen.setdefault(key, []).append((group, slice(start, start + len(x))))
            start += len(x)
    keys = {term: [RESIDUAL] for term in problem.equation_names}
    for condition in problem.conditions:
        keys.setdefault(condition.term, []).append(condition.name)
    every: dict[str, list[RowSet]] = {}
    for term, names in keys.items():
        start, every[term] = 0, []
        for key in names:
            rows = slice(start, start + len(batch.points[key]))
            every[term].append(RowSet(rows, tuple(seen.get(key, ()))))
            start = rows.stop
    return every


def _jacobians(
    rows: Mapping[str, Tensor],
    capture: Capture,
    columns: Columns,
    sets: Mapping[str, Sequence[RowSet]],
) -> Linear:
    """Jacobians of all terms in as few backward passes as points allow."""
    jacobians, loose = {}, set()
    for terms in _disjoint(sets, tuple(rows)):
        adjoints, left = backward([rows[term] for term in terms], capture, columns)
        loose |= left
        for term in terms:
            jacobians[term] = columns.room(rows[term])
            for row_set in sets[term]:
                contributions = [
                    (capture.groups[group], adjoints[group], points)
                    for group, points in row_set.seen_at
                ]
                columns.fill(jacobians[term][row_set.rows], contributions)
    if loose:
        columns.add_loose(rows, jacobians, loose)
    return {term: (r.detach(), jacobians[term]) for term, r in rows.items()}


def _disjoint(sets: Mapping[str, Sequence[RowSet]], terms: Sequence[str]) -> list[list[str]]:
    """Terms gathered so that no two of a list see the same points."""
    gathered: list[tuple[list[str], set[tuple[int, int]]]] = []
    for term in terms:
        points = {(group, p.start) for row_set in sets[term] for group, p in row_set.seen_at}
        for names, taken in gathered:
            if not points & taken:
                names.append(term)
                taken |= points
                break
        else:
            gathered.append(([term], points))
    return [names for names, _ in gathered]

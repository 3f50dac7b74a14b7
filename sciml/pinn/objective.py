"""The loss terms of a problem at collocation points: one mean square per equation and per condition.

    L_k = (1/n) Σ_i r_k(x_i)²          conditions with the same term are added, as four walls are

Derivatives come from an `Engine`: nested autograd, Taylor streams, or either of them compiled.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, compiled
from sciml.contracts import LossTerms
from sciml.pinn.fields import Asked, Fields, check_shape
from sciml.pinn.points import Collocation, Points
from sciml.pinn.problem import RESIDUAL, Problem

#: `(function, x, unknowns, coordinates, wanted) -> {name: [n]}`.
Derivatives = Callable[
    [Callable[[Tensor], Tensor], Tensor, Sequence[str], Sequence[str], Collection[str]],
    dict[str, Tensor],
]


@final
@dataclass(frozen=True)
class Engine:
    """How derivatives are taken.

    Args:
        derivatives: `autograd.derivatives` or `taylor.derivatives`.
        compiled: trace the terms and compile them (training batches only); the first batch is
            checked against eager nested autograd, and eager code goes on where they differ.
    """

    derivatives: Derivatives = autograd.derivatives
    compiled: bool = False


@final
class CollocationLoss(nn.Module):
    """`contracts.Objective` and `contracts.Residuals` of a problem.

    Args:
        problem: equations and conditions.
        engine: how derivatives are taken.
    """

    def __init__(self, problem: Problem, engine: Engine | None = None) -> None:
        super().__init__()
        self.problem = problem
        self.engine = engine or Engine()
        self.terms = problem.terms
        self._programs: dict[tuple, Callable[..., Tensor] | None] = {}

    def forward(self, model: nn.Module, batch: Collocation) -> LossTerms:
        if self.engine.compiled and self.training and torch.is_grad_enabled():
            vector = self._compiled(model, batch)
        else:
            vector = self._vector(model, batch, self.engine.derivatives)
        return dict(zip(self.terms, vector.unbind(), strict=True))

    def residuals(self, model: nn.Module, batch: Collocation) -> dict[str, Tensor]:
        """Rows `[n]` per term whose mean square is the term.

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

    def _compiled(self, model: nn.Module, batch: Collocation) -> Tensor:
        state = dict(model.named_parameters()) | dict(model.named_buffers())
        tensors, rebuild = flattened(batch, self.problem.asked)
        key = tuple((tuple(t.shape), t.dtype, t.device, t.requires_grad) for t in (*state.values(), *tensors))
        if key not in self._programs:
            self._programs[key] = self._build(model, state, tensors, rebuild)
        program = self._programs[key]
        if program is None:
            return self._vector(model, batch, self.engine.derivatives)
        return program(*state.values(), *tensors)

    def _build(
        self,
        model: nn.Module,
        state: dict[str, Tensor],
        tensors: list[Tensor],
        rebuild: Callable[[Iterable[Tensor]], Collocation],
    ) -> Callable[..., Tensor] | None:
        """The compiled terms of `(*state, *tensors)`; None, with a warning, where they cannot be trusted."""

        def terms(*flat: Tensor) -> Tensor:
            values = dict(zip(state, flat[: len(state)], strict=True))
            batch = rebuild(flat[len(state) :])
            return self._vector(
                lambda x: functional_call(model, values, (x,)), batch, self.engine.derivatives
            )

        flat = (*state.values(), *tensors)
        try:
            program = compiled.compile(terms, flat)
            trusted = self._agrees(program(*flat), model, rebuild(tensors))
        except Exception as error:  # any failure of a compiler leaves eager code, which is right
            warnings.warn(
                f"derivatives: compilation failed ({type(error).__name__}: {str(error).splitlines()[0][:120]}); "
                "eager code goes on, slower and equally right",
                stacklevel=2,
            )
            return None
        if not trusted:
            warnings.warn(
                "derivatives: the compiled terms or their gradients differ from nested autograd on the "
                "first batch; eager code goes on",
                stacklevel=2,
            )
        return program if trusted else None

    def _agrees(self, vector: Tensor, model: nn.Module, batch: Collocation) -> bool:
        """Terms and their summed gradient against eager nested autograd, in relative norm."""
        expected = self._vector(model, batch, autograd.derivatives)
        parameters = [p for p in model.parameters() if p.requires_grad]
        tolerance = 1e-8 if vector.dtype == torch.float64 else 1e-3
        ours, theirs = (
            torch.cat([g.flatten() for g in gradient(v.sum(), parameters)]) for v in (vector, expected)
        )
        return close(vector, expected, tolerance) and close(ours, theirs, tolerance)


def gradient(scalar: Tensor, parameters: list[nn.Parameter]) -> Sequence[Tensor]:
    """∂scalar/∂parameters with zeros where there is no dependence; the graph is kept."""
    return torch.autograd.grad(
        scalar, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """|a − b| <= tolerance |b| in the Euclidean norm, and nothing but finite numbers."""
    return bool(torch.isfinite(a).all()) and bool((a - b).norm() <= tolerance * b.norm())


def joined(parts: list[Tensor]) -> Tensor:
    """Rows of several conditions as one, scaled so that the mean square is the sum of theirs."""
    total = sum(len(part) for part in parts)
    return torch.cat([part * (total / len(part)) ** 0.5 for part in parts])


def fields_at(
    function: Callable[[Tensor], Tensor],
    problem: Problem,
    batch: Collocation,
    asked: dict[str, Asked],
    derivatives: Derivatives,
) -> dict[str, Fields]:
    """The fields asked for at each set of points; sets that ask for the same share one pass of the network."""
    pieces = [
        (key, image, batch.points[key].image if image else batch.points[key].x, names)
        for key, what in asked.items()
        for image, names in ((False, what.names), (True, what.image))
        if names
    ]
    found: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for names in dict.fromkeys(names for *_, names in pieces):
        same = [(key, image, x) for key, image, x, those in pieces if those == names]
        x = same[0][2] if len(same) == 1 else torch.cat([x for *_, x in same])
        values = derivatives(function, x, problem.unknowns, problem.coordinates, names)
        sizes = [len(x) for *_, x in same]
        cut = {name: value.split(sizes) for name, value in values.items()}
        for place, (key, image, _) in enumerate(same):
            found[key, image] = {name: cut[name][place] for name in names}
    return {
        key: Fields(problem.coordinates, batch.points[key], found.get((key, False)), found.get((key, True)))
        for key in asked
    }


def flattened(
    batch: Collocation, keys: Iterable[str]
) -> tuple[list[Tensor], Callable[[Iterable[Tensor]], Collocation]]:
    """The tensors of a batch in a fixed order, and the way back."""
    keys = tuple(keys)
    tensors: list[Tensor] = []
    plan: list[tuple[str, str, str]] = []
    for key in keys:
        points = batch.points[key]
        parts = {"x": points.x, "normal": points.normal, "image": points.image}
        parts |= {f"target {name}": value for name, value in (points.target or {}).items()}
        for part, tensor in parts.items():
            if tensor is not None:
                kind, _, name = part.partition(" ")
                plan.append((key, kind, name))
                tensors.append(tensor)

    def rebuild(flat: Iterable[Tensor]) -> Collocation:
        parts: dict[str, dict] = {key: {} for key in keys}
        for (key, kind, name), tensor in zip(plan, flat, strict=True):
            if kind == "target":
                parts[key].setdefault("target", {})[name] = tensor
            else:
                parts[key][kind] = tensor
        return Collocation({key: Points(**parts[key]) for key in keys})

    return tensors, rebuild

"""One optimisation step as a lazy question-and-answer (`contracts.Step`)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.contracts import LossTerms, Objective, Residuals, UserError


def flatten(gradients: Mapping[str, Tensor | None], parameters: Mapping[str, Tensor]) -> Tensor:
    """Gradients by name as one row `[P]` in the order of `parameters`; a missing gradient is zero."""
    pieces = []
    for name, parameter in parameters.items():
        gradient = gradients[name]
        pieces.append((torch.zeros_like(parameter) if gradient is None else gradient).reshape(-1))
    return torch.cat(pieces)


def unflatten(row: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `flatten`: a row `[P]` as one view per parameter."""
    sizes = [parameter.numel() for parameter in parameters.values()]
    pieces = row.split(sizes)
    return {
        name: piece.view_as(parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }


class Step:
    """Terms, gradient rows and residual rows of one batch, each computed at most once.

    Args:
        index: optimiser steps taken before this one, over all phases.
        parameters: the trained parameters by name; their order is the order of a gradient row.
        average: mean over ranks; the identity on one process.
        autocast: context of the forward passes (bf16).
    """

    def __init__(
        self,
        objective: Objective,
        model: nn.Module,
        batch: Any,
        index: int,
        parameters: dict[str, nn.Parameter],
        average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.objective, self.model, self.batch = objective, model, batch
        self.index, self.parameters = index, parameters
        self._average, self._autocast = average, autocast
        self._rows: Tensor | None = None

    @cached_property
    def terms(self) -> LossTerms:
        """The loss terms of this rank's share of the batch, differentiable."""
        with self._autocast():
            terms = self.objective(self.model, self.batch)
        for name, term in terms.items():
            if term.ndim != 0:
                raise UserError(
                    f"objective: expected scalar loss terms, got {name!r} of shape {list(term.shape)}"
                )
            if not term.requires_grad:
                raise UserError(
                    f"objective: the term {name!r} depends on no trained parameter; "
                    "drop it, or train a parameter that it sees (phases.*.trainable)"
                )
        return terms

    @cached_property
    def losses(self) -> LossTerms:
        """The terms, detached and averaged over ranks: equal on every rank."""
        values = self._average(torch.stack([term.detach() for term in self.terms.values()]))
        return dict(zip(self.terms, values.unbind(), strict=True))

    def rows(self) -> Tensor:
        """Gradients of the terms `[K, P]`, averaged over ranks; K backward passes, once."""
        if self._rows is None:
            self._rows = self._average(
                torch.stack([self._gradient(term) for term in self.terms.values()])
            )
        return self._rows

    def gradient(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Σ w_k g_k `[P]`, averaged over ranks: from the rows where they exist, else one backward pass."""
        if self._rows is not None:
            return torch.stack([weights[name] for name in self.terms]).to(self._rows) @ self._rows
        return self._average(self._gradient(self.weighted(weights)))

    def weighted(self, weights: Mapping[str, Tensor]) -> Tensor:
        """L = Σ w_k L_k of this rank, differentiable."""
        return torch.stack([weights[name] * term for name, term in self.terms.items()]).sum()

    @property
    def has_rows(self) -> bool:
        """True once somebody has asked for the gradient rows."""
        return self._rows is not None

    def residuals(self) -> dict[str, Tensor]:
        """Residual rows by term, where the objective offers them.

        Raises:
            UserError: the objective has no residuals.
        """
        if not isinstance(self.objective, Residuals):
            raise UserError(
                "this optimiser or balancer needs residual rows and the objective "
                f"{type(self.objective).__name__} has none; choose one that needs terms only"
            )
        with self._autocast():
            return self.objective.residuals(self.model, self.batch)

    def again(self, parameters: Mapping[str, Tensor]) -> LossTerms:
        """The terms of the same batch at other values of the trained parameters."""
        return functional_call(
            Bound(self.objective, self.model), prefixed(parameters), (self.batch,)
        )

    def _gradient(self, scalar: Tensor) -> Tensor:
        gradients = torch.autograd.grad(
            scalar, list(self.parameters.values()), retain_graph=True, allow_unused=True
        )
        return flatten(dict(zip(self.parameters, gradients, strict=True)), self.parameters)


class Bound(nn.Module):
    """An objective and its model as one module of the batch, so that parameters can be replaced by name."""

    def __init__(self, objective: Objective, model: nn.Module) -> None:
        super().__init__()
        self.objective, self.model = objective, model

    def forward(self, batch: Any) -> LossTerms:
        return self.objective(self.model, batch)


def prefixed(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's parameters under the names they have inside `Bound`."""
    return {f"model.{name}": value for name, value in parameters.items()}

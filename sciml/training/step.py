"""One optimisation step as a lazy question-and-answer (`contracts.Step`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from sciml.contracts import Diverged, LossTerms, Residuals, UserError


class Step:
    """Terms, gradient rows and residual rows of one step's batches, each computed at most once.

    Args:
        batches: one, or the several whose mean is the step (accumulation).
        index: optimiser steps taken before this one, over all phases.
        parameters: the trained parameters by name; their order is the order of a gradient row.
        average: mean over ranks; the identity on one process.
        forward: context of the forward pass of batch number n (random seed, bf16).
        elsewhere: the parameters are other values than the model's own (`again`).
    """

    def __init__(
        self,
        objective: Callable[[nn.Module, Any], LossTerms],
        model: nn.Module,
        batches: Sequence[Any],
        index: int,
        parameters: Mapping[str, Tensor],
        average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        forward: Callable[[int], AbstractContextManager] = nullcontext,
        elsewhere: bool = False,
    ) -> None:
        self.objective, self.model, self.batches = objective, model, tuple(batches)
        self.index, self.parameters = index, parameters
        self._average, self._forward, self._elsewhere = average, forward, elsewhere
        self._names: tuple[str, ...] = ()
        self._values: Tensor | None = None
        self._rows: Tensor | None = None

    @cached_property
    def terms(self) -> LossTerms:
        """The loss terms of this rank, differentiable; holds the graphs of all batches."""
        every = [self._evaluate(number) for number in range(len(self.batches))]
        return {name: mean(terms[name] for terms in every) for name in every[0]}

    @cached_property
    def losses(self) -> LossTerms:
        """The terms, detached and averaged over ranks: equal on every rank."""
        if self._values is None:
            for _ in self._each():
                pass
        return dict(zip(self._names, self._average(self._values).unbind(), strict=True))

    def rows(self) -> Float[Tensor, "terms parameters"]:
        """Gradients of the terms, averaged over ranks; K backward passes, once.

        Raises:
            Diverged: a term or its gradient is not finite; no balancing rule has to meet one.
        """
        if self._rows is None:
            self._rows = self._average(
                mean(
                    torch.stack([self._gradient(term, True) for term in terms.values()])
                    for terms in self._each()
                )
            )
            refuse_nonfinite(self, self._rows)
        return self._rows

    def gradient(
        self, weights: Mapping[str, Tensor], last: bool = False
    ) -> Float[Tensor, " parameters"]:
        """Σ w_k g_k, averaged over ranks: from the rows where they exist, else one backward pass.

        Args:
            weights: scalar by term.
            last: nobody asks for a derivative afterwards, so memory is freed on the way.
        """
        if self._rows is not None:
            return torch.stack([weights[name] for name in self.losses]).to(self._rows) @ self._rows
        gradient = mean(
            self._gradient(weighted(terms, weights), not last) for terms in self._each()
        )
        return self._average(gradient)

    @property
    def has_rows(self) -> bool:
        """True once somebody has asked for the gradient rows."""
        return self._rows is not None

    def residuals(self) -> dict[str, Tensor]:
        """Residual rows by term, where the objective offers them.

        Raises:
            UserError: the objective has no residuals.
        """
        return self._residuals

    @cached_property
    def _residuals(self) -> dict[str, Tensor]:
        if not isinstance(self.objective, Residuals):
            raise UserError(
                "this optimiser or balancer needs residual rows and the objective "
                f"{type(self.objective).__name__} has none; choose one that needs terms only"
            )
        every = [
            self._called(self.objective.residuals, number) for number in range(len(self.batches))
        ]
        return {name: torch.cat([rows[name] for rows in every]) for name in every[0]}

    def again(self, parameters: Mapping[str, Tensor]) -> "Step":
        """The same batches at other values of the trained parameters; the model is left alone.

        Args:
            parameters: values by name; parameters left out keep theirs.
        """
        moved = {**self.parameters, **parameters}
        leaves = {name: value.detach().requires_grad_() for name, value in moved.items()}
        return self._of(leaves, elsewhere=True)

    def fresh(self) -> "Step":
        """The same question with no answer yet: for parameters that were changed in place."""
        return self._of(self.parameters, self._elsewhere)

    def _of(self, parameters: Mapping[str, Tensor], elsewhere: bool) -> "Step":
        return Step(
            self.objective, self.model, self.batches, self.index, parameters,
            self._average, self._forward, elsewhere,
        )  # fmt: skip

    def release(self) -> None:
        """Let go of the graphs; losses and rows stay."""
        for name in ("terms", "_residuals"):
            self.__dict__.pop(name, None)

    def _each(self) -> Iterator[LossTerms]:
        """The terms of one batch after the other, one graph at a time; notes their mean values."""
        values = []
        alone = len(self.batches) == 1 or "terms" in self.__dict__
        for number in range(1 if alone else len(self.batches)):
            terms = self.terms if alone else self._evaluate(number)
            values.append(torch.stack([term.detach() for term in terms.values()]))
            self._names = tuple(terms)
            yield terms
        self._values = mean(values)

    def _evaluate(self, number: int) -> LossTerms:
        """The terms of batch `number`, in single precision at least."""
        terms = self._called(self.objective, number)
        for name, term in terms.items():
            if term.ndim != 0:
                raise UserError(
                    f"objective: expected scalar loss terms, "
                    f"got {name!r} of shape {list(term.shape)}"
                )
            if not term.requires_grad:
                raise UserError(
                    f"objective: the term {name!r} depends on no trained parameter; "
                    "drop it, or train a parameter that it sees (phases.*.trainable)"
                )
        return {
            name: term.float() if term.dtype.itemsize < 4 else term for name, term in terms.items()
        }

    def _called(self, function: Callable, number: int) -> dict[str, Tensor]:
        """`function(model, batch)` at this step's parameters."""
        with self._forward(number):
            if not self._elsewhere:
                return function(self.model, self.batches[number])
            values = {f"model.{name}": value for name, value in self.parameters.items()}
            return functional_call(Bound(function, self.model), values, (self.batches[number],))

    def _gradient(self, scalar: Tensor, keep: bool) -> Float[Tensor, " parameters"]:
        gradients = torch.autograd.grad(
            scalar, tuple(self.parameters.values()), retain_graph=keep, materialize_grads=True,
            allow_unused=True,
        )  # fmt: skip
        return torch.cat([gradient.reshape(-1) for gradient in gradients])


class Bound(nn.Module):
    """`function(model, batch)` as a module of the batch, so that parameters have names in it."""

    def __init__(self, function: Callable, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.__dict__["function"] = function  # an objective shall not be a submodule

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self.function(self.model, batch)


def unflatten(
    row: Float[Tensor, " parameters"], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A gradient row as one view per parameter."""
    pieces = row.split([parameter.numel() for parameter in parameters.values()])
    return {
        name: piece.view_as(parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }


def weighted(terms: LossTerms, weights: Mapping[str, Tensor]) -> Tensor:
    """L = Σ w_k L_k."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def mean(tensors: Iterable[Tensor]) -> Tensor:
    """The mean of tensors of one shape, holding two of them at a time."""
    count, total = 0, None
    for count, tensor in enumerate(tensors, 1):  # noqa: B007
        total = tensor if total is None else total + tensor
    return total if count == 1 else total / count


def refuse_nonfinite(step: Step, gradient: Tensor) -> None:
    """Refuse a step whose terms or gradient (row or rows) are NaN or infinite.

    Raises:
        Diverged: names the first term that is not finite; otherwise the first parameter.
    """
    values = torch.stack(tuple(step.losses.values()))
    if torch.isfinite(values).all() & torch.isfinite(gradient).all():
        return
    for name, value in step.losses.items():
        if not torch.isfinite(value):
            raise Diverged(f"the loss term {name!r} became {float(value)} at step {step.index}")
    row = gradient if gradient.ndim == 1 else gradient.sum(0)
    for name, piece in unflatten(row, step.parameters).items():
        if not torch.isfinite(piece).all():
            raise Diverged(
                f"the gradient by {name!r} became NaN or infinite at step {step.index}, "
                "though every loss term is finite"
            )

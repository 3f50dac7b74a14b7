"""One optimisation step as a lazy question-and-answer (`contracts.Step`)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from sciml.contracts import Diverged, GradientRows, Linearised, LossTerms, Signed, UserError
from sciml.training.refusals import refuse_nonfinite, require_residuals
from sciml.training.row_by_row import jacobian
from sciml.training.vectors import columns, joined, mean, weighted


def needs_rows_every_step(rule: Any) -> bool:
    """Whether a balancing rule asks for the gradients by all parameters at every step."""
    whole = getattr(rule, "within", None) is None
    return getattr(rule, "needs", "") == "rows" and getattr(rule, "every", 1) == 1 and whole


@final
class Step:
    """Terms, gradient rows and residual rows of one step's batches, each computed at most once.

    Args:
        batches: one, or the several whose mean is the step (accumulation).
        index: optimiser steps taken before this one, over all phases.
        parameters: the trained parameters by name; their order is the order of a gradient row.
        average: mean over ranks; the identity on one process.
        forward: context of the forward pass of batch number n (random seed, bf16).
        elsewhere: the parameters are other values than the model's own (`again`).
        together: gradient rows are asked for at every step, so terms and rows come from one call
            of the objective where it offers that (`contracts.GradientRows`).
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
        together: bool = False,
    ) -> None:
        self.objective, self.model, self.batches = objective, model, tuple(batches)
        self.index, self.parameters = index, parameters
        self._average, self._forward, self._elsewhere = average, forward, elsewhere
        self._together = together and isinstance(objective, GradientRows)
        self._names: tuple[str, ...] = ()
        self._values: Tensor | None = None
        self._rows: dict[tuple[str, ...], Tensor] = {}
        self._linearised: dict[str, tuple[Tensor, Tensor]] | None = None
        self._seen: dict[int, Tensor] = {}

    @cached_property
    def terms(self) -> LossTerms:
        """The loss terms of this rank, differentiable; holds the graphs of all batches."""
        every = [self._evaluate(number) for number in range(len(self.batches))]
        return {name: mean(terms[name] for terms in every) for name in every[0]}

    @cached_property
    def losses(self) -> LossTerms:
        """The terms, detached and averaged over ranks: equal on every rank."""
        if self._values is None and self._known_residuals():
            squares = {n: r.detach().square().mean() for n, r in self._known_residuals().items()}
            self._names, self._values = tuple(squares), torch.stack(tuple(squares.values()))
        elif self._values is None and self._together:
            self.rows()
        elif self._values is None:
            for _ in self._each():
                pass
        return dict(zip(self._names, self._average(self._values).unbind(), strict=True))

    def rows(self, within: Collection[str] | None = None) -> Float[Tensor, "terms parameters"]:
        """Gradients of the terms, averaged over ranks; K backward passes, once.

        Where the Jacobian of the residuals is known they come from it: g_k = (2/n) J_kᵀ r_k.

        Args:
            within: names of the parameters whose columns are wanted, such as those of the last
                shared layer; all of them where None.

        Raises:
            Diverged: a term or its gradient is not finite; no balancing rule has to meet one.
        """
        every = tuple(self.parameters)
        key = every if within is None else tuple(name for name in every if name in within)
        if key not in self._rows:
            if self._together and key != every:
                self.rows()  # one program makes all of them for less than a pass per term
            if every in self._rows:
                return torch.cat(
                    [self._rows[every][:, cut] for cut in columns(self.parameters, key)], dim=1
                )
            self._rows[key] = self._average(self._gradient_rows(key))
            refuse_nonfinite(self, self._rows[key], key)
        return self._rows[key]

    def _gradient_rows(self, key: tuple[str, ...]) -> Tensor:
        if self._linearised is not None:
            found = torch.stack([2 / len(r) * (r @ j) for r, j in self._linearised.values()])
            return torch.cat([found[:, cut] for cut in columns(self.parameters, key)], dim=1)
        if self._together and key == tuple(self.parameters) and "terms" not in self.__dict__:
            found = [self._terms_and_rows(number) for number in range(len(self.batches))]
            self._values = mean(values for values, _ in found)
            return mean(rows for _, rows in found)
        wanted = [self.parameters[name] for name in key]
        return mean(
            torch.stack([self._gradient(term, True, wanted) for term in terms.values()])
            for terms in self._each()
        )

    def _terms_and_rows(self, number: int) -> tuple[Tensor, Tensor]:
        with self._forward(number):
            values, rows = self.objective.rows(self.model, self.batches[number], self.parameters)
        self._names = tuple(self.objective.terms)
        return values, rows

    def row(self, name: str, number: int) -> Float[Tensor, " parameters"]:
        """The gradient of one term on one of the step's batches, averaged over ranks.

        What is found of the losses on the way is kept, so that they cost nothing once every batch
        has been asked.
        """
        terms = self._evaluate(number)
        self._seen[number] = torch.stack([term.detach() for term in terms.values()])
        if len(self._seen) == len(self.batches):
            self._names, self._values = tuple(terms), mean(self._seen.values())
        return self._average(self._gradient(terms[name], False))

    def gradient(
        self, weights: Mapping[str, Tensor], last: bool = False
    ) -> Float[Tensor, " parameters"]:
        """Σ w_k g_k, averaged over ranks: from the rows where they exist, else one backward pass.

        Args:
            weights: scalar by term.
            last: nobody asks for a derivative afterwards, so memory is freed on the way.
        """
        if self.has_rows or self.has_jacobian:
            rows = self.rows()
            return torch.stack([weights[name] for name in self.losses]).to(rows) @ rows
        gradient = mean(
            self._gradient(weighted(terms, weights), not last) for terms in self._each()
        )
        return self._average(gradient)

    def backward(self, weights: Mapping[str, Tensor]) -> None:
        """Adds Σ w_k ∂L_k/∂θ to `.grad`, by backward passes whose hooks average over ranks."""
        for terms in self._each():
            (weighted(terms, weights) / len(self.batches)).backward()

    def average(self, tensor: Tensor) -> Tensor:
        """The mean over ranks of what was found on this one."""
        return self._average(tensor)

    @property
    def has_rows(self) -> bool:
        """True once somebody has asked for the gradient rows by all parameters."""
        return tuple(self.parameters) in self._rows

    def residuals(self) -> dict[str, Tensor]:
        """Residual rows by term, where the objective offers them.

        Raises:
            UserError: the objective has no residuals.
        """
        return self._residuals

    @cached_property
    def _residuals(self) -> dict[str, Tensor]:
        require_residuals(self.objective)
        every = [
            self._called(self.objective.residuals, number) for number in range(len(self.batches))
        ]
        return {name: torch.cat([rows[name] for rows in every]) for name in every[0]}

    def signs(self, seed: int) -> dict[str, Tensor] | None:
        """Random signs of the residual rows that ranks agree on (`contracts.Signed`)."""
        if not isinstance(self.objective, Signed):
            return None
        every = [self.objective.signs(batch, seed + n) for n, batch in enumerate(self.batches)]
        return {name: torch.cat([signs[name] for signs in every]) for name in every[0]}

    def _known_residuals(self) -> dict[str, Tensor]:
        """Residual rows that somebody has asked for already; empty where nobody has."""
        if self._linearised is not None:
            return {name: r for name, (r, _) in self._linearised.items()}
        return self.__dict__.get("_residuals", {})

    def linearised(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Residual rows `[n]` and their Jacobian `[n, P]` by term, of this rank, detached.

        From the objective where it offers that, else one backward pass per row.

        Raises:
            UserError: the objective has no residuals.
            Diverged: one of them is not finite.
        """
        if self._linearised is None:
            every = [self._linearise(number) for number in range(len(self.batches))]
            self._linearised = every[0] if len(every) == 1 else joined(every)
            for name, parts in self._linearised.items():
                if not all(torch.isfinite(part.sum()) for part in parts):
                    raise Diverged(
                        f"the residual or Jacobian of {name!r} became NaN or infinite "
                        f"at step {self.index}"
                    )
        return self._linearised

    def jacobian(self) -> dict[str, Tensor]:
        """The Jacobian `[n, P]` of the residual rows by term."""
        return {name: j for name, (_, j) in self.linearised().items()}

    @property
    def has_jacobian(self) -> bool:
        """True once somebody has asked for the Jacobian."""
        return self._linearised is not None

    def _linearise(self, number: int) -> dict[str, tuple[Tensor, Tensor]]:
        if isinstance(self.objective, Linearised):
            with self._forward(number):
                return self.objective.linearised(self.model, self.batches[number], self.parameters)
        require_residuals(self.objective)
        rows = self._called(self.objective.residuals, number)
        return {
            name: (r.detach(), jacobian(r, tuple(self.parameters.values())))
            for name, r in rows.items()
        }

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
            self._average, self._forward, elsewhere, self._together,
        )  # fmt: skip

    def release(self) -> None:
        """Let go of the graphs and the Jacobian; losses and rows stay."""
        if self._linearised is not None:
            _ = self.losses
            self._linearised = None
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

    def _gradient(
        self, scalar: Tensor, keep: bool, wanted: Sequence[Tensor] | None = None
    ) -> Float[Tensor, " parameters"]:
        gradients = torch.autograd.grad(
            scalar, tuple(self.parameters.values()) if wanted is None else wanted,
            retain_graph=keep, materialize_grads=True, allow_unused=True,
        )  # fmt: skip
        return torch.cat([gradient.reshape(-1) for gradient in gradients])


@final
class Bound(nn.Module):
    """`function(model, batch)` as a module of the batch, so that parameters have names in it."""

    def __init__(self, function: Callable, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.__dict__["function"] = function  # an objective shall not be a submodule

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self.function(self.model, batch)

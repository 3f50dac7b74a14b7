"""SAMO: sharpness-aware gradients for any other rule: each term's where that term is worst."""

from collections.abc import Callable, Collection
from typing import final

import torch
from torch import Tensor, nn

from sciml.balance.base import combined, require
from sciml.balance.layers import cuts
from sciml.contracts import Direction, Step, UserError, Weights


@final
class SAMO(nn.Module):
    """Hands another rule the gradients g_k(θ + ρ e_k/|e_k|), which a flat minimum leaves alone.

        e_k = (1 − β) g + β |g| g_k/|g_k|  layer by layer,    g = mean_k g_k

    The source estimates g_k in e_k by two evaluations each, as its networks are large; here the
    rows themselves are taken.

    Args:
        inner: the rule that weighs the terms, by gradient rows or losses alone; its answer becomes
            a direction.
        rho: radius ρ > 0 in the space of all trained parameters.
        beta: share of the term's own gradient, in [0, 1]; 0 is plain sharpness-aware minimisation.

    Raises:
        UserError: an argument outside its range, an inner rule that finds gradients or residuals
            itself: it would not see the ones uphill.

    Source: SAMO, sharpness-aware multi-task optimisation, ICCV 2025, by the authors' code; ρ of
    P. Foret et al., "Sharpness-Aware Minimization", ICLR 2021.
    Cost: the rows, and K evaluations of all terms with one backward pass each.
    """

    needs = "rows"

    def __init__(
        self, inner: Callable[[Step], Weights | Direction], rho: float = 0.05, beta: float = 0.5
    ) -> None:
        super().__init__()
        if not isinstance(inner, nn.Module):
            raise UserError(f"balancer.inner: expected a balancer, got {inner!r}")
        if not sees_rows_alone(inner):
            raise UserError(
                "balancer.inner: expected a rule that looks at gradient rows or losses alone, got "
                f"{type(inner).__name__}; set stochastic=false, or choose mgda or fixed"
            )
        require("rho", rho, above=0)
        require("beta", beta, least=0, most=1)
        self.inner, self.rho, self.beta = inner, rho, beta

    def forward(self, step: Step) -> Direction:
        rows, names = step.rows(), list(step.losses)
        layers = cuts(step.parameters, matrices_only=False)
        mean = rows.mean(0)
        found = []
        for name, row in zip(names, rows, strict=True):
            there = step.again(moved(step, self._shift(mean, row, layers)))
            only = {k: torch.ones_like(v) * (k == name) for k, v in step.losses.items()}
            found.append(there.gradient(only, last=True))
        sharp = torch.stack(found)
        answer = self.inner(WithRows(step, sharp))
        if isinstance(answer, Direction):
            return answer
        return Direction(combined(sharp, answer))

    def _shift(self, mean: Tensor, row: Tensor, layers: list[list[slice]]) -> Tensor:
        shift = torch.zeros_like(row)
        for layer in layers:
            own = torch.cat([row[cut] for cut in layer]).norm()
            all_ = torch.cat([mean[cut] for cut in layer]).norm()
            scale = torch.where(own > 0, all_ / own, torch.zeros_like(own))
            for cut in layer:
                shift[cut] = (1 - self.beta) * mean[cut] + self.beta * scale * row[cut]
        norm = shift.norm()
        return torch.where(norm > 0, self.rho / norm, torch.zeros_like(norm)) * shift


def sees_rows_alone(rule: nn.Module) -> bool:
    """False for a rule that asks a step for residuals, for single batches or for other places."""
    itself = isinstance(rule, SAMO) or getattr(rule, "stochastic", False)
    return not itself and getattr(rule, "needs", "rows") in ("rows", "losses")


@final
class WithRows:
    """Losses of a step beside other gradient rows than its own, and nothing that would pass these
    by.
    """

    def __init__(self, step: Step, rows: Tensor) -> None:
        self.index, self.parameters, self.losses = step.index, step.parameters, step.losses
        self._rows = rows

    def rows(self, within: Collection[str] | None = None) -> Tensor:
        """The rows given, or their columns by the parameters named."""
        if within is None:
            return self._rows
        sizes = [parameter.numel() for parameter in self.parameters.values()]
        pieces = dict(zip(self.parameters, self._rows.split(sizes, dim=1), strict=True))
        return torch.cat([piece for name, piece in pieces.items() if name in within], dim=1)


def moved(step: Step, shift: Tensor) -> dict[str, Tensor]:
    """θ + shift by parameter name."""
    pieces = shift.split([parameter.numel() for parameter in step.parameters.values()])
    return {
        name: parameter.detach() + piece.view_as(parameter)
        for (name, parameter), piece in zip(step.parameters.items(), pieces, strict=True)
    }

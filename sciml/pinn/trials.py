"""A trial of a network: fitted to one set of points, judged at another (see `placement`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.pinn.points import Collocation

#: Relative disagreement of residuals with their linearisation up to which equations are linear.
LINEAR = 1e-6
#: ε of the steps before the last.
SHRINKAGE = 1e-6
#: A choice has to have so small a part of the other's held-out residual, squared, to be better.
MARGIN = 0.9


@final
@dataclass(frozen=True)
class Outcome:
    """What a trial found, equal on all ranks.

    Args:
        squares: `[K]`, mean squares of the held-out rows by term.
        sizes: `[K]`, t_k, mean squares of the rows of the Jacobian.
    """

    squares: Tensor
    sizes: Tensor

    def beats(self, other: "Outcome") -> bool:
        ours, theirs = ((each.squares / other.sizes).sum() for each in (self, other))
        return bool(torch.isfinite(ours)) and not bool(ours >= MARGIN * theirs)


@final
class Trial:
    """Gauss–Newton from the same start, as often as it is called, whatever the network has become.

    Args:
        model: float64; what it has trained is overwritten.
        objective: `contracts.Linearised` and `contracts.Residuals`.
        steps: where the equations are not linear.
        average: mean over ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Any,
        fit: Collocation,
        held_out: Collocation,
        steps: int,
        average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        self.model, self.objective, self.average = model, objective, average
        self.fit, self.held_out, self.steps = fit, held_out, steps
        self.trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.start = [value.detach().clone() for value in self.trained.values()]
        self._linear: bool | None = None

    def __call__(self) -> Outcome:
        """Fit and judge; the fitted values stay in the network."""
        for value, start in zip(self.trained.values(), self.start, strict=True):
            value.data.copy_(start)
        for left in range(0 if self._linear else self.steps - 1, -1, -1):
            sizes = self._step(rough=left > 0 and self._linear is not None)
            if self._linear:
                break
        rows = self.objective.residuals(self.model, self.held_out)
        squares = torch.stack([r.detach().square().mean() for r in rows.values()])
        return Outcome(*self.average(torch.stack([squares, sizes])))

    def _step(self, rough: bool) -> Tensor:
        """One step of Gauss–Newton for the new values themselves; returns t_k.

        The first step of all finds out whether more are needed.
        """
        found = self.objective.linearised(self.model, self.fit, self.trained)
        sizes = torch.stack([j.square().sum() / len(j) for _, j in found.values()])
        sizes = torch.where(sizes > 0, sizes, 1.0)  # a term that sees nothing of what is trained
        scale = [1 / (t * len(j)) ** 0.5 for t, (_, j) in zip(sizes, found.values(), strict=True)]
        matrix = torch.cat([s * j for s, (_, j) in zip(scale, found.values(), strict=True)])
        rows = torch.cat([s * r for s, (r, _) in zip(scale, found.values(), strict=True)])
        old = torch.cat([value.detach().flatten() for value in self.trained.values()])
        new = (shrunk if rough else exact)(matrix, matrix @ old - rows)
        self._write(new)
        if self._linear is None:
            self._linear = self._agrees(rows + matrix @ (new - old), scale, rows.norm())
        return sizes

    def _write(self, values: Tensor) -> None:
        pieces = values.split([value.numel() for value in self.trained.values()])
        for value, piece in zip(self.trained.values(), pieces, strict=True):
            value.data.copy_(piece.view_as(value))

    def _agrees(self, predicted: Tensor, scale: list[Tensor], size: Tensor) -> bool:
        """True, on every rank, where the rows have become what their linearisation says."""
        rows = self.objective.residuals(self.model, self.fit).values()
        actual = torch.cat([s * r.detach() for s, r in zip(scale, rows, strict=True)])
        wrong = (actual - predicted).norm() / size
        return bool(self.average(wrong) <= LINEAR)


def exact(matrix: Tensor, right: Tensor) -> Tensor:
    """argmin |A θ − v|² by Householder QR; the shortest where A is deficient to the last digit."""
    try:
        return torch.linalg.lstsq(matrix, right[:, None], driver="gels").solution[:, 0]
    except torch.linalg.LinAlgError:
        return torch.linalg.lstsq(matrix, right[:, None], driver="gelsd").solution[:, 0]


def shrunk(matrix: Tensor, right: Tensor) -> Tensor:
    """argmin |A θ − v|² + (ε c)² |θ|², c the largest norm of a column, by Cholesky.

    On the way to a solution: what is not smooth yet would leave huge values behind.
    """
    gram = matrix.T @ matrix
    gram.diagonal().add_(SHRINKAGE**2 * gram.diagonal().max())
    return torch.cholesky_solve((right @ matrix)[:, None], torch.linalg.cholesky(gram))[:, 0]

"""GCond: conflicting gradients are settled pair by pair, the worst first, by an arbiter."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from sciml.balance.base import (
    NamedTensors,
    as_scalars,
    by_name,
    given_weights,
    require,
    require_terms,
    vector,
)
from sciml.balance.columns import rows_within
from sciml.contracts import Direction, Step, UserError, Weights

#: Shares of steadiness and of strength in the score of a gradient.
STEADY, STRONG = 0.8, 0.2
#: Scores this close are equal, and the first by name wins: rounding shall not be the arbiter.
TIE = 1e-6


@final
class GCond(nn.Module):
    """Gradient conductor: accumulation, arbitration, partial projection, momentum.

    G_k is the gradient of λ_k L_k, the mean over the step's micro-batches (`phase.accumulate`).
    While the least cosine c of a pair is below `weak`, at most 2K times:

    1. Arbitration. score_k = 0.8 max(0, cos(G_k, G_k of the last step)) + 0.2 n_k/(n_k + n_other)
       with n_k = |G_k| over its moving average; the higher score wins, but a term that has won
       `streak` times in a row loses.
    2. Angle. a = (π/2)(1 − (c − main)/(weak − main)) for c >= main, then
       π/2 + (π/2)((c − main)/(critical − main))² down to `critical`, and π below.
    3. Both are changed, from their old values:
       G_win  ← G_win  − sin(a)            ⟨G_win, G_lose⟩/|G_lose|² G_lose
       G_lose ← G_lose − sin(min(a, π/2)) ⟨G_win, G_lose⟩/|G_win|²  G_win

    The answer is the moving average of Σ G_k with `momentum`, corrected for its start; without
    momentum it is weights. What is remembered of the last step are the projected G_k.

    Args:
        weights: λ_k by term name, >= 0; 1 where none is given.
        weak, main, critical: cosines, 1 > weak > main > critical > −1.
        momentum: share of the past in the answer, in [0, 1).
        smoothing: share of the past in the average of |G_k|, in [0, 1).
        streak: wins in a row after which a term loses, >= 1.
        stochastic: micro-batch j goes to term j mod K alone, so that a step of K micro-batches
            costs K passes instead of K²; `phase.accumulate` must be K at least.
        within: the columns that are looked at, as for the other rules; only without momentum.

    Raises:
        UserError: an argument outside its range, a negative weight, too few micro-batches, `within`
            with momentum.

    Source: GCond, gradient conductor (2025), by the authors' code; its buffers, there of 8 bits of
    mantissa, have the type of the parameters here.
    Cost: K backward passes per micro-batch, one in stochastic mode; memory for K + 1 gradients.
    """

    needs = "rows"

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        weak: float = 0.0,
        main: float = -0.5,
        critical: float = -0.8,
        momentum: float = 0.85,
        smoothing: float = 0.95,
        streak: int = 3,
        stochastic: bool = False,
        within: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not 1 > weak > main > critical > -1:
            raise UserError(
                "balancer: expected 1 > weak > main > critical > -1, "
                f"got {weak}, {main}, {critical}"
            )
        require("momentum", momentum, least=0, below=1)
        require("smoothing", smoothing, least=0, below=1)
        require("streak", streak, least=1)
        if within is not None and (momentum > 0 or stochastic):
            raise UserError(
                "balancer: GCond with within answers with weights; set momentum=0, stochastic=false"
            )
        self.lambdas = given_weights(weights)
        self.weak, self.main, self.critical = weak, main, critical
        self.momentum, self.smoothing, self.streak = momentum, smoothing, streak
        self.stochastic, self.within = stochastic, within
        self.before, self.sizes, self.wins = NamedTensors(), NamedTensors(), NamedTensors()
        self.total = NamedTensors()

    def forward(self, step: Step) -> Weights | Direction:
        rows = one_each(step) if self.stochastic else rows_within(step, self.within)
        names, losses = list(step.losses), step.losses
        require_terms(self.lambdas, names, "weights")
        lambdas = vector(as_scalars(self.lambdas, losses)).to(rows)
        rows = lambdas[:, None] * rows
        mixing = torch.from_numpy(self._settle(names, rows)).to(rows)
        settled = mixing @ rows
        self.before.put_all(names, settled)
        if self.momentum == 0:
            return by_name(names, mixing.sum(0) * lambdas, losses)
        return Direction(self._averaged(settled.sum(0)))

    def _averaged(self, new: Tensor) -> Tensor:
        fresh = "sum" not in self.total or self.total.get("sum", new).shape != new.shape
        count = self.total.get("count", new.new_zeros(())) * (not fresh) + 1
        old = self.total.get("sum", torch.zeros_like(new))
        total = self.momentum * old + (1 - self.momentum) * new
        self.total.put("sum", total)
        self.total.put("count", count)
        return total / (1 - self.momentum**count)

    def _settle(self, names: list[str], rows: Tensor) -> np.ndarray:
        """The settled gradients as combinations `[K, K]` of the rows."""
        before = self.before.stacked(names, torch.zeros_like(rows))
        norms = rows.norm(dim=1)
        sizes = self.sizes.stacked(names, norms)
        sizes = self.smoothing * sizes + (1 - self.smoothing) * norms
        wins = self.wins.stacked(names, torch.zeros_like(norms)).tolist()
        self.sizes.put_all(names, sizes)
        double, usual = rows.double(), sizes.tolist()
        gram, memory = (double @ double.T).cpu().numpy(), (rows @ before.T).cpu().numpy()
        past = before.norm(dim=1).tolist()
        pairs = pairs_by_name(names)
        mixing = np.eye(len(names))
        for _ in range(2 * len(names) if pairs else 0):
            inner = mixing @ gram @ mixing.T
            size = np.sqrt(np.maximum(inner.diagonal(), 0)).tolist()
            product = inner.tolist()
            cosines = [  # a gradient that vanishes agrees with every other one
                product[i][j] / (size[i] * size[j]) if size[i] * size[j] > 0 else 1.0
                for i, j in pairs
            ]
            cosine = min(cosines)
            if cosine >= self.weak - TIE:
                break
            one, other = pairs[cosines.index(cosine)]
            strength = {k: quotient(size[k], usual[k]) for k in (one, other)}
            score = {
                k: STEADY * max(0.0, quotient(float(mixing[k] @ memory[:, k]), size[k] * past[k]))
                + STRONG * quotient(strength[k], strength[one] + strength[other])
                for k in (one, other)
            }
            ahead = score[one] >= score[other] - TIE
            winner, loser = (one, other) if ahead else (other, one)
            if wins[winner] >= self.streak:
                winner, loser = loser, winner
            wins[winner], wins[loser] = wins[winner] + 1, 0.0
            mixing = parted(mixing, inner, winner, loser, self._angle(cosine))
        self.wins.put_all(names, torch.tensor(wins).to(norms))
        return mixing

    def _angle(self, cosine: float) -> float:
        if cosine >= self.main:
            return math.pi / 2 * (1 - (cosine - self.main) / (self.weak - self.main))
        depth = (cosine - self.main) / (self.critical - self.main)
        return math.pi / 2 * (1 + min(depth, 1.0) ** 2)


def one_each(step: Step) -> Tensor:
    """Rows of which each has seen its own micro-batches alone: batch j is that of term j mod K.

    Raises:
        UserError: there are fewer batches than terms.
    """
    names, batches = list(step.objective.terms), len(step.batches)
    if batches < len(names):
        raise UserError(
            f"balancer: GCond in stochastic mode gives each micro-batch to one of {len(names)} "
            f"terms, got {batches}; set accumulate={len(names)} in the phase, or stochastic=false"
        )
    return torch.stack(
        [
            torch.stack([step.row(name, j) for j in range(place, batches, len(names))]).mean(0)
            for place, name in enumerate(names)
        ]
    )


def pairs_by_name(names: list[str]) -> list[tuple[int, int]]:
    """Places of every pair of terms, sorted by name, so that their order does not matter."""
    places = sorted(range(len(names)), key=names.__getitem__)
    return [(i, j) for n, i in enumerate(places) for j in places[n + 1 :]]


def parted(
    mixing: np.ndarray, inner: np.ndarray, winner: int, loser: int, angle: float
) -> np.ndarray:
    """The combinations after a partial projection of winner and loser on one another."""
    new, product = mixing.copy(), inner[winner, loser]
    new[winner] -= math.sin(angle) * product / inner[loser, loser] * mixing[loser]
    new[loser] -= (
        math.sin(min(angle, math.pi / 2)) * product / inner[winner, winner] * mixing[winner]
    )
    return new


def quotient(a: float, b: float) -> float:
    """a/b, 0 where b is 0."""
    return a / b if b > 0 else 0.0

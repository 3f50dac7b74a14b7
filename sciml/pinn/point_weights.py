"""Weights of the equations' points that follow the residuals: attention and causality.

A rule is asked once a training step, before it, at that step's points and network, and its answer
holds for all that the step does: terms, gradient rows, least squares, line searches. It is a
module `({equation: r [n]}, x [n, d]) -> {equation: w [n]}` on the points of all ranks, so that its
buffers are equal on every rank; L = mean(w r²). Validation sees no such weights.

Each class is a factory for `system.assemble` once its own settings are given:
`partial(RBA, gamma=0.999)`, called with the problem and the data.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from sciml.contracts import UserError
from sciml.pinn.problem import RESIDUAL, Problem

if TYPE_CHECKING:
    from sciml.pinn.data import CollocationData


class PointWeights(Protocol):
    """Residuals of all points by equation, and the points → weights by equation."""

    def __call__(self, rows: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]: ...


def gathered(
    here: Tensor, first: int, total: int, add_over_ranks: Callable[[Tensor], Tensor]
) -> Tensor:
    """`[total, m]`: the rows `[n, m]` of all ranks in the order of the set.

    Args:
        first: where the rows of this rank begin.
        total: of the rows of all ranks.
    """
    if len(here) == total:
        return here
    everywhere = here.new_zeros(total, here.shape[1])
    everywhere[first : first + len(here)] = here
    return add_over_ranks(everywhere)


def _expect_share(rule: str, name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{rule}: expected 0 <= {name} < 1, got {value!r}")


def _expect_positive(rule: str, name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UserError(f"{rule}: expected a finite {name} > 0, got {value!r}")


@final
class RBA(nn.Module):
    """Residual-based attention: points whose residual stays large weigh more.

        λ_i ← γ λ_i + η |r_i| / max_j |r_j|        w_i = λ_i²

    λ lies below η / (1 − γ), 10 by default. It belongs to its point: one set of points for good.

    Args:
        gamma: what is kept of λ per step, in [0, 1).
        eta: what is added at the largest residual, > 0.
        start: λ at first, >= 0 (0.1 in the authors' later code; with 0 the first steps weigh
            nothing but the conditions).

    Source: Anagnostopoulos, Toscano, Stergiopulos, Karniadakis, Computer Methods in Applied
    Mechanics and Engineering 421 (2024) 116805: there L = mean((λ r)²).
    """

    #: Its state moves on at every batch.
    remembers = True

    def __init__(
        self,
        problem: Problem,
        data: "CollocationData",
        gamma: float = 0.999,
        eta: float = 0.01,
        start: float = 0.1,
    ) -> None:
        super().__init__()
        _expect_share("rba", "gamma", gamma)
        _expect_positive("rba", "eta", eta)
        if not data.fixed:
            raise UserError(
                "rba: expected one set of points for good, got points that are drawn anew; "
                "set sampling=fixed, or point_weights=vrba"
            )
        self.gamma, self.eta = gamma, eta
        self.names = {name: f"lambda_{name}" for name in problem.equation_names}
        for buffer in self.names.values():
            self.register_buffer(buffer, torch.full((data.sizes[RESIDUAL],), float(start)))

    def forward(self, rows: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        weights = {}
        for name, buffer in self.names.items():
            size = rows[name].abs()
            multiplier = getattr(self, buffer)
            multiplier.mul_(self.gamma).add_(self.eta * relative(size, size.max()))
            weights[name] = multiplier.square()
        return weights


def relative(size: Tensor, largest: Tensor) -> Tensor:
    """|r| / max |r| in [0, 1]; zero where all residuals are."""
    return size / largest.clamp_min(torch.finfo(size.dtype).tiny)


def quadratic(size: Tensor, largest: Tensor, updates: int) -> Tensor:
    """Φ = r²/2: Φ' ∝ |r|, the attention of `RBA`; it reduces the variance of the mean square."""
    return relative(size, largest)


def exponential(size: Tensor, largest: Tensor, updates: int) -> Tensor:
    """Φ = exp(r/ε), ε = max |r| / log(k + 2) at update k: leans ever more to the largest |r|."""
    return torch.exp((relative(size, largest) - 1) * math.log(updates + 2))


@final
class VRBA(nn.Module):
    """Variational attention: weights from the slope of a convex potential Φ of the residual.

        q_i = Φ'(|r_i| / ε),   λ_i = φ q_i / max q + 1 − φ,   w_i = λ_i² / mean(λ²)

    A function of the present residuals, so the points may be new ones at any step. The largest
    residual is remembered, m ← max(max |r|, γ m), for a set of points may miss the peak.

    Args:
        potential: `exponential` (towards the least maximum error) or `quadratic` (least mean
            square error): `(|r| [n], largest, updates so far) -> Φ'/max Φ'`, in [0, 1].
        phi: 1 is full attention, 0 none.
        gamma: what is kept of the largest residual per step, in [0, 1).

    Source: Toscano, Chen, Oommen, Karniadakis, arXiv 2509.14198, whose λ_i are averages over the
    steps in which a point is seen; here each step starts anew.
    """

    #: Its state moves on at every batch.
    remembers = True

    def __init__(
        self,
        problem: Problem,
        data: "CollocationData",
        potential: Callable[[Tensor, Tensor, int], Tensor] = exponential,
        phi: float = 0.9,
        gamma: float = 0.9,
    ) -> None:
        super().__init__()
        _expect_share("vrba", "gamma", gamma)
        if not 0 <= phi <= 1:
            raise UserError(f"vrba: expected 0 <= phi <= 1, got {phi!r}")
        if not callable(potential):
            raise UserError(
                f"vrba: expected a function as potential, got {potential!r}; "
                "choose sciml.pinn.point_weights.exponential or quadratic"
            )
        self.potential, self.phi, self.gamma = potential, phi, gamma
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("largest", torch.zeros(len(problem.equation_names)))
        self.names = problem.equation_names

    def forward(self, rows: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        sizes = torch.stack([rows[name].abs() for name in self.names])
        self.largest.copy_(torch.maximum(sizes.amax(1), self.gamma * self.largest))
        weights, updates = {}, int(self.updates)
        for name, size, largest in zip(self.names, sizes, self.largest.to(sizes), strict=True):
            slope = self.potential(size, largest, updates)
            square = (self.phi * slope + 1 - self.phi).square()
            weights[name] = square / square.mean()
        self.updates += 1
        return weights


@final
class Causal(nn.Module):
    """Early times first: a chunk of time counts once all chunks before it are nearly solved.

        w_k = exp(−ε Σ_{l<k} L_l),   L_l = mean of r² in chunk l of M

    The points are sorted by time into M chunks of equally many; with several equations the least
    of their weights holds for all. `last` is the weight of the last chunk: near 1, all times are
    trained alike, and a larger ε may follow (phases.*.settings: {causal_tolerance: …}; the paper's
    ladder is 0.01, 0.1, 1, 10, 100, each until `last` exceeds 0.99).

    Args:
        tolerance: ε > 0, unless a phase sets another.
        chunks: M >= 2.

    Source: Wang, Sankaran, Perdikaris, Computer Methods in Applied Mechanics and Engineering 421
    (2024) 116813 (arXiv 2203.07404); the least over equations as in the authors' jaxpi.
    """

    def __init__(
        self, problem: Problem, data: "CollocationData", tolerance: float = 1.0, chunks: int = 32
    ) -> None:
        super().__init__()
        n = data.sizes[RESIDUAL]
        if "t" not in problem.coordinates:
            raise UserError(
                f"causal: expected a problem over time, got the coordinates {problem.coordinates}; "
                "set point_weights=none"
            )
        if isinstance(chunks, bool) or not isinstance(chunks, int) or not 2 <= chunks <= n:
            raise UserError(f"causal: expected 2 to {n} chunks of the {n} points, got {chunks!r}")
        self.own, self.chunks = tolerance, chunks
        self.column = problem.coordinates.index("t")
        self.configure(None)
        self.register_buffer("last", torch.zeros(()))

    def configure(self, causal_tolerance: float | None) -> None:
        """The tolerance of a phase, the rule's own where None."""
        self.tolerance = self.own if causal_tolerance is None else causal_tolerance
        _expect_positive("causal", "tolerance", self.tolerance)

    def criteria(self) -> dict[str, Tensor]:
        """The weight of the last chunk at the last step, 0 before the first."""
        return {"last_causal_weight": self.last}

    def forward(self, rows: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        order = x[:, self.column].argsort(stable=True)
        chunk = torch.empty_like(order)
        chunk[order] = torch.arange(len(order), device=x.device) * self.chunks // len(order)
        squares = torch.stack([row.square() for row in rows.values()])
        members = functional.one_hot(chunk, self.chunks).to(squares)
        losses = (squares @ members) / members.sum(0)
        before = functional.pad(losses.cumsum(1)[:, :-1], (1, 0))
        by_chunk = torch.exp(-self.tolerance * before).amin(0)
        self.last.copy_(by_chunk[-1])
        return dict.fromkeys(rows, by_chunk[chunk])

"""Rules for gradients that point against one another, each as weights from their Gram matrix.

Write g_k for the gradient of term k, K for the number of terms, d = Σ w_k g_k for the answer. A
conflict is ⟨g_i, g_j⟩ < 0. The arithmetic of all of them is on K×K numbers; what they cost is the
rows: K backward passes instead of one, of the last layer only with `within=last`.

`AlignedMTL`, `CAGrad`, `IMTLG` (and with it `ConFIG`) and the projection of `UPGrad` are torchjd's,
handed matrices scaled so that short gradients are not lost beside long ones. `MGDA`, `NashMTL` and
`PCGrad` are solved in `gramian.py`: exactly and without state or global randomness, where torchjd's
stop after 100 steps of Frank and Wolfe, lose the bargain among gradients of unlike size, and draw
from the global generator.

`within` of all of them: None for the gradients by all parameters, "last" for those of the last
layer, or patterns of parameter names.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from sciml.balance.base import NamedTensors, by_name, combined, require, seed_of, vector
from sciml.balance.columns import Within, rows_within
from sciml.balance.gramian import Rule, bargain, gramian, projected, shortest, units
from sciml.contracts import Step, UserError, Weights

#: Below it, with gradients of size 1, a direction is 0: no direction lowers every term.
SMALL = 1e-12


@final
class PCGrad(nn.Module):
    """Each g_i loses its part along every g_j that it conflicts with; then they are added.

        g_i ← g_i − min(0, ⟨g_i, g_j⟩) g_j/|g_j|²        for j ≠ i in random order

    The order depends on the step alone.

    Source: T. Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, Algorithm 1.
    Cost: K backward passes.
    """

    needs = "rows"

    def __init__(self, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within

    def forward(self, step: Step) -> Weights:
        order = np.random.default_rng(seed_of("PCGrad", step.index))
        return weigh(step, self.within, lambda gram: projected(gram, order))


@final
class MGDA(nn.Module):
    """The shortest convex combination: min |Σ w_k g_k| over w >= 0, Σ w_k = 1.

    −d lowers every term at the same rate, or d = 0: no direction lowers all.

    Source: J.-A. Désidéri, C. R. Acad. Sci. Paris 350 (2012) 313; O. Sener, V. Koltun, "Multi-Task
    Learning as Multi-Objective Optimization", NeurIPS 2018. Solved exactly, as non-negative least
    squares.
    Cost: K backward passes.
    """

    needs = "rows"

    def __init__(self, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, shortest)


@final
class IMTLG(nn.Module):
    """d has the same projection, above 0, on every g_k/|g_k|; |Σ w_k| = 1, |d| <= max_k |g_k|.

    The source divides by Σ w_k, which is the same where no weight is negative. Where some are, the
    sum may be negative, and −d would raise every term; or nearly 0, and d would have any length.

    Source: L. Liu et al., "Towards Impartial Multi-Task Learning", ICLR 2021; with a pseudo-inverse
    for dependent rows, as in torchjd.
    Cost: K backward passes.
    """

    needs = "rows"

    def __init__(self, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within
        self.rule = from_torchjd("IMTLGWeighting")

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, self._weights)

    def _weights(self, gram: Tensor) -> Tensor:
        cosines, inverse = units(gram)
        weights = self.rule(cosines) * inverse
        length = (weights @ gram @ weights).clamp_min(0).sqrt()
        size = torch.maximum(weights.sum().abs(), length / gram.diagonal().max().sqrt())
        return weights / size if size > SMALL else torch.zeros_like(weights)


@final
class ConFIG(nn.Module):
    """d makes the same angle, below 90°, with every g_k; |d| is the sum of their projections on it.

    Source: Q. Liu, M. Chu, N. Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed
    Neural Networks", ICLR 2025, eq. 2.
    Cost: K backward passes.
    """

    needs = "rows"

    def __init__(self, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within
        self.rule = from_torchjd("IMTLGWeighting")  # of unit rows: equal projections, equal angles

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, self._weights)

    def _weights(self, gram: Tensor) -> Tensor:
        cosines, inverse = units(gram)
        weights = self.rule(cosines) * inverse
        projections, square = gram.sum(1) @ weights, weights @ gram @ weights  # Σ ⟨g_k, d⟩, |d|²
        return weights * (projections / square) if square > SMALL else torch.zeros_like(weights)


@final
class AlignedMTL(nn.Module):
    """The rows are made orthogonal and equally long, then averaged: d = (1/K) Σ_k (σ U Vᵀ)_k.

    U Σ Vᵀ is the singular value decomposition of the rows, and σ the size given to all of them.

    Args:
        scale_mode: σ² is the least eigenvalue of G ("min"), their "median", or mean ("rmse").

    Source: D. Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR
    2023, Algorithm 1.
    Cost: K backward passes.
    """

    needs = "rows"

    def __init__(self, scale_mode: str = "min", within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        if scale_mode not in (known := ("min", "median", "rmse")):
            raise UserError(f"balancer: expected scale_mode in {known}, got {scale_mode!r}")
        self.within = within
        self.rule = from_torchjd("AlignedMTLWeighting", scale_mode=scale_mode)

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, self.rule)


@final
class UPGrad(nn.Module):
    """Each g_k is projected on the cone of directions that conflict with no row; their mean is d.

    Source: P. Quinton, V. Rey, "Jacobian Descent for Multi-Objective Optimization" (2024). The cone
    knows no lengths, so the quadratic programs are solved for rows of unit length.
    Cost: K backward passes, a quadratic program of size K for each gradient in conflict.
    """

    needs = "rows"

    def __init__(self, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within
        self.rule = from_torchjd("QuadprogProjector", reg_eps=1e-8)

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, self._weights)

    def _weights(self, gram: Tensor) -> Tensor:
        cosines, inverse = units(gram)
        chosen = torch.diag(gram.diagonal().sqrt() / len(gram))
        conflicting = (cosines < 0).any(1)
        if conflicting.any():  # the others lie in the cone
            chosen[conflicting] = self.rule(chosen[conflicting], cosines)
        return chosen.sum(0) * inverse


@final
class CAGrad(nn.Module):
    """The best d for the worst term near the mean g₀: max_d min_k ⟨g_k, d⟩ in |d − g₀| <= c |g₀|.

    Args:
        c: radius of the ball, >= 0; convergence to a minimum of the mean is proved for c < 1.

    Source: B. Liu et al., "Conflict-Averse Gradient Descent for Multi-Task Learning", NeurIPS 2021.
    Cost: K backward passes, one cone program of size K (about 5 ms).
    """

    needs = "rows"

    def __init__(self, c: float = 0.5, within: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.within = within
        self.rule = from_torchjd("CAGradWeighting", c=c, norm_eps=1e-10)

    def forward(self, step: Step) -> Weights:
        return weigh(step, self.within, self.rule)


@final
class NashMTL(nn.Module):
    """The Nash bargain of the terms: G α = 1/α with G scaled to norm 1; |d| <= max_norm when found.

    Where no direction lowers every term α would be infinite; a ridge of 1e-8 on the cosines bounds
    it, and d is nearly 0 there.

    Args:
        max_norm: largest |d| at an update; 0 for none. Between updates the weights stand, and |d|
            goes with the gradients: to know it there would cost the rows that `every` saves.
            `phases.*.clip` bounds every step.
        every: steps between updates, >= 1.

    Source: A. Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022, Algorithm 1. The
    equation is that of the minimum of the convex ½ αᵀ G α − Σ log α_k, found here by Newton's
    method from the same start at every step, where the source linearises a concave part.
    Cost: K backward passes, about ten solutions of K×K systems.
    """

    needs = "rows"

    def __init__(
        self,
        max_norm: float = 1.0,
        every: int = 1,
        within: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        require("max_norm", max_norm, least=0)
        require("every", every, least=1)
        self.max_norm, self.every, self.within = max_norm, every, within
        self.weights = NamedTensors()

    def forward(self, step: Step) -> Weights:
        if step.index % self.every == 0:
            found = weigh(step, self.within, bargain)
            self.weights.put_all(found, vector(found) * self._shortening(step, found))
        names, losses = list(step.losses), vector(step.losses)
        return by_name(names, self.weights.stacked(names, torch.ones_like(losses)), step.losses)

    def _shortening(self, step: Step, weights: Weights) -> float | Tensor:
        if self.max_norm == 0:
            return 1.0
        norm = combined(rows_within(step, self.within), weights).norm()
        return (self.max_norm / norm).clamp(max=1)


def weigh(step: Step, within: Within, rule: Rule) -> Weights:
    """The rule's weights for the terms of a step.

    The rule sees the terms sorted by name, so that their order does not matter to it, and a Gram
    matrix of trace 1, so that no threshold within it depends on how small the gradients have
    become. Where all gradients vanish the weights are 1.
    """
    rows = rows_within(step, within)
    names = list(step.losses)
    places = sorted(range(len(names)), key=names.__getitem__)
    gram = torch.from_numpy(gramian(rows).numpy()[np.ix_(places, places)])
    trace = float(gram.trace())
    weights = torch.ones_like(gram[0])
    if trace > 0:
        weights[places] = rule(gram / trace)
    return by_name(names, weights, step.losses)


def from_torchjd(name: str, **arguments: Any) -> Callable[..., Tensor]:
    """An aggregator or weighting of torchjd.

    Raises:
        UserError: torchjd or a solver that it needs is not installed, or an argument is wrong.
    """
    try:
        from torchjd import aggregation, linalg

        room = linalg if name.endswith("Projector") else aggregation
        return getattr(room, name)(**arguments)
    except ImportError as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(
            f"balancer: expected torchjd and its solvers for {name}, got {reason!r}; "
            "install them: pip install 'sciml-suite[balance]'"
        ) from error
    except ValueError as error:
        raise UserError(f"balancer: {error}") from error

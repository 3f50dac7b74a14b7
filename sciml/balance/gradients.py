"""Rules that read the gradient rows of the terms: annealing (Wang, Teng & Perdikaris).

Write g_k = ∂L_k/∂θ for the gradient of term k, λ_k for its weight and g_r for the gradient of the
residual. Annealing makes the gradient of every other term as large as that of the residual:

    λ̂_k = max_θ |g_r| / mean_θ |λ_k^s g_k|,     λ_k ← (1 − α) λ_k + α λ̂_k

with s = 0 in the paper and s = 1 in the released code, whose fixed point is λ = √(max/mean).

Source: S. Wang, Y. Teng, P. Perdikaris, "Understanding and mitigating gradient flow pathologies in
physics-informed neural networks", SIAM J. Sci. Comput. 43 (2021) A3055, Algorithm 1; and the code
that the authors released with it, which differs in the ways that the arguments below name.
"""

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import nn

from sciml.balance.base import NamedTensors, require_terms
from sciml.balance.columns import names_within, rows_within
from sciml.balance.layers import REDUCTIONS, cuts, magnitudes
from sciml.contracts import Step, UserError, Weights


@final
class Annealing(nn.Module):
    """Learning-rate annealing: brings every term's gradient to the size of the residual's.

    Args:
        numerator: the residual terms; their gradients are added, their weights stay 1.
        alpha: share of the *new* estimate in the moving average, in (0, 1]: 0.9 in the paper's
            text, 0.1 in the released code.
        every: steps between updates, >= 1.
        denominator: the gradient of L_k ("unweighted", the paper) or of λ_k L_k ("weighted", the
            code).
        reduce: "global" (the paper); "layer_mean" (the code on Helmholtz and Klein-Gordon);
            "layer_ratio_max" (the code on the cavity).
        params: "weights" looks at the weight matrices of the main stack alone, without biases and
            encoders (the code); "all" at every trained parameter (the paper).
        within: None for the gradients by all parameters, "last" for the last layer's, or patterns
            of names: cheaper for large networks.

    Raises:
        UserError: an argument outside its range; at the first step, a numerator that is no term.

    A term whose gradient vanishes keeps its weight. The released code takes the estimate after the
    optimiser's step on the same batch; here it is taken before a step on that step's batch.

    Cost: K backward passes instead of one, every `every` steps.
    """

    needs = "rows"

    def __init__(
        self,
        numerator: str | Sequence[str] = "residual",
        alpha: float = 0.1,
        every: int = 10,
        denominator: Literal["unweighted", "weighted"] = "unweighted",
        reduce: Literal["global", "layer_mean", "layer_ratio_max"] = "global",
        params: Literal["weights", "all"] = "all",
        within: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < alpha <= 1:
            raise UserError(f"expected 0 < alpha <= 1, got {alpha}")
        if every < 1:
            raise UserError(f"expected every >= 1, got {every}")
        for key, value, known in (
            ("denominator", denominator, ("unweighted", "weighted")),
            ("reduce", reduce, tuple(REDUCTIONS)),
            ("params", params, ("weights", "all")),
        ):
            if value not in known:
                raise UserError(f"expected {key} to be one of {known}, got {value!r}")
        self.numerator = (numerator,) if isinstance(numerator, str) else tuple(numerator)
        self.alpha, self.every = alpha, every
        self.denominator, self.reduce, self.params = denominator, reduce, params
        self.within = within
        self.weights = NamedTensors()

    def forward(self, step: Step) -> Weights:
        require_terms(self.numerator, step.losses, "equations (balancer.numerator)")
        if step.index % self.every == 0:
            self._update(step)
        return {
            name: self.weights.get(name, torch.ones_like(loss))
            for name, loss in step.losses.items()
        }

    def _update(self, step: Step) -> None:
        names = list(step.losses)
        if set(names) == set(self.numerator):
            return
        rows = dict(zip(names, rows_within(step, self.within), strict=True))
        seen = names_within(step.parameters, self.within) or list(step.parameters)
        layers = cuts({n: step.parameters[n] for n in seen}, self.params == "weights")
        residual = magnitudes(sum(rows[name] for name in self.numerator), layers)
        for name in names:
            if name in self.numerator:
                continue
            old = self.weights.get(name, torch.ones_like(step.losses[name]))
            scale = old if self.denominator == "weighted" else torch.ones_like(old)
            estimate = REDUCTIONS[self.reduce](residual, magnitudes(scale * rows[name], layers))
            new = (1 - self.alpha) * old + self.alpha * estimate
            self.weights.put(name, torch.where(torch.isfinite(new), new, old))

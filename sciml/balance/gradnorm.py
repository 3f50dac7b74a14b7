"""GradNorm: weights that bring the norms of the gradients to what the terms' progress asks for."""

from collections.abc import Sequence
from typing import final

import torch
from torch import nn

from sciml.balance.base import NamedTensors, by_name, require, vector
from sciml.balance.columns import rows_within
from sciml.balance.progress import balanced, ratio, tiny
from sciml.contracts import Step, Weights


@final
class GradNorm(nn.Module):
    """Weights w_k > 0 with Σ w_k = K that descend the distance of gradient norms to their targets.

        D(w) = Σ_k | w_k |g_k| − Ḡ r_k^α |,    Ḡ = mean_j w_j |g_j| held constant,
        r_k = (L_k/L_k(0)) / mean_j (L_j/L_j(0))

    The descent is in log w, on D/Ḡ, so that weights stay positive and a common scale of the terms
    does not matter (the source takes Adam in w, and clips):

        log w_k ← log w_k − η (w_k |g_k|/Ḡ) sign(w_k |g_k| − Ḡ r_k^α),    then w ← K w/Σ w

    Args:
        alpha: α >= 0; larger values push harder the terms that lag behind.
        lr: η > 0.
        every: steps between updates, >= 1.
        within: None for the gradients by all parameters, "last" for the last layer's (the source),
            or patterns of names.

    Source: Z. Chen, V. Badrinarayanan, C.-Y. Lee, A. Rabinovich, "GradNorm: Gradient Normalization
    for Adaptive Loss Balancing in Deep Multitask Networks", ICML 2018.
    Cost: K backward passes instead of one; with `within`, one and K short ones.
    """

    needs = "rows"

    def __init__(
        self,
        alpha: float = 1.5,
        lr: float = 0.025,
        every: int = 1,
        within: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        require("alpha", alpha, least=0)
        require("lr", lr, above=0)
        require("every", every, least=1)
        self.alpha, self.lr, self.every, self.within = alpha, lr, every, within
        self.first, self.weights = NamedTensors(), NamedTensors()

    def forward(self, step: Step) -> Weights:
        updates = step.index % self.every == 0
        norms = rows_within(step, self.within).norm(dim=1) if updates else None
        names, losses = list(step.losses), vector(step.losses)
        first = self.first.stacked(names, losses)
        self.first.put_all(names, first)
        weights = self.weights.stacked(names, torch.ones_like(losses))
        if updates:
            sizes = weights * norms.to(weights)
            mean = sizes.mean().clamp_min(tiny(sizes))
            progress = ratio(losses, first)
            progress = progress / progress.mean().clamp_min(tiny(progress))
            sign = torch.sign(sizes - mean * progress**self.alpha)
            weights = balanced(weights.log() - self.lr * sizes / mean * sign)
            self.weights.put_all(names, weights)
        return by_name(names, weights, step.losses)

"""SAM-GS: gradients of unlike size are made equal, gradients of like size follow their momentum."""

from typing import final

import torch
from torch import Tensor, nn

from sciml.balance.base import NamedTensors, require
from sciml.contracts import Direction, Step

#: Added to the mean dissimilarity at every step.
FLOOR = 1e-8


@final
class SAMGS(nn.Module):
    """Similarity-aware momentum gradient surgery; only sizes count, directions do not.

        S_ij = 2 |g_i| |g_j| / (|g_i|² + |g_j|²),    S = mean over pairs
        m_k ← β₁ m_k + (1 − β₁) g_k,    v ← β₂ v + (1 − β₂)(1 − S)² + 1e-8,    both corrected
        d = mean_j |g_j| Σ_k g_k/|g_k|                      where any S_ij < γ
        d = Σ_k min(|m_k|/√v, cap) g_k  by component        otherwise

    Where all sizes agree v is nearly 0, which is why the factor is capped. It carries the unit of
    a gradient, as the source has it: there the answer does not scale with the terms.

    Args:
        beta1, beta2: shares of the past, in [0, 1).
        gamma: γ, in [0, 1].
        cap: largest factor of a component, > 0.

    No `within`: the second form has a factor for each parameter.

    Source: T. Borsani et al., "Gradient Similarity Surgery in Multi-Task Deep Learning" (2025), by
    the authors' code.
    Cost: K backward passes; memory for K gradients.
    """

    needs = "rows"

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.9, gamma: float = 0.9, cap: float = 1.0
    ) -> None:
        super().__init__()
        require("beta1", beta1, least=0, below=1)
        require("beta2", beta2, least=0, below=1)
        require("gamma", gamma, least=0, most=1)
        require("cap", cap, above=0)
        self.beta1, self.beta2, self.gamma, self.cap = beta1, beta2, gamma, cap
        self.momenta, self.counts, self.shared = NamedTensors(), NamedTensors(), NamedTensors()

    def forward(self, step: Step) -> Direction:
        rows, names = step.rows(), list(step.losses)
        norms = rows.norm(dim=1)
        alike = similarities(norms)
        momenta = self.momenta.stacked(names, torch.zeros_like(rows))
        counts = self.counts.stacked(names, torch.zeros_like(norms)) + 1
        momenta = self.beta1 * momenta + (1 - self.beta1) * rows
        zero = torch.zeros_like(norms[0])
        count = self.shared.get("count", zero) + 1
        unlike = (1 - alike.mean()) ** 2 if len(alike) else zero
        v = self.beta2 * self.shared.get("v", zero) + (1 - self.beta2) * unlike + FLOOR
        self.momenta.put_all(names, momenta)
        self.counts.put_all(names, counts)
        self.shared.put("v", v)
        self.shared.put("count", count)
        if (alike < self.gamma).any():
            return Direction(norms.mean() * torch.nn.functional.normalize(rows, dim=1).sum(0))
        momenta = momenta / (1 - self.beta1**counts)[:, None]
        factor = momenta.abs() / (v / (1 - self.beta2**count)).sqrt()
        return Direction((factor.clamp(max=self.cap) * rows).sum(0))


def similarities(norms: Tensor) -> Tensor:
    """S_ij of every pair i < j; 1 for two gradients that vanish."""
    i, j = torch.triu_indices(len(norms), len(norms), offset=1)
    product, squares = 2 * norms[i] * norms[j], norms[i] ** 2 + norms[j] ** 2
    return torch.where(squares > 0, product / squares, torch.ones_like(squares))

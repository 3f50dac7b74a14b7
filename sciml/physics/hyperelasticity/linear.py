"""Linear elasticity: Hooke's law for small strains.

    ψ = μ ε:ε + λ/2 (tr ε)²      P = 2μ ε + λ tr ε I      ε = ½ (H + Hᵀ),  H = F - I

Valid for strains and rotations well below 1: a rigid rotation is not free of stress.

Source: L. D. Landau, E. M. Lifshitz, Theory of Elasticity, 3rd ed. (1986), § 4.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.physics.hyperelasticity.tangent import Along


@final
@dataclass(frozen=True)
class Linear:
    """Hooke's law.

    Args:
        mu, lam: Lamé's constants, Pa; they broadcast against the leading axes of F.
    """

    mu: Tensor
    lam: Tensor

    def energy(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        """ψ, J m⁻³."""
        eps, trace = _strain(F)
        return self.mu * (eps * eps).sum((-2, -1)) + self.lam / 2 * trace**2

    def stress(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        """P, Pa."""
        eps, trace = _strain(F)
        identity = torch.eye(3, dtype=F.dtype, device=F.device)
        return (2 * self.mu)[..., None, None] * eps + (self.lam * trace)[..., None, None] * identity

    def energy_and_stress(
        self, F: Float[Tensor, "*n 3 3"]
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3 3"]]:
        """ψ and P."""
        return self.energy(F), self.stress(F)

    def tangent(self, F: Float[Tensor, "*n 3 3"], scale: Tensor) -> "LinearTangent":
        """A times `scale` (the quadrature's weight, say), Pa times its unit."""
        return LinearTangent((self.mu * scale).expand(F.shape[:-2]), self.lam * scale)


@final
@dataclass(frozen=True)
class LinearTangent:
    """A of Hooke's law, the same for every F, contracted with pairs of referential vectors."""

    mu: Tensor
    lam: Tensor

    def along(self, a: Float[Tensor, "*k 3"]) -> Along:
        a = a.movedim(-1, 0)
        return Along(a, a, a, a)

    def acoustic(self, a: Along, b: Along) -> Float[Tensor, "*k 3 3"]:
        """μ (a·b I + b⊗a) + λ a⊗b, axes [i, k]."""
        found = (self.lam * a.X)[:, None] * b.X[None] + (self.mu * b.X)[:, None] * a.X[None]
        isotropic = self.mu * (a.X * b.X).sum(0)
        for i in range(3):
            found[i, i] += isotropic
        return found.movedim((0, 1), (-2, -1))


def _strain(F: Tensor) -> tuple[Tensor, Tensor]:
    H = F - torch.eye(3, dtype=F.dtype, device=F.device)
    return (H + H.mT) / 2, H.diagonal(dim1=-2, dim2=-1).sum(-1)

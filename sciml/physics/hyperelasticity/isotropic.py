"""An isotropic solid from its strain-energy function W(I1, I2, J).

    ψ = W      P = W_1 2F + W_2 2(I1 F - F C) + W_J cof F

with I1 F - F C = ½ ∂I2/∂F. Sources: see the package.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol, final, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sciml.physics.hyperelasticity.invariants import Invariants, cofactor, invariants
from sciml.physics.hyperelasticity.tangent import Curvatures, IsotropicTangent


@runtime_checkable
class StrainEnergy(Protocol):
    """W(I1, I2, J) with its derivatives; W(3, 3, 1) = 0 and no stress there."""

    def energy(self, at: Invariants) -> Tensor: ...

    def slopes(self, at: Invariants) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """W_1, W_2, W_J; None for those that vanish identically."""

    def curvatures(self, at: Invariants) -> Curvatures: ...


@final
@dataclass(frozen=True)
class Isotropic:
    """The solid with the strain-energy function `W`."""

    W: StrainEnergy

    def energy(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        """ψ, J m⁻³."""
        return self.W.energy(invariants(F, cofactor(F)))

    def stress(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        """P, Pa."""
        cof = cofactor(F)
        return self._stress(F, cof, invariants(F, cof))

    def energy_and_stress(
        self, F: Float[Tensor, "*n 3 3"]
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3 3"]]:
        """ψ and P at the price of little more than one of them."""
        cof = cofactor(F)
        at = invariants(F, cof)
        return self.W.energy(at), self._stress(F, cof, at)

    def work(self, F: Float[Tensor, "*n 3 3"], H: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        """P:H, J m⁻³; gradients to the constants cost less than through P."""
        cof = cofactor(F)
        at = invariants(F, cof)
        W1, W2, WJ = self.W.slopes(at)
        parts = []
        if W1 is not None:
            parts.append(2 * W1 * (F * H).sum((-2, -1)))
        if W2 is not None:
            inner = at.I1[..., None, None] * F - F @ (F.mT @ F)
            parts.append(2 * W2 * (inner * H).sum((-2, -1)))
        if WJ is not None:
            parts.append(WJ * (cof * H).sum((-2, -1)))
        return reduce(add, parts)

    def tangent(self, F: Float[Tensor, "*n 3 3"], scale: Tensor) -> IsotropicTangent:
        """A times `scale` (the quadrature's weight, say), Pa times its unit."""
        cof = cofactor(F)
        at = invariants(F, cof)
        return IsotropicTangent(F, cof, at.I1, self.W.curvatures(at).scaled(scale))

    def _stress(self, F: Tensor, cof: Tensor, at: Invariants) -> Tensor:
        W1, W2, WJ = self.W.slopes(at)
        parts = []
        if W1 is not None:
            parts.append((2 * W1)[..., None, None] * F)
        if W2 is not None:
            inner = at.I1[..., None, None] * F - F @ (F.mT @ F)
            parts.append((2 * W2)[..., None, None] * inner)
        if WJ is not None:
            parts.append(WJ[..., None, None] * cof)
        return reduce(add, parts)

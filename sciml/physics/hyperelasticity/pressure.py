"""Solids with a pressure of their own: volume is a constraint, stiff or rigid, not an energy.

    ψ(F) = W(F) + k/2 θ²   is   W(F) + p θ - p²/2k   made stationary in p: p = k θ

For k → ∞ the body is incompressible, θ = 0, and p is what keeps it so; only 1/k enters. W is the
law's energy without its volumetric part (its bulk constant set to zero), which is stiff against
changes of shape alone, and θ the volumetric strain of that part.

    symbol   meaning                                                              unit
    p        pressure, positive in tension like every stress here                 Pa
    θ        volumetric strain: ln J, J - 1, or tr ε of small strains             1
    1/k      volumetric compliance, ≥ 0; k is λ or κ, whichever the law has       Pa⁻¹

    P = ∂W/∂F + p ∂θ/∂F,    ∂θ/∂F = θ'(J) cof F

Source: J. Bonet, R. D. Wood (2008), §§ 6.5 and 8.6 (perturbed Lagrangian); T. Sussman, K.-J. Bathe,
Comput. Struct. 26 (1987) 357-409 (displacements and pressures as unknowns).
"""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.physics.hyperelasticity.invariants import Invariants, cofactor, determinant
from sciml.physics.hyperelasticity.isotropic import Isotropic, StrainEnergy
from sciml.physics.hyperelasticity.linear import Linear, LinearTangent
from sciml.physics.hyperelasticity.tangent import Curvatures


@runtime_checkable
class VolumetricStrain(Protocol):
    """θ(J) with θ(1) = 0, θ'(1) = 1, and its derivatives."""

    def value(self, J: Tensor) -> Tensor: ...

    def slope(self, J: Tensor) -> Tensor: ...

    def curvature(self, J: Tensor) -> Tensor: ...


@final
@dataclass(frozen=True)
class Logarithmic:
    """θ = ln J."""

    def value(self, J: Tensor) -> Tensor:
        return J.log()

    def slope(self, J: Tensor) -> Tensor:
        return 1 / J

    def curvature(self, J: Tensor) -> Tensor:
        return -1 / (J * J)


@final
@dataclass(frozen=True)
class Relative:
    """θ = J - 1."""

    def value(self, J: Tensor) -> Tensor:
        return J - 1

    def slope(self, J: Tensor) -> Tensor:
        return torch.ones_like(J)

    def curvature(self, J: Tensor) -> Tensor:
        return torch.zeros_like(J)


@final
@dataclass(frozen=True)
class Pressurised:
    """W(I1, I2, J) + p θ(J) at a given pressure `p`, which broadcasts against J."""

    W: StrainEnergy
    theta: VolumetricStrain
    p: Tensor

    def energy(self, at: Invariants) -> Tensor:
        return self.W.energy(at) + self.p * self.theta.value(at.J)

    def slopes(self, at: Invariants) -> tuple[Tensor | None, Tensor | None, Tensor]:
        W1, W2, WJ = self.W.slopes(at)
        push = self.p * self.theta.slope(at.J)
        return W1, W2, push if WJ is None else WJ + push

    def curvatures(self, at: Invariants) -> Curvatures:
        found, (_, _, WJ) = self.W.curvatures(at), self.slopes(at)
        bent = self.p * self.theta.curvature(at.J)
        return found._replace(WJ=WJ, WJJ=bent if found.WJJ is None else found.WJJ + bent)


@final
@dataclass(frozen=True)
class Mixed:
    """An isotropic solid with a pressure.

    Args:
        W: the energy of changes of shape.
        theta: the volumetric strain.
        compliance: 1/k, Pa⁻¹, ≥ 0.
    """

    W: StrainEnergy
    theta: VolumetricStrain
    compliance: Tensor

    def under(self, p: Float[Tensor, "*n"]) -> Isotropic:
        """The solid W + p θ at a given pressure."""
        return Isotropic(Pressurised(self.W, self.theta, p))

    def volumetric(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        """θ."""
        return self.theta.value(determinant(F, cofactor(F)))

    def spread(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        """∂θ/∂F."""
        cof = cofactor(F)
        return self.theta.slope(determinant(F, cof))[..., None, None] * cof

    def shear_modulus(self) -> float:
        """Of small strains, Pa; the mean of a field."""
        three, one = torch.full((1,), 3.0).double(), torch.ones(1).double()
        W1, W2, _ = self.W.slopes(Invariants(three, three, one))
        return float(sum(2 * value.mean() for value in (W1, W2) if value is not None))


@final
@dataclass(frozen=True)
class MixedLinear:
    """Hooke's law with a pressure: P = 2μ ε + p I, θ = tr ε.

    Args:
        mu: Pa.
        compliance: 1/λ, Pa⁻¹, ≥ 0.
    """

    mu: Tensor
    compliance: Tensor

    def under(self, p: Float[Tensor, "*n"]) -> "LinearUnder":
        """The solid 2μ ε + p I at a given pressure."""
        return LinearUnder(Linear(self.mu, torch.zeros_like(self.mu)), p)

    def volumetric(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        """θ."""
        return F.diagonal(dim1=-2, dim2=-1).sum(-1) - 3

    def spread(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        """∂θ/∂F."""
        return torch.eye(3, dtype=F.dtype, device=F.device).expand(F.shape)

    def shear_modulus(self) -> float:
        """Pa; the mean of a field."""
        return float(self.mu.mean())


@final
@dataclass(frozen=True)
class LinearUnder:
    """Hooke's law without its volumetric part, at a given pressure `p`."""

    shape: Linear
    p: Tensor

    def energy(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        return self.shape.energy(F) + self.p * (F.diagonal(dim1=-2, dim2=-1).sum(-1) - 3)

    def stress(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        identity = torch.eye(3, dtype=F.dtype, device=F.device)
        return self.shape.stress(F) + self.p[..., None, None] * identity

    def energy_and_stress(
        self, F: Float[Tensor, "*n 3 3"]
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3 3"]]:
        return self.energy(F), self.stress(F)

    def tangent(self, F: Float[Tensor, "*n 3 3"], scale: Tensor) -> LinearTangent:
        return self.shape.tangent(F, scale)

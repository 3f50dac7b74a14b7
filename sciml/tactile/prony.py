"""Materials that relax: an elastic solid with branches of a Prony series, over one step of time.

    P = f P_e(F) + F H      f = 1 + Σ_k γ_k      H = Σ_k e^(-Δt/τ_k) Q_k - γ_k S_e(F_before)

H is what the step inherits; P is the slope of f ψ_e(F) + ½ H:(FᵀF - I), so that a step stays the
minimum of an energy with a symmetric tangent. The whole stress of a solid relaxes, at a constant
Poisson's ratio; of one with a pressure field what W gives, while the volume stays elastic.

Symbols and source: see `physics.viscoelasticity`.
"""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics.hyperelasticity import Along, cofactor, determinant
from sciml.physics.hyperelasticity.tangent import Tangent, beside
from sciml.physics.viscoelasticity import branches, gain, inherited
from sciml.tactile.materials import AnySolid, Material, MixedSolid, Solid


@final
@dataclass(frozen=True, eq=False)
class Past:
    """What a body remembers of its strain.

    Args:
        Q: of every branch `[k, q, m, 3, 3]`, Pa.
        S: the elastic second Piola-Kirchhoff stress `[q, m, 3, 3]`, Pa.
    """

    Q: Tensor
    S: Tensor


def relaxed(material: Material, F: Float[Tensor, "q m 3 3"]) -> Past:
    """The past of a body that has been at F for long."""
    S = elastic(material, F)
    return Past(S.new_zeros(len(_series(material)[0]), *S.shape), S)


def during(material: Material, past: Past, dt: float) -> Material:
    """The material of one step of `dt` seconds: its parameters are followed by Q, S, β and τ."""
    beta, tau = _series(material)
    given = (*material.parameters, past.Q, past.S, beta, tau)

    def law(*values: Tensor) -> AnySolid:
        *own, Q, S, beta, tau = values
        solid, f = material.law(*own), 1 + gain(dt, beta, tau).sum()
        H = inherited(Q, S, dt, beta, tau)
        return MixedViscous(solid, f, H) if isinstance(solid, MixedSolid) else Viscous(solid, f, H)

    return replace(material, law=law, parameters=given, series=None)


def after(material: Material, past: Past, F: Float[Tensor, "q m 3 3"], dt: float) -> Past:
    """The past once more at the end of a step at F."""
    S = elastic(material, F)
    return Past(branches(past.Q, S - past.S, dt, *_series(material)), S)


def elastic(material: Material, F: Float[Tensor, "q m 3 3"]) -> Float[Tensor, "q m 3 3"]:
    """S_e = F⁻¹ P_e, Pa, differentiable by torch."""
    solid = material.law(*material.parameters)
    if isinstance(solid, MixedSolid):
        solid = solid.under(torch.zeros((), dtype=F.dtype))
    cof = cofactor(F)
    return (cof.mT @ solid.stress(F)) / determinant(F, cof)[..., None, None]


def _series(material: Material) -> tuple[Tensor, Tensor]:
    if material.series is None:
        raise UserError("material: expected a viscoelastic one, got one without branches")
    return material.series


@final
@dataclass(frozen=True)
class Viscous:
    """The solid f ψ_e + ½ H:(FᵀF - I)."""

    solid: Solid
    f: Tensor
    H: Tensor

    def energy(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        return self.f * self.solid.energy(F) + self._stored(F, F @ self.H)

    def stress(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        return self.f * self.solid.stress(F) + F @ self.H

    def energy_and_stress(
        self, F: Float[Tensor, "*n 3 3"]
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3 3"]]:
        psi, P = self.solid.energy_and_stress(F)
        push = F @ self.H
        return self.f * psi + self._stored(F, push), self.f * P + push

    def tangent(self, F: Float[Tensor, "*n 3 3"], scale: Tensor) -> "ViscousTangent":
        return ViscousTangent(
            self.solid.tangent(F, scale * self.f),
            (self.H * scale[..., None, None]).movedim((-2, -1), (0, 1)),
        )

    def _stored(self, F: Tensor, push: Tensor) -> Tensor:
        trace = self.H.diagonal(dim1=-2, dim2=-1).sum(-1)
        return ((F * push).sum((-2, -1)) - trace) / 2


@final
@dataclass(frozen=True)
class ViscousTangent:
    """f A_e + δ_ik H_JL; `H` is `[3, 3, *n]`, with the scale in it."""

    solid: Tangent
    H: Tensor

    def along(self, a: Float[Tensor, "*k 3"]) -> Along:
        return self.solid.along(a)

    def acoustic(self, a: Along, b: Along) -> Float[Tensor, "*k 3 3"]:
        found = self.solid.acoustic(a, b)
        aHb = (a.X * (beside(self.H, b.X[0]) * b.X).sum(1)).sum(0)
        found.diagonal(dim1=-2, dim2=-1).add_(aHb[..., None])
        return found


@final
@dataclass(frozen=True)
class MixedViscous:
    """The solid with a pressure f W + ½ H:(FᵀF - I) + p θ - p²/2k."""

    solid: MixedSolid
    f: Tensor
    H: Tensor

    @property
    def compliance(self) -> Tensor:
        return self.solid.compliance

    def under(self, p: Float[Tensor, "*n"]) -> Viscous:
        return Viscous(self.solid.under(p / self.f), self.f, self.H)

    def volumetric(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
        return self.solid.volumetric(F)

    def spread(self, F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
        return self.solid.spread(F)

    def shear_modulus(self) -> float:
        return float(self.f) * self.solid.shear_modulus()

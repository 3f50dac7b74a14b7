"""The balance of forces at the end of one step, as the minimum of an energy over the free nodes.

r(u) = Gᵀ w P(F(u)) + c M (u - û) + Σ ∂Π/∂u          r = 0 at free nodes, u given at held ones
Φ(u) = Σ w ψ(F) + ½ c (u - û)·M (u - û) + Σ Π         r = ∂Φ/∂u,  K = ∂r/∂u = Kᵀ

symbol   meaning                                                      unit
M        mass matrix                                                  kg
c        (α/Δt)² of the time scheme, 0 in statics                     s⁻²
û        what the scheme extrapolates without forces (`schemes`)      m
Π        energies of external terms (`external`)                      J
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from sciml.physics.hyperelasticity.isotropic import Isotropic
from sciml.tactile.materials import Solid
from sciml.tactile.simulator.body import Body
from sciml.tactile.simulator.external import Barring, Convex, Moving

#: Of every external term.
Parameters = tuple[tuple[Tensor, ...], ...]


@final
@dataclass(frozen=True)
class Evaluation:
    """Φ (what a line search lowers), r like u, and the size of the forces that r balances."""

    u: np.ndarray
    energy: float
    energy_scale: float
    residual: np.ndarray
    force_scale: float
    deformation: Tensor


@final
@dataclass(frozen=True)
class Balance:
    """The balance of one step.

    Args:
        body: what is in balance.
        solid: its energy density.
        inertia: c times the density, kg m⁻³ s⁻².
        drift: û `[n, 3]`, unused in statics.
        before: u at the start of the step, `[n, 3]`.
        parameters: of each external term at the end of the step.
    """

    body: Body
    solid: Solid
    inertia: float
    drift: np.ndarray
    before: Tensor
    parameters: Parameters

    @property
    def free(self) -> np.ndarray:
        """Free unknowns, in the order of `among_free`."""
        return self.body.pattern.free

    def with_parameters(self, parameters: Parameters) -> "Balance":
        return replace(self, parameters=parameters)

    def free_share(
        self, u: np.ndarray, to: np.ndarray, parameters: Parameters | None = None
    ) -> float:
        """Share in [0, 1] of the straight way from u to another state that no term bars.

        Args:
            u, to: like u.
            parameters: at u; those of the end if None.
        """
        if not self.body.barring:
            return 1.0
        return min(
            (
                term.free_share((torch.from_numpy(u), *old), (torch.from_numpy(to), *new))
                for term, old, new in zip(
                    self.body.terms, parameters or self.parameters, self.parameters, strict=True
                )
                if isinstance(term, Barring)
            ),
            default=1.0,
        )

    def joined(self, u: Float[np.ndarray, "n 3"], p: Float[np.ndarray, " 0"]) -> np.ndarray:
        """The unknowns: u, here where no pressure is."""
        return u

    def cotangent(self, g_u: Float[np.ndarray, "n 3"], g_p: Float[np.ndarray, " 0"]) -> np.ndarray:
        return g_u

    def parts(self, u: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """u, and no pressure."""
        return u, np.zeros(0)

    def at(self, u: Float[np.ndarray, "n 3"]) -> Evaluation:
        """Energy and residual."""
        elements = self.body.elements
        F = elements.deformation(u)
        psi, P = self.solid.energy_and_stress(F)
        stored = (psi * elements.weights_tensor).sum().item()
        residual = elements.force(P)
        energies, scale = (
            [stored],
            float(np.linalg.norm(residual.reshape(-1)[self.body.pattern.held])),
        )
        if self.inertia:
            moved = u - self.drift
            push = self.inertia * (self.body.mass @ moved)
            energies.append(float((push * moved).sum()) / 2)
            scale = max(scale, float(np.linalg.norm(push)))
            residual = residual + push
        for term, parameters in zip(self.body.terms, self.parameters, strict=True):
            at = torch.from_numpy(u)
            energies.append(term.energy(at, self.before, *parameters).item())
            force = term.force(at, self.before, *parameters).numpy()
            scale = max(scale, float(np.linalg.norm(force)))
            residual = residual + force
        return Evaluation(u, sum(energies), sum(map(abs, energies)), residual, scale, F)

    def tangent(
        self, u: Float[np.ndarray, "n 3"], F: Tensor, far: bool = False, rounded: bool = False
    ) -> Float[np.ndarray, "9 b"]:
        """K at u in blocks of node pairs (see `Pattern`).

        Args:
            u: displacement.
            F: that of u.
            far: from balance, where terms leave out what would make K indefinite (`external`).
            rounded: in single precision, enough to lead to a balance but not to judge one.
        """
        body = self.body
        body.couple(torch.from_numpy(u), self.parameters)
        stiffness, weights, blocks = body.assembly(rounded)
        filled = body.elements.mass.size
        stiffness(self.solid.tangent(F.to(weights.dtype), weights), blocks)
        moving = []
        for term, parameters in zip(body.terms, self.parameters, strict=True):
            slope = term.convex_blocks if far and isinstance(term, Convex) else term.blocks
            own = slope(torch.from_numpy(u), self.before, *parameters).permute(1, 2, 0).numpy()
            if isinstance(term, Moving):
                moving.append((term.coupled(torch.from_numpy(u), *parameters), own.reshape(9, -1)))
            else:
                blocks[:, :, filled : filled + own.shape[-1]] = own
                filled += own.shape[-1]
        found = body.pattern.blocks(blocks)
        for coupled, own in moving:
            body.pattern.add(found, coupled, own)
        if self.inertia:
            found += self.inertia * body.mass_blocks
        return found

    def among_free(self, tangent: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the free unknowns."""
        return self.body.pattern.among_free(tangent)

    def of_held(self, tangent: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the held unknowns (rows) against all."""
        return self.body.pattern.of_held(tangent)

    def slope(self, r: np.ndarray, K: csr_matrix, d: np.ndarray) -> float:
        """Of Φ along d, all of free unknowns."""
        return float(r @ d)

    def work(
        self,
        solid: Solid,
        F: Tensor,
        along: Tensor,
        weights: Tensor,
        u: np.ndarray,
        lam: np.ndarray,
    ) -> Tensor:
        """λ·(r of the material alone), by torch through the constants of `solid`.

        Args:
            solid: the body's.
            F: at u.
            along: ∂λ/∂X, like F.
            weights: of the quadrature points.
            u, lam: the unknowns and λ.
        """
        if isinstance(solid, Isotropic):
            return (weights * solid.work(F, along)).sum()
        return (along * weights[..., None, None] * solid.stress(F)).sum()

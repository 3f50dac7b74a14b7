"""The balance of forces of a body with a field of pressures: stationary in u and p, a saddle.

r_u(u, p) = Gᵀ w (∂W/∂F + p ∂θ/∂F) + c M (u - û) + Σ ∂Π/∂u      r_π = s ∫ N_b (θ - p/k) dV

Both vanish at the end of a step. Neither unknown minimises an energy, so what the line search wants
to fall is ½ ‖r‖². Pressures have no inertia and no memory: they are found anew in every step.
See `pressure` for the symbols.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from sciml.tactile.materials import MixedSolid
from sciml.tactile.simulator.balance import Balance, Evaluation, Parameters
from sciml.tactile.simulator.body import Body
from sciml.tactile.simulator.pressure import Pressure, Saddle

#: K, B and C as `Saddle` takes them.
SaddleTangent = tuple[np.ndarray, np.ndarray, np.ndarray]


@final
@dataclass(frozen=True)
class MixedBalance:
    """The balance of one step in y = (u, π).

    Args:
        displaced: the balance of forces; its solid is without pressure.
        solid: of the body.
        scale: s, Pa/m.
    """

    displaced: Balance
    solid: MixedSolid
    scale: float

    @property
    def body(self) -> Body:
        return self.displaced.body

    @property
    def before(self) -> Tensor:
        return self.displaced.before

    @property
    def parameters(self) -> Parameters:
        return self.displaced.parameters

    @property
    def inertia(self) -> float:
        return self.displaced.inertia

    @property
    def drift(self) -> np.ndarray:
        return self.displaced.drift

    @property
    def pressure(self) -> Pressure:
        return self.body.pressure

    @property
    def saddle(self) -> Saddle:
        return self.pressure.saddle(self.body.pattern)

    @property
    def free(self) -> np.ndarray:
        return self.saddle.free

    def with_parameters(self, parameters: Parameters) -> "MixedBalance":
        return replace(self, displaced=replace(self.displaced, parameters=parameters))

    def free_share(
        self, y: np.ndarray, to: np.ndarray, parameters: Parameters | None = None
    ) -> float:
        return self.displaced.free_share(self.parts(y)[0], self.parts(to)[0], parameters)

    # ---- the two unknowns ----------------------------------------------------------------------

    def joined(self, u: Float[np.ndarray, "n 3"], p: Float[np.ndarray, " c"]) -> np.ndarray:
        """y; without a pressure yet it is zero."""
        pi = p / self.scale if len(p) else np.zeros(self.pressure.count)
        return np.concatenate([u.reshape(-1), pi])

    def cotangent(self, g_u: Float[np.ndarray, "n 3"], g_p: Float[np.ndarray, " c"]) -> np.ndarray:
        """∂/∂y of what has the slopes ∂/∂u and ∂/∂p."""
        return np.concatenate([g_u.reshape(-1), self.scale * g_p])

    def parts(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u `[n, 3]` and p `[c]`, Pa."""
        n = 3 * self.body.elements.n
        return y[:n].reshape(-1, 3), self.scale * y[n:]

    # ---- the balance ---------------------------------------------------------------------------

    def at(self, y: np.ndarray) -> Evaluation:
        """½ ‖r‖² and r."""
        u, p = self._at_points(y)
        found = replace(self.displaced, solid=self.solid.under(p)).at(u)
        strain = self.solid.volumetric(found.deformation) - p * self.solid.compliance
        filled = self.scale * self.pressure.integrals(strain)
        residual = np.concatenate([found.residual.reshape(-1), filled])
        merit = float(np.square(residual[self.free]).sum()) / 2
        return Evaluation(y, merit, 0.0, residual, found.force_scale, found.deformation)

    def slope(self, r: np.ndarray, S: csr_matrix, d: np.ndarray) -> float:
        """Of ½ ‖r‖² along d."""
        return float(r @ (S @ d))

    def tangent(
        self, y: np.ndarray, F: Tensor, far: bool = False, rounded: bool = False
    ) -> SaddleTangent:
        """K, B and C at y; `F` is that of y, `far` as in `Balance`; never rounded."""
        u, p = self._at_points(y)
        blocks = replace(self.displaced, solid=self.solid.under(p)).tangent(u, F, far)
        coupling = self.scale * self.pressure.coupling(self.solid.spread(F))
        return blocks, coupling, self.scale**2 * self.pressure.compressing(self.solid.compliance)

    def among_free(self, tangent: SaddleTangent) -> csr_matrix:
        return self.saddle.among_free(*tangent)

    def of_held(self, tangent: SaddleTangent) -> csr_matrix:
        return self.saddle.of_held(*tangent[:2])

    def work(
        self,
        solid: MixedSolid,
        F: Tensor,
        along: Tensor,
        weights: Tensor,
        y: np.ndarray,
        lam: np.ndarray,
    ) -> Tensor:
        """λ·(r of the material alone), by torch; arguments as in `Balance.work`."""
        _, p = self._at_points(y)
        n = 3 * self.body.elements.n
        found = self.displaced.work(solid.under(p), F, along, weights, y[:n], lam[:n])
        filled = self.pressure.at_points(self.scale * lam[n:]) * weights
        return found + (filled * (solid.volumetric(F) - p * solid.compliance)).sum()

    def _at_points(self, y: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """u and p at the quadrature points."""
        u, p = self.parts(y)
        return u, self.pressure.at_points(p)

"""A dry atmosphere in σ layers: the primitive equations, hyperdiffusion, and Held and Suarez.

    ∂x/∂t = N(x) + L x - D x,      D a hyperdiffusion of ζ, δ and T

Without ζ and π, L couples δ and T of all layers and π for each l: with d = 1 + b D_l and
k² = l(l+1)/a², (1 - b L) x = r is

    d δ - b k² (Γ T + R T̄ π) = r_δ,   d T + b κ T̄ C δ = r_T,   π + b Δ·δ = r_π

with the matrices Γ (hydrostatic) and C (conversion); δ solves the L × L system that is left when T
and π are put into the first. Its inverse is made once for each l and b.

Source: B. J. Hoskins, A. J. Simmons, Quart. J. Roy. Met. Soc. 101 (1975) 637-655, section 3.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.sphere import LatLon
from sciml.contracts import UserError
from sciml.physics import earth, held_suarez
from sciml.physics import primitive_equations as equations
from sciml.physics.earth import KAPPA
from sciml.physics.primitive_equations import Layers, OnGrid, R, over_layers, parts
from sciml.weather.simulate import time_steps
from sciml.weather.simulate.time_steps import Past
from sciml.weather.simulate.truncation import WEAK, Dissipation, unaliased


@final
class DryAtmosphere:
    """A gas on the sphere, for `time_steps.step`.

    Args:
        grid: Gaussian, so that products of two resolved fields are exact.
        layers: in σ.
        truncation: T; the largest whose products of two fields do not alias, (2 n_lat - 1)/3,
            where None.
        mean: T̄, K.
        dissipation: hyperdiffusion.
        forced: whether Held and Suarez' heating and friction act.
        dtype: of all tables and states.
        device: of the tables.

    Raises:
        UserError: a truncation whose products the grid does not resolve; fewer than two layers.
    """

    def __init__(
        self,
        grid: LatLon,
        layers: Layers,
        truncation: int | None = None,
        mean: float = 300.0,
        dissipation: Dissipation = WEAK,
        forced: bool = False,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        if layers.count < 2:
            raise UserError(f"dry atmosphere: expected 2 layers or more, got {layers.count}")
        self.grid, self.layers, self.mean, self.forced = grid, layers, mean, forced
        self.harmonics = unaliased(grid, truncation, dtype, device)
        self._like = torch.empty(0, dtype=dtype, device=device)
        self.f = self._held(earth.coriolis(grid.lat)[:, None])
        l = np.arange(self.harmonics.truncation + 1.0)
        self._damping = dissipation.rates(self.harmonics.truncation)
        self._squared = l * (l + 1) / earth.RADIUS**2
        self._sine = self._held(np.sin(np.radians(grid.lat))[:, None])
        self._log_sigma = self._held(np.log(layers.sigma)[:, None, None])
        self._cooling = self._held(held_suarez.cooling(grid.lat, layers.sigma)[..., None])
        self._friction = self._held(held_suarez.friction(layers.sigma)[:, None, None, None])
        self._inverses: dict[float, Tensor] = {}

    def _held(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(values), dtype=self._like.dtype, device=self._like.device)

    def nonlinear(self, x: Float[Tensor, "b c l m 2"]) -> Float[Tensor, "b c l m 2"]:
        """Advection, rotation, conversion of energy; heating and friction."""
        heating = self.heating if self.forced else None
        N = equations.nonlinear(x, self.harmonics, self.layers, self.f, self.mean, heating)
        if not self.forced:
            return N
        count = self.layers.count
        drag = torch.cat([self._friction, self._friction]) * x[:, : 2 * count]
        return torch.cat([N[:, : 2 * count] - drag, N[:, 2 * count :]], 1)

    def heating(self, g: OnGrid) -> Float[Tensor, "b k lat lon"]:
        """-k_T (T - T_eq), K s⁻¹."""
        wanted = held_suarez.equilibrium(self._sine, self._log_sigma + g.pi[:, None])
        return self._cooling * (wanted - self.mean - g.temperature)

    def linear(self, x: Float[Tensor, "b c l m 2"]) -> Float[Tensor, "b c l m 2"]:
        """Gravity waves, and hyperdiffusion of all but π."""
        L = equations.gravity_waves(x, self.harmonics, self.layers, self.mean)
        L[:, :-1] -= self._held(self._damping)[:, None, None] * x[:, :-1]
        return L

    def solve(self, r: Float[Tensor, "b c l m 2"], b: float) -> Float[Tensor, "b c l m 2"]:
        """(1 - b L)⁻¹ r."""
        zeta, delta, T, pi = parts(r)
        layers, mean = self.layers, self.mean
        d = self._held(1 + b * self._damping)[:, None, None]
        k2 = self._held(self._squared)[:, None, None]
        height = over_layers(layers.tensor("hydrostatic", r), T / d) + R * mean * pi[:, None]
        delta = torch.einsum("lij,bjlmc->bilmc", self._inverse(b), delta + b * k2 * height)
        T = (T - b * KAPPA * mean * over_layers(layers.tensor("conversion", r), delta)) / d
        pi = pi[:, None] - b * over_layers(layers.tensor("thickness", r)[None], delta)
        return torch.cat([zeta / d, delta, T, pi], 1)

    def _inverse(self, b: float) -> Tensor:
        """`[l, L, L]`: of d + b² k² (κ T̄ Γ C/d + R T̄ 1 Δᵀ)."""
        if b not in self._inverses:
            layers, d = self.layers, (1 + b * self._damping)[:, None, None]
            waves = KAPPA * self.mean * layers.hydrostatic @ layers.conversion / d
            waves = waves + R * self.mean * layers.thickness
            matrix = d * np.eye(layers.count) + b * b * self._squared[:, None, None] * waves
            self._inverses[b] = self._held(np.linalg.inv(matrix))
        return self._inverses[b]

    def run(self, x: Tensor, seconds: float, dt: float) -> Tensor:
        """The state `seconds` later, from a start without a past."""
        return time_steps.run(self, Past(x), dt, round(seconds / dt)).x

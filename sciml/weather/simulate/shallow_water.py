"""A shallow-water atmosphere: the equations with a hyperdiffusion of ζ, δ and Φ.

    ∂x/∂t = N(x) + L x - D x

L, the linear gravity waves, and D are implicit.

Source: J. J. Hack, R. Jakob, NCAR Tech. Note TN-343 (1992).
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.sphere import LatLon
from sciml.physics import earth
from sciml.physics import shallow_water as equations
from sciml.weather.simulate import time_steps
from sciml.weather.simulate.time_steps import Past
from sciml.weather.simulate.truncation import WEAK, Dissipation, unaliased


@final
class ShallowWater:
    """A layer of fluid on the sphere, for `time_steps.step`.

    Args:
        grid: Gaussian, so that products of resolved fields are exact.
        truncation: T; the largest whose products of two fields do not alias, (2 n_lat - 1)/3,
            where None.
        mean: Φ̄, m² s⁻².
        dissipation: hyperdiffusion.
        dtype: of all tables and states.
        device: of the tables.

    Raises:
        UserError: a truncation whose products the grid does not resolve.
    """

    def __init__(
        self,
        grid: LatLon,
        truncation: int | None = None,
        mean: float = 5600 * earth.GRAVITY,
        dissipation: Dissipation = WEAK,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        self.grid, self.mean = grid, mean
        self.harmonics = unaliased(grid, truncation, dtype, device)
        self.f = torch.as_tensor(earth.coriolis(grid.lat)[:, None], dtype=dtype, device=device)
        l = np.arange(self.harmonics.truncation + 1.0)
        by_degree = np.stack([dissipation.rates(len(l) - 1), l * (l + 1) / earth.RADIUS**2])
        held = torch.as_tensor(by_degree[..., None, None], dtype=dtype, device=device)
        self._damping, self._squared = held.unbind()

    def nonlinear(self, x: Float[Tensor, "b 3 l m 2"]) -> Float[Tensor, "b 3 l m 2"]:
        """Advection and rotation."""
        return equations.nonlinear(x, self.harmonics, self.f, self.mean)

    def linear(self, x: Float[Tensor, "b 3 l m 2"]) -> Float[Tensor, "b 3 l m 2"]:
        """Gravity waves and hyperdiffusion; the latter does not touch the mean."""
        return equations.gravity_waves(x, self.harmonics, self.mean) - self._damping * x

    def solve(self, r: Float[Tensor, "b 3 l m 2"], b: float) -> Float[Tensor, "b 3 l m 2"]:
        """(1 - b L)⁻¹ r: with d = 1 + b D and k² = l(l+1)/a², two equations for each l, m.

        d δ - b k² Φ = r_δ,     d Φ + b Φ̄ δ = r_Φ
        """
        d, k2 = 1 + b * self._damping, self._squared
        zeta, delta, Phi = r.unbind(1)
        delta = (d * delta + b * k2 * Phi) / (d * d + b * b * self.mean * k2)
        return torch.stack([zeta / d, delta, (Phi - b * self.mean * delta) / d], 1)

    def start(
        self, zeta: Float[Tensor, "b l m 2"], Phi: Float[Tensor, "b l m 2"]
    ) -> Float[Tensor, "b 3 l m 2"]:
        """The state of ζ and Φ without divergence."""
        return torch.stack([zeta, torch.zeros_like(zeta), Phi], 1)

    def balanced(self, zeta: Float[Tensor, "b l m 2"], mean: float | None = None) -> Tensor:
        """The state of ζ with the geopotential that balances it, of mean Φ̄ unless given."""
        mean = self.mean if mean is None else mean
        Phi = equations.balanced_geopotential(zeta, self.harmonics, self.f, mean)
        return self.start(zeta, Phi)

    def fields(self, x: Float[Tensor, "b 3 l m 2"]) -> Float[Tensor, "b 3 lat lon"]:
        """Φ, u, v on the grid, m² s⁻² and m s⁻¹."""
        Phi = self.harmonics.synthesis(x[:, equations.GEOPOTENTIAL])
        u, v = self.harmonics.wind(x[:, equations.VORTICITY], x[:, equations.DIVERGENCE])
        return torch.stack([Phi, u, v], 1)

    def run(self, x: Tensor, seconds: float, dt: float) -> Tensor:
        """The state `seconds` later, from a start without a past."""
        return time_steps.run(self, Past(x), dt, round(seconds / dt)).x

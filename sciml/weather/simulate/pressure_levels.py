"""The dry atmosphere's state on levels of pressure, under ERA5's names.

With x = ln p, between the layers' levels x_k and x_{k+1}:

    X(x) linear for u, v and T
    Φ(x) linear - R/2 (dT/dx) (x - x_k)(x - x_{k+1})         so that dΦ/dx = -R T up to the layers'
                                                             own hydrostatic equation, continuous

Below the lowest level the wind stays, T follows a lapse rate of 6.5 K/km and Φ the hydrostatic
equation, to surface pressure and below it; above the highest one T and wind stay.

Source: K. E. Trenberth, J. C. Berry, L. E. Buja, NCAR Tech. Note TN-396 (1993), sections 3 and 4
(extrapolation by a lapse rate).
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics.primitive_equations import R, on_grid, over_layers
from sciml.weather.simulate.baroclinic import EXPONENT
from sciml.weather.simulate.dry_atmosphere import DryAtmosphere

P0, HPA = 1e5, 100.0


@final
class PressureLevels:
    """States `[b, 3L+1, l, m, 2]` → fields `[b, c, lat, lon]`: z, t, u, v by level, and p_s.

    Args:
        air: whose states.
        levels: hPa.

    Raises:
        UserError: no level, or levels outside 1 to 1100 hPa.
    """

    def __init__(self, air: DryAtmosphere, levels: Sequence[int]) -> None:
        if not levels or min(levels) < 1 or max(levels) > 1100:
            raise UserError(f"levels: expected 1 to 1100 hPa, got {list(levels)}")
        self.air, self.levels = air, tuple(levels)
        self.names = [f"{name}{level}" for name in "ztuv" for level in self.levels] + ["sp"]

    def __call__(self, x: Float[Tensor, "b c l m 2"]) -> Float[Tensor, "b n lat lon"]:
        air, g = self.air, on_grid(x, self.air.harmonics)
        T = g.temperature + air.mean
        Phi = over_layers(air.layers.tensor("hydrostatic", x), T)
        known = torch.log(air.layers.tensor("sigma", x))[:, None, None] + g.pi[:, None]
        stacked = torch.stack([Phi, T, g.u, g.v], 1)
        levels = [at_level(stacked, known, level * HPA / P0) for level in self.levels]
        fields = torch.stack(levels, 2).flatten(1, 2)
        return torch.cat([fields, P0 * torch.exp(g.pi)[:, None]], 1)


def at_level(
    fields: Float[Tensor, "b 4 k lat lon"], known: Float[Tensor, "b k lat lon"], p: float
) -> Float[Tensor, "b 4 lat lon"]:
    """Φ, T, u, v at p/p₀.

    Args:
        fields: Φ, T, u, v at the layers' levels, from the top down.
        known: ln(p/p₀) of those.
    """
    x = torch.log(torch.tensor(p, dtype=known.dtype, device=known.device))
    upper = (known < x).sum(1, keepdim=True).sub(1).clamp(0, known.shape[1] - 2)
    x1, x2 = known.gather(1, upper)[:, 0], known.gather(1, upper + 1)[:, 0]
    places = upper[:, None].expand(-1, 4, -1, -1, -1)
    above, below = fields.gather(2, places)[:, :, 0], fields.gather(2, places + 1)[:, :, 0]
    slope = (below - above) / (x2 - x1)[:, None]
    share = ((x - x1) / (x2 - x1)).clamp(0, 1)[:, None]
    inside = above + share * (below - above)
    bend = -R / 2 * slope[:, 1] * (share * (share - 1))[:, 0] * (x2 - x1) ** 2
    outside = _beyond(inside[:, 1], x - x1.maximum(torch.minimum(x, x2)))
    Phi = inside[:, 0] + bend - outside[0]
    return torch.stack([Phi, outside[1], inside[:, 2], inside[:, 3]], 1)


def _beyond(T: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
    """R ∫ T dx over `excess` of x past the last level, and T at its end."""
    down = excess.clamp(min=0)
    warm = T * torch.exp(EXPONENT * down)  # T ~ p^(R Γ/g)
    return R * ((warm - T) / EXPONENT + T * excess.clamp(max=0)), warm

"""Random mid-latitude jets: initial states of many unlike atmospheres.

    u(φ) = Σ_± U_± exp(-((φ ∓ φ_±)/w_±)²)        ζ = ζ(u) + ζ',  ζ' in l = 4…20,  Φ by balance

One jet on each side of the equator, of random speed, latitude and width, and vorticity noise whose
variance is the same for every degree. The wind is smooth at the poles because the jets have died
out there.
"""

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from sciml.calculus.sphere import Harmonics, LatLon
from sciml.weather.simulate.shallow_water import ShallowWater


@final
@dataclass(frozen=True)
class Jets:
    """Ranges of the random draws, uniform unless said otherwise.

    Args:
        speed: U, m s⁻¹.
        latitude: φ_±, degrees from the equator.
        width: w, degrees.
        noise: standard deviation of ζ', s⁻¹, normal.
        degrees: first and last l of ζ'.
    """

    speed: tuple[float, float] = (40.0, 75.0)
    latitude: tuple[float, float] = (35.0, 50.0)
    width: tuple[float, float] = (7.0, 13.0)
    noise: float = 1.5e-5
    degrees: tuple[int, int] = (4, 20)


class Gridded(Protocol):
    """An atmosphere on a grid, with its transforms and Coriolis parameter."""

    grid: LatLon
    harmonics: Harmonics
    f: Tensor


def random_jets(
    layer: ShallowWater, generator: torch.Generator, members: int, jets: Jets = Jets()
) -> Tensor:
    """States `[members, 3, l, m, 2]` of random jets in balance with their geopotential."""
    u = zonal_winds(layer, generator, members, jets)
    zeta, _ = layer.harmonics.vorticity_divergence(u, torch.zeros_like(u))
    return layer.balanced(zeta + noise(layer, generator, members, jets))


def zonal_winds(sphere: Gridded, generator: torch.Generator, members: int, jets: Jets) -> Tensor:
    """u `[members, lat, lon]` of jets that are drawn."""
    draws = torch.rand(members, 3, 2, generator=generator, dtype=torch.float64).numpy()
    ranges = np.array([jets.speed, jets.latitude, jets.width])[:, None]  # [3, 1, 2]
    speed, latitude, width = np.moveaxis(ranges[..., 0] + np.ptp(ranges, -1) * draws, 1, 0)
    return _on_grid(sphere, zonal_wind(sphere.grid.lat, speed, latitude, width))


def jet_pair(layer: ShallowWater, speed: float, latitude: float, width: float) -> Tensor:
    """The state `[1, 3, l, m, 2]` of the same jet on each side of the equator, in balance."""
    both = (np.full((1, 2), value) for value in (speed, latitude, width))
    u = _on_grid(layer, zonal_wind(layer.grid.lat, *both))
    return layer.balanced(layer.harmonics.vorticity_divergence(u, torch.zeros_like(u))[0])


def zonal_wind(
    lat: np.ndarray, speed: np.ndarray, latitude: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """u(φ) `[b, lat]` of jets `[b, 2]`: the first in the south, the second in the north."""
    offset = lat - np.array([-1.0, 1.0])[:, None] * latitude[..., None]
    return (speed[..., None] * np.exp(-((offset / width[..., None]) ** 2))).sum(-2)


def noise(sphere: Gridded, generator: torch.Generator, members: int, jets: Jets) -> Tensor:
    """ζ' `[members, l, m, 2]` with equal variance in each degree."""
    size = sphere.harmonics.truncation + 1
    l, m = np.ogrid[:size, :size]
    first, last = jets.degrees
    inside = (l >= first) & (l <= last) & (m <= l)
    modes = np.where(m == 0, 1.0, np.sqrt(0.5)) / np.sqrt(2 * l + 1)  # Σ_m |α|² = 1 for each l
    scale = jets.noise * np.sqrt(4 * np.pi / (last - first + 1)) * modes * inside
    parts = torch.randn(members, size, size, 2, generator=generator, dtype=torch.float64)
    parts[:, :, 0, 1] = 0
    drawn = parts * torch.as_tensor(scale)[..., None]
    return drawn.to(dtype=sphere.f.dtype, device=sphere.f.device)


def _on_grid(sphere: Gridded, u: np.ndarray) -> Tensor:
    """`[b, lat]` → `[b, lat, lon]`."""
    field = torch.as_tensor(u, dtype=sphere.f.dtype, device=sphere.f.device)
    return field[..., None].expand(-1, -1, len(sphere.grid.lon))

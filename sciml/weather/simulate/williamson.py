"""Initial states of the published shallow-water experiments, and random ones of the same kind.

    steady zonal flow (case 2)   u = u₀ cos φ,  Φ = Φ₀ - (a Ω u₀ + u₀²/2) sin² φ, α = 0
    Rossby-Haurwitz (case 6)     ψ = -a² ω sin φ + a² K cos^R φ sin φ cos Rλ, Φ by balance
    unstable jet                 u = u_max/e_n exp 1/((φ-φ₀)(φ-φ₁)) between φ₀ and φ₁, Φ by balance,
                                 Φ' = g ĥ cos φ exp(-(λ/α)²) exp(-((φ₂-φ)/β)²)
    random jets                  one jet on each side of the equator and waves of l = 4…20

In a fluid without divergence the Rossby-Haurwitz wave turns without change of shape at

    ν = (R (3 + R) ω - 2 Ω) / ((1 + R)(2 + R))

Source: D. L. Williamson et al., J. Comput. Phys. 102 (1992) 211-224, equations 90-95 and 141-149;
J. Galewsky, R. K. Scott, L. M. Polvani, Tellus A 56 (2004) 429-440, equations 2-4. Both integrate
Φ along a meridian; here it solves the balance equation in the truncated space, so that a zonal flow
is steady to rounding.
"""

import numpy as np
import torch
from torch import Tensor

from sciml.physics import earth
from sciml.weather.simulate.shallow_water import ShallowWater

#: Williamson's cases 2 and 6.
STEADY_PHI, STEADY_U = 2.94e4, 2 * np.pi * earth.RADIUS / (12 * earth.DAY)
ROSSBY_HAURWITZ = {"omega": 7.848e-6, "K": 7.848e-6, "R": 4}


def steady(layer: ShallowWater) -> Tensor:
    """Williamson's case 2 as a state `[1, 3, l, m, 2]`; Φ from the closed form."""
    lat, _ = _mesh(layer)
    factor = earth.RADIUS * earth.OMEGA * STEADY_U + STEADY_U**2 / 2
    Phi = STEADY_PHI - factor * np.sin(lat) ** 2
    u = STEADY_U * np.cos(lat)
    return layer.start(_vorticity(layer, u, 0 * u), layer.harmonics.analysis(_tensor(layer, Phi)))


def rossby_haurwitz(layer: ShallowWater, mean: float | None = None) -> Tensor:
    """Williamson's case 6 as a state `[1, 3, l, m, 2]` with mean geopotential `mean`."""
    lat, lon = _mesh(layer)
    omega, K, R = (ROSSBY_HAURWITZ[name] for name in ("omega", "K", "R"))
    wave = K * np.sin(lat) * np.cos(lat) ** R * (R * R + 3 * R + 2) * np.cos(R * lon)
    zeta = layer.harmonics.analysis(_tensor(layer, 2 * omega * np.sin(lat) - wave))
    return layer.balanced(zeta, mean)


def rossby_haurwitz_speed(omega: float, R: int) -> float:
    """ν, rad s⁻¹ to the east."""
    return (R * (3 + R) * omega - 2 * earth.OMEGA) / ((1 + R) * (2 + R))


def unstable_jet(layer: ShallowWater, bump: float = 120.0) -> Tensor:
    """The jet of Galewsky et al. with a bump of `bump` metres, `[1, 3, l, m, 2]`."""
    lat, lon = _mesh(layer)
    x = layer.balanced(_vorticity(layer, unstable_wind(lat), 0 * lat))
    east = (lon + np.pi) % (2 * np.pi) - np.pi
    shape = np.cos(lat) * np.exp(-((3 * east) ** 2)) * np.exp(-((15 * (np.pi / 4 - lat)) ** 2))
    x[:, 2] += layer.harmonics.analysis(_tensor(layer, earth.GRAVITY * bump * shape))
    return x


def unstable_wind(lat: np.ndarray, u_max: float = 80.0) -> np.ndarray:
    """u of that jet, m s⁻¹, at latitudes in radians."""
    south, north = np.pi / 7, np.pi / 2 - np.pi / 7
    inside = (lat > south) & (lat < north)
    product = np.where(inside, (lat - south) * (lat - north), -np.inf)
    return u_max * np.exp(4 / (north - south) ** 2) * np.exp(1 / product) * inside


def _mesh(layer: ShallowWater) -> tuple[np.ndarray, np.ndarray]:
    """Latitude `[lat, lon]` and longitude of the grid in radians."""
    lat, lon = np.meshgrid(np.radians(layer.grid.lat), np.radians(layer.grid.lon), indexing="ij")
    return lat, lon


def _tensor(layer: ShallowWater, field: np.ndarray) -> Tensor:
    return torch.as_tensor(field[None], dtype=layer.f.dtype, device=layer.f.device)


def _vorticity(layer: ShallowWater, u: np.ndarray, v: np.ndarray) -> Tensor:
    return layer.harmonics.vorticity_divergence(_tensor(layer, u), _tensor(layer, v))[0]

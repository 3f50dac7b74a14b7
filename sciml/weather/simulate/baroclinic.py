"""Initial states of the dry atmosphere: at rest, and random jets in balance with their temperature.

    u(φ, σ) = s(σ) Σ_± U_± exp(-((φ ∓ φ_±)/w_±)²),      s = (h/h₀) exp(1 - h/h₀),  h = -ln σ
    T(σ)    = max(205 K, 288 K σ^(R Γ/g)),              Γ = 6.5 K/km

s is 1 at σ = e^-h₀, the level of the jets, and 0 at the surface, whose pressure is then everywhere
the same. Temperature follows from the balance of each layer. Such jets are baroclinically unstable;
noise of ζ, of the same profile, sets off the waves.

Source: the vertical mean state is the standard atmosphere's troposphere; the idea of a balanced
unstable jet with a perturbation: C. Jablonowski, D. L. Williamson, Quart. J. Roy. Met. Soc. 132
(2006) 2943-2975.
"""

import numpy as np
import torch
from torch import Tensor

from sciml.physics import primitive_equations as equations
from sciml.physics.earth import GAS_CONSTANT, GRAVITY
from sciml.physics.shallow_water import constant
from sciml.weather.simulate.dry_atmosphere import DryAtmosphere
from sciml.weather.simulate.jets import Jets, noise, zonal_winds

#: Unstable by their vertical shear, not by their width.
WIDE = Jets(speed=(30.0, 45.0), latitude=(38.0, 48.0), width=(14.0, 18.0), noise=3e-6)
WARM, COLD = 288.0, 205.0
#: R Γ/g.
EXPONENT = GAS_CONSTANT * 6.5e-3 / GRAVITY
#: h₀: σ = 0.27.
JET_LEVEL = 1.3


def profile(sigma: np.ndarray) -> np.ndarray:
    """T(σ), K."""
    return np.maximum(COLD, WARM * sigma**EXPONENT)


def resting(air: DryAtmosphere) -> Tensor:
    """No wind, T(σ), p_s = p₀ `[1, 3L+1, l, m, 2]`."""
    size, count = air.harmonics.truncation + 1, air.layers.count
    x = torch.zeros(1, 3 * count + 1, size, size, 2, dtype=air.f.dtype, device=air.f.device)
    for k, T in enumerate(profile(air.layers.sigma)):
        x[:, 2 * count + k, 0, 0] = constant(T - air.mean, x)
    return x


def random_baroclinic_jets(
    air: DryAtmosphere, generator: torch.Generator, members: int, jets: Jets = WIDE
) -> Tensor:
    """States `[members, 3L+1, l, m, 2]`."""
    count = air.layers.count
    h = -np.log(air.layers.sigma) / JET_LEVEL
    shape = torch.as_tensor(h * np.exp(1 - h), dtype=air.f.dtype, device=air.f.device)
    u = zonal_winds(air, generator, members, jets)
    zeta, _ = air.harmonics.vorticity_divergence(u, torch.zeros_like(u))
    zeta = zeta + noise(air, generator, members, jets)
    zeta = shape[:, None, None, None] * zeta[:, None]
    x = resting(air).repeat(members, 1, 1, 1, 1)
    x[:, :count] = zeta
    x[:, 2 * count : -1] += equations.balanced_temperature(zeta, air.harmonics, air.layers, air.f)
    return x

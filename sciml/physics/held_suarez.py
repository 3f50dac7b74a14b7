"""The forcing of Held and Suarez: a climate without radiation, clouds or a surface.

    ∂v/∂t = … - k_v v                  k_v = k_f b
    ∂T/∂t = … - k_T (T - T_eq)         k_T = k_a + (k_s - k_a) b cos⁴ φ
    b(σ)  = max(0, (σ - σ_b)/(1 - σ_b))

    T_eq = max{200 K, [315 K - 60 K sin² φ - 10 K ln(p/p₀) cos² φ] (p/p₀)^κ}

    symbol   meaning                                       value
    σ        p/p_s                                         0 … 1
    φ        latitude
    p₀       reference pressure                            10⁵ Pa
    κ        R/c_p                                         2/7
    σ_b      top of the boundary layer                     0.7
    k_f      friction at the surface                       1 day⁻¹
    k_a      cooling of the free atmosphere                1/40 day⁻¹
    k_s      cooling at the surface of the tropics         1/4 day⁻¹

Source: I. M. Held, M. J. Suarez, Bull. Amer. Meteor. Soc. 75 (1994) 1825-1830, box on page 1826.
"""

import numpy as np
import torch
from torch import Tensor

from sciml.physics.earth import DAY, KAPPA

COLDEST, WARMEST = 200.0, 315.0
ACROSS, UPWARD = 60.0, 10.0  # differences of temperature pole to equator, and of potential one
BOUNDARY = 0.7
FRICTION, FREE, SURFACE = 1 / DAY, 1 / (40 * DAY), 1 / (4 * DAY)


def boundary_layer(sigma: np.ndarray) -> np.ndarray:
    """b `[k]`."""
    return np.maximum(0.0, (sigma - BOUNDARY) / (1 - BOUNDARY))


def friction(sigma: np.ndarray) -> np.ndarray:
    """k_v `[k]`, s⁻¹."""
    return FRICTION * boundary_layer(sigma)


def cooling(lat: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """k_T `[k, lat]`, s⁻¹, at latitudes in degrees."""
    return FREE + (SURFACE - FREE) * boundary_layer(sigma)[:, None] * np.cos(np.radians(lat)) ** 4


def equilibrium(sine: Tensor, log_p: Tensor) -> Tensor:
    """T_eq, K, of sin φ and ln(p/p₀), which broadcast."""
    profile = WARMEST - ACROSS * sine**2 - UPWARD * log_p * (1 - sine**2)
    return (profile * torch.exp(KAPPA * log_p)).clamp(min=COLDEST)

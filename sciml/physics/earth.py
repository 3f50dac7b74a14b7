"""The Earth as a rotating sphere of gas: the constants that the published experiments share.

    symbol   meaning                                    unit
    a        radius                                     m
    Ω        angular velocity                           s⁻¹
    g        gravity                                    m s⁻²
    R        gas constant of dry air                    J kg⁻¹ K⁻¹
    κ        R / c_p                                    1
    f        2 Ω sin φ, the Coriolis parameter          s⁻¹
    φ        latitude, positive to the north            rad
    day      86 400, the solar day                      s

Source: D. L. Williamson et al., J. Comput. Phys. 102 (1992) 211-224, section 2 (a, Ω, g);
I. M. Held, M. J. Suarez, Bull. Amer. Meteor. Soc. 75 (1994) 1825-1830, page 1826 (κ = 2/7, c_p).
"""

import numpy as np

RADIUS = 6.37122e6
OMEGA = 7.292e-5
GRAVITY = 9.80616
KAPPA = 2 / 7
SPECIFIC_HEAT = 1004.0
GAS_CONSTANT = KAPPA * SPECIFIC_HEAT
DAY = 86_400.0


def coriolis(lat: np.ndarray) -> np.ndarray:
    """f = 2 Ω sin φ of latitudes in degrees, s⁻¹."""
    return 2 * OMEGA * np.sin(np.radians(lat))

"""Losses of fields on the globe, terms of an objective: `(prediction, target)` → scalar.

Both are `[B, K, C, *grid]`. Every loss is made from a `Measure` (areas, units, weights), so that
`_partial_` in a case's YAML leaves the measure to whoever knows the data, and one loss may be the
inner loss of another.
"""

from sciml.globe.losses.degrees import Steep, combined
from sciml.globe.losses.ensemble import FairCRPS
from sciml.globe.losses.gradient import Gradient, SpectralDerivative, deviation
from sciml.globe.losses.measure import Measure, pressure_weights
from sciml.globe.losses.pointwise import MSE
from sciml.globe.losses.spectral import MSH, fastnet
from sciml.globe.losses.wind import Wind

__all__ = [
    "MSE",
    "MSH",
    "FairCRPS",
    "Gradient",
    "Measure",
    "SpectralDerivative",
    "Steep",
    "Wind",
    "combined",
    "deviation",
    "fastnet",
    "pressure_weights",
]

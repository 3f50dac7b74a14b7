"""Calculus on the sphere: grids, harmonics and spectra, gradients, interpolation, regridding."""

from sciml.calculus.sphere.gradient import FiniteDifferences
from sciml.calculus.sphere.grids import LatLon, equiangular, gauss
from sciml.calculus.sphere.harmonics import Harmonics
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.calculus.sphere.regrid import Conservative
from sciml.calculus.sphere.sampling import Interpolation
from sciml.calculus.sphere.trajectories import Departure

__all__ = [
    "Conservative",
    "Departure",
    "FiniteDifferences",
    "Harmonics",
    "Interpolation",
    "LatLon",
    "ReducedGaussian",
    "equiangular",
    "gauss",
]

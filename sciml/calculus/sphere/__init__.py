"""Calculus on the sphere: grids and areas, spherical harmonics, gradient, power spectrum."""

from sciml.calculus.sphere.grids import LatLon, equiangular, gauss
from sciml.calculus.sphere.harmonics import Harmonics
from sciml.calculus.sphere.reduced import ReducedGaussian

__all__ = ["Harmonics", "LatLon", "ReducedGaussian", "equiangular", "gauss"]

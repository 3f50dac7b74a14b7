"""Calculus on the sphere: grids and areas, spherical harmonics, gradient, power spectrum."""

from sciml.calculus.sphere.grids import LatLon, equiangular, gauss
from sciml.calculus.sphere.harmonics import Harmonics

__all__ = ["Harmonics", "LatLon", "equiangular", "gauss"]

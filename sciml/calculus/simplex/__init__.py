"""Calculus on tetrahedra: geometry, topology, Lagrange shape functions, quadrature."""

from sciml.calculus.simplex.geometry import gradients, volumes
from sciml.calculus.simplex.lagrange import mass, shape, slopes
from sciml.calculus.simplex.quadrature import Quadrature, rule
from sciml.calculus.simplex.topology import EDGES, boundary, edges, neighbours

__all__ = [
    "EDGES",
    "Quadrature",
    "boundary",
    "edges",
    "gradients",
    "mass",
    "neighbours",
    "rule",
    "shape",
    "slopes",
    "volumes",
]

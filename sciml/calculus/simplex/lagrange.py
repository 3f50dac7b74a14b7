"""Lagrange shape functions of degree 1 and 2 on a tetrahedron, in barycentric coordinates λ.

    P1    N_α = λ_α                                            corners α = 0 … 3
    P2    N_α = λ_α (2 λ_α - 1)     N_αβ = 4 λ_α λ_β           corners, then the midpoints of EDGES

Their gradients are ∇N_a = Σ_α ∂N_a/∂λ_α ∇λ_α, with ∇λ_α constant in a straight tetrahedron.

Source: O. C. Zienkiewicz, R. L. Taylor, The Finite Element Method, vol. 1, 5th ed. (2000), § 8.12.
"""

import numpy as np
from jaxtyping import Float

from sciml.calculus.simplex.quadrature import rule
from sciml.calculus.simplex.topology import EDGES

#: Nodes per tetrahedron by degree.
NODES = {1: 4, 2: 10}


def shape(degree: int, at: Float[np.ndarray, "*q 4"]) -> Float[np.ndarray, "*q nodes"]:
    """N_a at barycentric coordinates; degree 1 or 2."""
    if degree == 1:
        return at
    i, j = np.array(EDGES).T
    return np.concatenate([at * (2 * at - 1), 4 * at[..., i] * at[..., j]], axis=-1)


def slopes(degree: int, at: Float[np.ndarray, "*q 4"]) -> Float[np.ndarray, "*q nodes 4"]:
    """∂N_a/∂λ_α at barycentric coordinates, the four λ taken as independent; degree 1 or 2."""
    found = np.zeros((*at.shape[:-1], NODES[degree], 4))
    corner = np.arange(4)
    found[..., corner, corner] = 1.0 if degree == 1 else 4 * at - 1
    if degree == 2:
        for midpoint, (i, j) in enumerate(EDGES, start=4):
            found[..., midpoint, i] = 4 * at[..., j]
            found[..., midpoint, j] = 4 * at[..., i]
    return found


def mass(degree: int) -> Float[np.ndarray, "nodes nodes"]:
    """∫ N_a N_b over a tetrahedron of volume 1, exact."""
    quadrature = rule(2 * degree)
    N = shape(degree, quadrature.points)
    return (N * quadrature.weights[:, None]).T @ N

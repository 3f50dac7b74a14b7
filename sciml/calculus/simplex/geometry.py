"""Volumes of straight tetrahedra and the constant gradients of their barycentric coordinates.

    x = Σ_α λ_α x_α,    Σ_α λ_α = 1,    ∇λ_α = e_α · [x_1 - x_0, x_2 - x_0, x_3 - x_0]⁻¹

A tetrahedron is right-handed, its volume positive, if corner 3 lies on the side of the triangle
(0, 1, 2) from which its corners run anticlockwise.
"""

import numpy as np
from jaxtyping import Float


def volumes(corners: Float[np.ndarray, "*m 4 3"]) -> Float[np.ndarray, "*m"]:
    """Signed volumes det[x_1 - x_0, x_2 - x_0, x_3 - x_0] / 6, negative if left-handed."""
    return np.asarray(np.linalg.det(corners[..., 1:, :] - corners[..., :1, :]) / 6)


def gradients(corners: Float[np.ndarray, "*m 4 3"]) -> Float[np.ndarray, "*m 4 3"]:
    """∇λ_α of every corner, in 1 over the unit of the corners; any orientation, not flat."""
    inner = np.swapaxes(np.linalg.inv(corners[..., 1:, :] - corners[..., :1, :]), -1, -2)
    return np.concatenate([-inner.sum(-2, keepdims=True), inner], axis=-2)

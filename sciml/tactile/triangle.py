"""Lagrange shape functions of degree 1 and 2 and quadrature on a triangle, in barycentric λ.

    P1    N_a = λ_a                                            corners a = 0, 1, 2
    P2    N_a = λ_a (2 λ_a - 1)     N_ab = 4 λ_a λ_b           corners, then midpoints of 01, 12, 20

They are those of a tetrahedron on its face λ_3 = 0, in torch, because places may move.

Source: O. C. Zienkiewicz, R. L. Taylor, The Finite Element Method, vol. 1, 5th ed. (2000), § 8.8;
the quadrature is Radon's of seven points (1948), exact to degree 5.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

#: Local corners of the sides, in the order in which P2 numbers their midpoints.
SIDES = ((0, 1), (1, 2), (2, 0))


def shape(degree: int, at: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p nodes"]:
    """N_a at barycentric coordinates; degree 1 or 2."""
    if degree == 1:
        return at
    after = at.roll(-1, -1)
    return torch.cat([at * (2 * at - 1), 4 * at * after], dim=-1)


def slopes(degree: int, at: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p nodes 2"]:
    """∂N_a/∂(ξ, η) with λ = (1 - ξ - η, ξ, η); degree 1 or 2."""
    eye = torch.eye(3, dtype=at.dtype, device=at.device)
    along = eye.expand(*at.shape[:-1], 3, 3)
    if degree == 2:
        after = at.roll(-1, -1)
        middle = 4 * (eye * after[..., None] + eye.roll(1, 1) * at[..., None])
        along = torch.cat([along * (4 * at - 1)[..., None], middle], dim=-2)
    return along[..., 1:] - along[..., :1]


def quadrature() -> tuple[Float[Tensor, "q 3"], Float[Tensor, " q"]]:
    """Points in barycentric coordinates and weights that sum to 1."""
    root = 15**0.5
    points, weights = [[1 / 3] * 3], [9 / 40]
    for sign in (1, -1):
        b = (6 + sign * root) / 21
        for corner in range(3):
            points.append([1 - 2 * b if i == corner else b for i in range(3)])
            weights.append((155 + sign * root) / 1200)
    return torch.tensor(points, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)


def lattice(parts: int) -> tuple[Float[np.ndarray, "m 3"], list[tuple[int, int, int]]]:
    """A triangle cut into parts² equal ones: barycentric coordinates of corners, and whose."""
    number: dict[tuple[int, int], int] = {}
    points: list[tuple[float, float, float]] = []
    for i in range(parts + 1):
        for j in range(parts + 1 - i):
            number[i, j] = len(points)
            points.append(((parts - i - j) / parts, i / parts, j / parts))
    pieces = []
    for i, j in number:
        if i + j < parts:
            pieces.append((number[i, j], number[i + 1, j], number[i, j + 1]))
        if i + j < parts - 1:
            pieces.append((number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]))
    return np.array(points), pieces

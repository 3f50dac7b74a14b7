"""The point of a triangle closest to a given one, in barycentric coordinates, pair by pair.

Seven regions (the face, three edges, three corners) are told apart by signs of scalar products;
coordinates of edges and corners are exact zeros and ones, so that they tell the feature. In a
region they are smooth functions of the four points, differentiable by torch.

Source: C. Ericson, Real-Time Collision Detection (2005), § 5.1.5.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def barycentric(
    x: Float[Tensor, "3 k"], a: Float[Tensor, "3 k"], ab: Float[Tensor, "3 k"], ac: Tensor
) -> Float[Tensor, "3 k"]:
    """(λ_a, λ_b, λ_c) ≥ 0 with sum 1.

    Args:
        x: the given points, m.
        a: a corner of each triangle, m.
        ab, ac: from it to the other two, not parallel, m.
    """
    ax = x - a
    aa, bb, cc = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d1, d2 = _dot(ab, ax), _dot(ac, ax)
    d3, d4, d5, d6 = d1 - aa, d2 - bb, d1 - bb, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    whole = va + vb + vc
    v, w = vb / whole, vc / whole
    u = 1 - v - w
    zero, one = torch.zeros_like(u), torch.ones_like(u)

    def put(where: Tensor, u_: Tensor, v_: Tensor, w_: Tensor) -> None:
        nonlocal u, v, w
        u, v, w = torch.where(where, u_, u), torch.where(where, v_, v), torch.where(where, w_, w)

    bc = (d4 - d3) / ((d4 - d3) + (d5 - d6))
    put((va <= 0) & (d4 >= d3) & (d5 >= d6), zero, 1 - bc, bc)
    along = d2 / (d2 - d6)
    put((vb <= 0) & (d2 >= 0) & (d6 <= 0), 1 - along, zero, along)
    along = d1 / (d1 - d3)
    put((vc <= 0) & (d1 >= 0) & (d3 <= 0), 1 - along, along, zero)
    put((d6 >= 0) & (d5 <= d6), zero, zero, one)
    put((d3 >= 0) & (d4 <= d3), zero, one, zero)
    put((d1 <= 0) & (d2 <= 0), one, zero, zero)
    return torch.stack([u, v, w])


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(0)

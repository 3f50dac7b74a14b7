"""Pressure and shear on a surface from the forces on its nodes.

    Σ_b M_ab t_b = f_a,    M_ab = ∫ N_a N_b da        consistent: exact in the elements' space
    t_a = f_a / ∫ N_a da                              lumped: no negative pressure of pushing forces
    p = -t·n,    s = t + p n

| symbol | meaning | unit |
|---|---|---|
| f_a | force that acts on the body at node a (contact, load) | N |
| t | Cauchy traction, force per deformed area | Pa |
| n | outward unit normal of the deformed surface | 1 |
| p | pressure, positive where the surface is pushed in | Pa |
| s | shear, tangential | Pa |

Corners of quadratic triangles have no weight of their own: for lumping, forces of midpoints are
handed to the two ends of their side, and t there is the mean of these. Either way the integral
of t is the total force.

Source: O. C. Zienkiewicz, R. L. Taylor, The Finite Element Method, vol. 1, 5th ed. (2000), § 14.6
(smoothing by least squares) and appendix I (lumping).
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.surface import Surface
from sciml.tactile.triangle import SIDES, shape


@final
@dataclass(frozen=True, eq=False)
class Traction:
    """Traction at the nodes of a surface, `surface.nodes`.

    Args:
        surface: whose.
        normals: `[s, 3]` outward, deformed.
        vectors: `[s, 3]`, Pa.
    """

    surface: Surface
    normals: Float[Tensor, "s 3"]
    vectors: Float[Tensor, "s 3"]

    @property
    def pressure(self) -> Float[Tensor, " s"]:
        """p, Pa; positive where the surface is pushed in."""
        return -(self.vectors * self.normals).sum(-1)

    @property
    def shear(self) -> Float[Tensor, "s 3"]:
        """s, Pa, tangential."""
        return self.vectors + self.pressure[:, None] * self.normals

    def everywhere(self, values: Float[Tensor, "s ..."]) -> Float[Tensor, "n ..."]:
        """Values at the surface's nodes as a field on all nodes, zero elsewhere."""
        all_nodes = values.new_zeros(self.surface.elements.n, *values.shape[1:])
        return all_nodes.index_copy(0, self.surface.nodes, values)


def consistent(surface: Surface, u: Float[Tensor, "n 3"], forces: Float[Tensor, "n 3"]) -> Traction:
    """Traction by the consistent mass of the deformed surface; may overshoot at a contact's edge.

    The matrix is dense: s² numbers, 26 MB for 1800 nodes on the surface.

    Args:
        surface: on which the forces act; those of other nodes are left out.
        u: `[n, 3]` displacements, m.
        forces: `[n, 3]` on the body, N.

    Raises:
        UserError: other shapes.
    """
    surface.require(u=u, forces=forces)
    areas, points = surface.areas(u)
    N, local = shape(surface.degree, points), surface.local
    blocks = torch.einsum("kq,qa,qb->kab", areas, N, N)
    s = len(surface.nodes)
    place = (local[:, :, None] * s + local[:, None, :]).reshape(-1)
    M = blocks.new_zeros(s * s).index_add(0, place, blocks.reshape(-1)).reshape(s, s)
    vectors = torch.cholesky_solve(forces[surface.nodes], torch.linalg.cholesky(M))
    return Traction(surface, surface.node_normals(u), vectors)


def lumped(surface: Surface, u: Float[Tensor, "n 3"], forces: Float[Tensor, "n 3"]) -> Traction:
    """Traction by a lumped mass of the deformed surface. Arguments: see `consistent`."""
    surface.require(u=u, forces=forces)
    areas, points = surface.areas(u)
    s, local = len(surface.nodes), surface.local
    corners = local[:, :3].reshape(-1)
    weights = areas.new_zeros(s).index_add(0, corners, (areas @ points).reshape(-1))
    f = forces[surface.nodes]
    if surface.degree == 1:
        return Traction(surface, surface.node_normals(u), f / weights[:, None])
    middle, end = _sides(surface)
    handed = f.index_add(0, end.reshape(-1), (f[middle] / 2).repeat_interleave(2, 0))
    is_corner = torch.zeros(s, dtype=torch.bool).index_fill(0, corners, True)
    divisor = torch.where(is_corner, weights, torch.ones_like(weights))
    vectors = torch.where(is_corner[:, None], handed / divisor[:, None], torch.zeros_like(f))
    vectors = vectors.index_copy(0, middle, vectors[end].mean(1))
    return Traction(surface, surface.node_normals(u), vectors)


def _sides(surface: Surface) -> tuple[Tensor, Tensor]:
    """Midpoints `[e]` of the surface's sides, each once, and their two ends `[e, 2]`."""
    local = surface.local
    middle = local[:, 3:].reshape(-1)
    end = local[:, torch.tensor(SIDES)].reshape(-1, 2)
    order = torch.argsort(middle, stable=True)
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = middle[order][1:] != middle[order][:-1]
    return middle[order][first], end[order][first]

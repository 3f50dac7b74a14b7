"""Which place of one surface a point of another faces, and along which normal.

A point is paired with the nearest triangle of corners within the reach, at the closest place λ:

    g = n·(x - Σ_a N_a(λ) x_a)        n = Σ_a N_a(λ) n_a, of length one

n_a are the normals at nodes, so that neither g nor n jumps from one triangle to the next. Points
beside the surface, closest to its border, are not paired.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sciml.tactile.contact.closest import barycentric
from sciml.tactile.contact.search import nearest
from sciml.tactile.surface import Surface
from sciml.tactile.triangle import shape

#: Share of its distance by which a point's way to the border may lean before it lies beside it.
BESIDE = 1e-6


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """What the points face.

    Args:
        facet: `[q]` triangle of the surface, -1 where nothing is in reach.
        weights: `[q, nodes]` shape functions N_a there.
        normal: `[q, 3]` n.
    """

    facet: Int[Tensor, " q"]
    weights: Float[Tensor, "q nodes"]
    normal: Float[Tensor, "q 3"]

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.facet, self.weights, self.normal

    @property
    def paired(self) -> Bool[Tensor, " q"]:
        return self.facet >= 0


@final
@dataclass(frozen=True, eq=False)
class Facing:
    """A surface that points may face.

    Args:
        surface: its triangles.
        reach: m; what is further away is not paired.
    """

    surface: Surface
    reach: float

    @cached_property
    def _sides(self) -> Int[np.ndarray, "sides 2"]:
        """Ends of the sides opposite to corners 0, 1, 2 of every triangle."""
        corners = self.surface.triangles[:, :3].numpy()
        opposite = [corners[:, [1, 2]], corners[:, [2, 0]], corners[:, [0, 1]]]
        return np.sort(np.stack(opposite, 1), axis=-1).reshape(-1, 2)

    @cached_property
    def border(self) -> Bool[np.ndarray, "k 3"]:
        """Whether the sides opposite to corners 0, 1, 2 belong to no other triangle."""
        _, place, count = np.unique(self._sides, axis=0, return_inverse=True, return_counts=True)
        return (count[place] == 1).reshape(-1, 3)

    @cached_property
    def border_nodes(self) -> Bool[np.ndarray, " n"]:
        """Whether a node is an end of a side of the border."""
        corners = self.surface.triangles[:, :3].numpy()
        found = np.zeros(self.surface.elements.n, dtype=bool)
        for i in range(3):
            found[np.delete(corners, i, 1)[self.border[:, i]]] = True
        return found

    def pairs(self, x: Float[Tensor, "q 3"], u: Float[Tensor, "n 3"]) -> Pairs:
        """What points at x face while the surface's body is displaced by u.

        The weights and normals are differentiable by x and u; which triangle it is, is not.
        """
        corners = (self.surface.rest + u)[self.surface.triangles[:, :3]]
        facet, _ = nearest(x.detach().numpy(), corners.detach().numpy(), self.reach)
        chosen = torch.from_numpy(facet.clip(min=0))
        a, b, c = corners[chosen].unbind(1)
        bary = barycentric(x.T, a.T, (b - a).T, (c - a).T).T
        facet[self._beside(x, corners[chosen], bary, chosen)] = -1
        weights = shape(self.surface.degree, bary)
        normals = self.surface.node_normals(u)[self.surface.local[chosen]]
        normal = (weights[:, :, None] * normals).sum(1)
        return Pairs(torch.from_numpy(facet), weights, normal / normal.norm(dim=1, keepdim=True))

    def place(self, u: Float[Tensor, "n 3"], pairs: Pairs) -> Float[Tensor, "q 3"]:
        """Where the facing places are, m."""
        at = (self.surface.rest + u)[self.surface.triangles[pairs.facet.clamp(min=0)]]
        return (pairs.weights[:, :, None] * at).sum(1)

    def around(self, facet: Int[Tensor, " q"]) -> Int[np.ndarray, "p 2"]:
        """Which point (by its number) may come to which node, sliding to a triangle beside."""
        number = np.flatnonzero(facet.numpy() >= 0)
        ring = self._neighbours[facet.numpy()[number]]
        nodes = self.surface.triangles.numpy()[ring].reshape(len(number), -1)
        found = np.column_stack([np.repeat(number, nodes.shape[1]), nodes.ravel()])
        return np.unique(found, axis=0)

    @cached_property
    def _neighbours(self) -> Int[np.ndarray, "k 4"]:
        """Every triangle and those that share a side with it (itself, where there is none)."""
        sides = self._sides
        order = np.lexsort(sides.T)
        ends = sides[order]
        same = np.flatnonzero((ends[1:] == ends[:-1]).all(1))
        found = np.repeat(np.arange(len(sides) // 3), 3)
        one, other = order[same], order[same + 1]
        found[one], found[other] = other // 3, one // 3
        return np.column_stack([np.arange(len(sides) // 3), found.reshape(-1, 3)])

    def _beside(
        self, x: Tensor, corners: Tensor, bary: Tensor, chosen: Tensor
    ) -> Bool[np.ndarray, " q"]:
        """Points whose closest place is on the border and whose way there is not straight down."""
        way = (x - (bary[:, :, None] * corners).sum(1)).detach()
        edges = (corners[:, 1:] - corners[:, :1]).detach()
        face = torch.linalg.cross(edges[:, 0], edges[:, 1])
        face = face / face.norm(dim=1, keepdim=True)
        across = way - (way * face).sum(1, keepdim=True) * face
        size = edges.norm(dim=2).amax(1)
        leaning = (across.norm(dim=1) > BESIDE * size).numpy()
        zero, facet = bary.detach().numpy() == 0, chosen.numpy()
        on_side = (zero & self.border[facet]).any(1)
        nodes = self.surface.triangles.numpy()[facet, np.argmax(bary.detach().numpy(), 1)]
        on_corner = (zero.sum(1) == 2) & self.border_nodes[nodes]
        return leaning & (on_side | on_corner)

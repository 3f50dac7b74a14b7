"""Vertices and flat triangles of all that must not pass each other: surfaces of a body, a solid.

    x = X + u at nodes of the surfaces,    x = c + R y at points of the solid, which follow

Linear triangles are taken as they are, quadratic ones cut into four through their six nodes.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import bsr_matrix, csc_matrix
from torch import Tensor

from sciml.tactile.contact.pose import rotation
from sciml.tactile.contact.shell import Shell, inside
from sciml.tactile.elements import Elements
from sciml.tactile.parts import bodies

#: Corners and midpoints (3 = 01, 4 = 12, 5 = 20) of the four parts of a quadratic triangle.
QUARTERS = ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5))


@final
class Skin:
    """Vertices of named surfaces, each once, and of a solid.

    Args:
        elements: the body, or several in one mesh.
        names: of surfaces.
        solid: or None.

    Attributes:
        nodes: `[s]`, rising; the first `count` = s vertices.
        rest: `[v, 3]`, m; the solid's in its own frame.
        triangles: `[k, 3]` vertices.
        body: `[v]` number of each vertex's body; that of the solid is the highest.

    Raises:
        UserError: no such surface.
    """

    def __init__(self, elements: Elements, names: Sequence[str], solid: Shell | None) -> None:
        self.elements, self.names, self.solid = elements, names, solid
        corners = np.concatenate([elements.mesh.surface(name) for name in names])
        first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)[1]
        triangles = elements.with_midpoints(corners[first])
        if elements.degree == 2:
            triangles = triangles[:, QUARTERS].reshape(-1, 3)
        self.nodes, self._bodies = np.unique(triangles), bodies(elements)
        self.count = len(self.nodes)
        self.rest, self.body = elements.nodes[self.nodes], self._bodies[self.nodes]
        self.triangles = np.searchsorted(self.nodes, triangles)
        self._index, self._at_rest = torch.from_numpy(self.nodes), torch.from_numpy(self.rest)
        if solid is not None:
            self._points = torch.from_numpy(solid.points)
            self.triangles = np.concatenate([self.triangles, self.count + solid.triangles])
            self.rest = np.concatenate([self.rest, solid.points])
            another = np.full(len(solid.points), self.body.max() + 1)
            self.body = np.concatenate([self.body, another])

    @property
    def named(self) -> str:
        """The surfaces, for messages."""
        return ", ".join(f"'{name}'" for name in self.names)

    # ---- places and forces ----------------------------------------------------------------------

    def vertices(self, u: Tensor, pose: Tensor | None = None) -> Float[Tensor, "v 3"]:
        """x, m."""
        soft = self._at_rest + u[self._index]
        return soft if pose is None else torch.cat([soft, self._placed(pose)])

    def _placed(self, pose: Tensor) -> Float[Tensor, "h 3"]:
        """c + R y; found once for the many calls of one solve, which share their poses."""
        wanted = torch.is_grad_enabled() and pose.requires_grad
        for known, found in self._latest:
            if known is pose and not wanted:
                return found
        found = pose[:3] + self._points @ rotation(pose[3:]).T
        if not found.requires_grad:
            self._latest[:] = [(pose, found), *self._latest[:2]]
        return found

    @cached_property
    def _latest(self) -> list[tuple[Tensor, Tensor]]:
        return []

    def to_nodes(self, forces: Float[Tensor, "v 3"]) -> Float[Tensor, "n 3"]:
        """Forces on the body's nodes from those on the vertices."""
        found = forces.new_zeros(self.elements.n, 3)
        return found.index_add(0, self._index, forces[: self.count])

    # ---- which nodes are coupled ----------------------------------------------------------------

    def coupling(self, stencils: Int[np.ndarray, "p 4"]) -> Int[np.ndarray, "k 2"]:
        """Node pairs a ≤ b of stencils of vertices (-1: none), each once."""
        i, j = np.triu_indices(4)
        ends = np.stack([stencils[:, i], stencils[:, j]], -1).reshape(-1, 2)
        soft = ((ends >= 0) & (ends < self.count)).all(1)
        ends = np.sort(self.nodes[ends[soft]], axis=1)
        n = self.elements.n
        return np.stack(np.divmod(np.unique(ends @ [n, 1]), n), -1)

    def blocks(self, H: csc_matrix, pairs: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 3 3"]:
        """Those of node pairs, of a matrix of all vertices' components."""
        soft = bsr_matrix(H[: 3 * self.count, : 3 * self.count], blocksize=(3, 3))
        rows = np.repeat(np.arange(self.count), np.diff(soft.indptr))
        numbers = rows * self.count + soft.indices
        wanted = np.searchsorted(self.nodes, pairs) @ [self.count, 1]
        found = np.zeros((len(pairs), 3, 3))
        if len(numbers):
            order = np.argsort(numbers)
            place = order[np.searchsorted(numbers, wanted, sorter=order).clip(max=len(order) - 1)]
            there = numbers[place] == wanted
            found[there] = soft.data[place[there]]
        return found

    # ---- overlap --------------------------------------------------------------------------------

    def nested(self, u: Tensor, x: Float[np.ndarray, "v 3"]) -> bool:
        """Whether a vertex, all at x, lies in another body, displaced by u, or in the solid."""
        if self.solid is not None and inside(
            x[: self.count], x[self.count :][self.solid.triangles]
        ):
            return True
        at, boundary = self.elements.nodes + u.numpy(), self.elements.mesh.surface("boundary")
        return any(
            inside(x[self.body != body], at[boundary[self._bodies[boundary[:, 0]] == body]])
            for body in np.unique(self.body[: self.count])
        )

"""A named surface of a body as curved triangles: positions, tangents and normals from u.

    x(λ) = Σ_a N_a(λ) (X_a + u_a)        n = (x_ξ × x_η) / |x_ξ × x_η|,  outwards

Everything is differentiable by torch with respect to u, to X where positions ask for it, and, where
a place moves, to λ.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.triangle import quadrature, shape, slopes


@final
@dataclass(frozen=True, eq=False)
class Places:
    """Material points of a surface.

    Args:
        triangle: `[p]` numbers of the surface's triangles.
        barycentric: `[p, 3]`, in [0, 1], sums of 1.
    """

    triangle: Int[Tensor, " p"]
    barycentric: Float[Tensor, "p 3"]

    def __len__(self) -> int:
        return len(self.triangle)


@final
class Surface:
    """One surface of a body, with the shape functions of its elements.

    Args:
        elements: the body.
        name: of the surface.

    Attributes:
        triangles: `[k, 3 or 6]` nodes of each triangle: corners, then the midpoints of its
            sides 01, 12, 20.
        nodes: `[s]` nodes on the surface, rising.
        local: `[k, 3 or 6]` the same triangles by the place of their nodes in `nodes`.

    Raises:
        UserError: no such surface.
    """

    def __init__(self, elements: Elements, name: str) -> None:
        self.elements, self.name, self.degree = elements, name, elements.degree
        triangles = elements.with_midpoints(elements.mesh.surface(name))
        nodes, local = np.unique(triangles, return_inverse=True)
        self.triangles, self.nodes = torch.from_numpy(triangles), torch.from_numpy(nodes)
        self.local = torch.from_numpy(local.reshape(triangles.shape))

    @property
    def rest(self) -> Float[Tensor, "n 3"]:
        """All nodes of the body at rest, m; differentiable like `Elements.rest`."""
        return self.elements.rest

    @cached_property
    def extent(self) -> float:
        """The longest edge of the box around the surface at rest, m."""
        at = self.elements.nodes[self.nodes.numpy()]
        return float(np.ptp(at, axis=0).max())

    def still(self) -> Float[Tensor, "n 3"]:
        """u = 0."""
        return torch.zeros(self.elements.n, 3, dtype=torch.float64)

    def require(self, **values: Tensor) -> None:
        """Refuses what is not one vector for each node.

        Raises:
            UserError: another shape.
        """
        for name, value in values.items():
            if tuple(value.shape) != (self.elements.n, 3):
                raise UserError(
                    f"{name}: expected one vector for each node, [{self.elements.n}, 3], got "
                    f"{list(value.shape)}; for degree {self.degree} the midpoints of edges count"
                )

    def interpolated(self, values: Float[Tensor, "n ..."], at: Places) -> Float[Tensor, "p ..."]:
        """A field given at the nodes, at places."""
        N = shape(self.degree, at.barycentric)
        return torch.einsum("pa,pa...->p...", N, values[self.triangles[at.triangle]])

    def positions(self, u: Float[Tensor, "n 3"], at: Places) -> Float[Tensor, "p 3"]:
        """x of places, m."""
        return self.interpolated(self.rest + u, at)

    def tangents(self, u: Float[Tensor, "n 3"], at: Places) -> Float[Tensor, "p 3 2"]:
        """(x_ξ, x_η) at places, m, with λ = (1 - ξ - η, ξ, η)."""
        corners = (self.rest + u)[self.triangles[at.triangle]]
        return torch.einsum("pab,pai->pib", slopes(self.degree, at.barycentric), corners)

    def crossed(self, u: Float[Tensor, "n 3"], at: Places) -> Float[Tensor, "p 3"]:
        """x_ξ × x_η, m²: along the outward normal, twice the area of a flat triangle long."""
        tangents = self.tangents(u, at)
        return torch.linalg.cross(tangents[..., 0], tangents[..., 1])

    def normals(self, u: Float[Tensor, "n 3"], at: Places) -> Float[Tensor, "p 3"]:
        """Outward unit normals at places."""
        return _unit(self.crossed(u, at))

    def node_normals(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "s 3"]:
        """Outward unit normals at `nodes`: means over their triangles by area."""
        corner = torch.eye(3, dtype=u.dtype)
        if self.degree == 2:
            corner = torch.cat([corner, (corner + corner.roll(-1, 0)) / 2])
        crossed = self.crossed(u, self._everywhere(corner)).reshape(*self.local.shape, 3)
        sums = u.new_zeros(len(self.nodes), 3)
        return _unit(sums.index_add(0, self.local.reshape(-1), crossed.reshape(-1, 3)))

    def areas(self, u: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "k q"], Float[Tensor, "q 3"]]:
        """Deformed area belonging to every quadrature point, m², and the points' λ."""
        points, weights = quadrature()
        crossed = self.crossed(u, self._everywhere(points)).reshape(len(self.triangles), -1, 3)
        return crossed.norm(dim=-1) * weights / 2, points

    def _everywhere(self, points: Float[Tensor, "q 3"]) -> Places:
        """The same points in all triangles, triangle by triangle."""
        k, q = len(self.triangles), len(points)
        return Places(torch.arange(k).repeat_interleave(q), points.repeat(k, 1))


def _unit(vectors: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    return vectors / vectors.norm(dim=-1, keepdim=True)

"""Where a surface is asked whether it touches: points of quadrature on its triangles at rest.

    x_q = X_q + Σ_a N_a(λ_q) u_a        f_a = Σ_q A_q N_a(λ_q) t_q        K_ab = Σ_q A_q N_a N_b D_q

Linear triangles have their corners (Σ A_q = a third of every triangle around), quadratic ones
Gauss' three points: a uniform pressure then gives exactly the nodal forces that belong to it.
"""

from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.tactile.elements import Elements
from sciml.tactile.triangle import shape

#: Barycentric coordinates of the points on a quadratic triangle; equal weights, exact to degree 2.
GAUSS = torch.full((3, 3), 1 / 6, dtype=torch.float64) + torch.eye(3, dtype=torch.float64) / 2


@final
class Points:
    """Points of one named surface.

    Args:
        elements: the body.
        surface: of the body.

    Attributes:
        nodes: `[q, k]` that move a point; k = 1 on linear, 6 on quadratic triangles.
        shape: `[q, k]`.
        areas: `[q]` A_q, m²; differentiable like `Elements.rest`.
        rest: `[q, 3]` X_q, m; likewise.
        pairs: `[p, 2]` coupled nodes a ≤ b.
    """

    def __init__(self, elements: Elements, surface: str) -> None:
        triangles = elements.mesh.surface(surface)
        if elements.degree == 1:
            nodes = np.flatnonzero(elements.surface_weights(surface))[:, None]
            values = np.ones((len(nodes), 1))
        else:
            nodes = np.repeat(elements.with_midpoints(triangles), len(GAUSS), axis=0)
            values = np.tile(shape(2, GAUSS).numpy(), (len(triangles), 1))
        self.elements, self.surface, self.triangles = elements, surface, triangles
        self.nodes, self.shape = torch.from_numpy(nodes), torch.from_numpy(values)
        self.per_triangle = len(nodes) if elements.degree == 1 else len(GAUSS)

    @property
    def areas(self) -> Float[Tensor, " q"]:
        return self._areas() if self.elements.shaped else self._constant[0]

    @property
    def rest(self) -> Float[Tensor, "q 3"]:
        return self._rest() if self.elements.shaped else self._constant[1]

    @cached_property
    def _constant(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self._areas(), self._rest()

    def _areas(self) -> Tensor:
        if self.elements.degree == 1:
            return self.elements.shares(self.surface)[self.nodes[:, 0]]
        return self.elements.areas(self.triangles).repeat_interleave(len(GAUSS)) / len(GAUSS)

    def _rest(self) -> Tensor:
        return (self.shape[:, :, None] * self.elements.rest[self.nodes]).sum(1)

    def at(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "q 3"]:
        """x."""
        if self.shape.shape[1] == 1:
            return self.rest + u[self.nodes[:, 0]]
        return self.rest + (self.shape[:, :, None] * u[self.nodes]).sum(1)

    def spread(self, t: Float[Tensor, "q 3"], u: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """f of forces per area at the points; `u` gives the number of nodes."""
        shares = (self.areas[:, None] * self.shape)[:, :, None] * t[:, None, :]
        return torch.zeros_like(u).index_add(0, self.nodes.reshape(-1), shares.reshape(-1, 3))

    @cached_property
    def _local(self) -> Int[np.ndarray, "2 j"]:
        return np.stack(np.triu_indices(self.shape.shape[1]))

    @cached_property
    def pairs(self) -> Int[np.ndarray, "p 2"]:
        a, b = self._local
        nodes = self.nodes.numpy()
        first = nodes if nodes.shape[1] == 1 else nodes[:: self.per_triangle]
        return np.sort(np.stack([first[:, a], first[:, b]], -1).reshape(-1, 2), axis=1)

    def blocks(self, D: Float[Tensor, "q 3 3"]) -> Float[Tensor, "p 3 3"]:
        """K of the pairs, from symmetric slopes -∂t/∂x at the points."""
        weighted = self.areas[:, None, None] * D
        if self.shape.shape[1] == 1:
            return weighted
        a, b = (torch.from_numpy(i) for i in self._local)
        products = self.shape[: self.per_triangle]  # the same on all triangles
        products = products[:, a] * products[:, b]
        by_triangle = weighted.reshape(-1, self.per_triangle, 9)
        return torch.einsum("qj,tqi->tji", products, by_triangle).reshape(-1, 3, 3)

"""Finite elements of degree 1 and 2 on a tetrahedral mesh: from displacements to F, and back.

    F = I + G u        f = Gᵀ (w P)        w = weight of a quadrature point times the volume

G is one sparse matrix of shape functions' gradients; rows run over (J, quadrature point, cell),
columns over nodes, the same for each component of u. Positions inside straight tetrahedra of
degree 2 are those of degree 1, so that gradients of barycentric coordinates are constant.

The corners of every cell are sorted by number, and the midpoints of edges are numbered after all
corners in the order of their ends: the nodes of a cell then rise, and a pair of them lies in the
upper triangle of every matrix.

The positions of the corners may be a tensor that asks for gradients: `rest`, and what is made of it
by torch, then depends on it, while all that is kept as arrays has its values.

Source: T. Belytschko, W. K. Liu, B. Moran, Nonlinear Finite Elements for Continua and Structures
(2000), § 4.9 (total Lagrangian formulation).
"""

from dataclasses import replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from sciml.calculus.simplex import edges, gradients, mass, rule, shape, slopes, volumes
from sciml.contracts import UserError
from sciml.tactile.mesh import Mesh

#: Degree of the quadrature of ψ by degree of the elements: exact for constant and linear F.
QUADRATURE = {1: 1, 2: 2}


@final
class Elements:
    """Nodes, cells, weights and gradients of one mesh.

    Args:
        mesh: straight tetrahedra.
        degree: 2 (default; bears ν up to 0.495), or 1 (constant strain, stiff beyond ν of 0.4).
        positions: `[corners, 3]`, m, of the mesh's corners at rest in place of its own; gradients
            flow to them. Elements are made anew for other positions.

    Attributes:
        nodes: `[n, 3]`, m; the mesh's corners, then the midpoints of its edges.
        cells: `[m, 4 or 10]` nodes of each cell, rising.
        weights: `[q, m]`, m³.

    Raises:
        UserError: another degree; positions that make no mesh.
    """

    def __init__(
        self, mesh: Mesh, degree: int = 2, positions: Float[Tensor, "corners 3"] | None = None
    ) -> None:
        if degree not in (1, 2):
            raise UserError(f"elements: expected degree 1 or 2, got {degree!r}")
        self.positions = positions
        if positions is not None:
            mesh = _placed(mesh, positions)
            self._version = positions._version
        self.mesh, self.degree = mesh, degree
        corners = np.sort(mesh.tets, axis=1)
        self.ends, of_cell = edges(corners)
        self.nodes, self.cells = mesh.nodes, corners
        if degree == 2:
            self.nodes = np.concatenate([mesh.nodes, mesh.nodes[self.ends].mean(1)])
            self.cells = np.concatenate([corners, len(mesh.nodes) + of_cell], axis=1)
        self.volumes = np.abs(volumes(mesh.nodes[corners]))
        #: ∇λ, `[4, 3, m]`, 1/m.
        self.barycentric = np.ascontiguousarray(np.moveaxis(gradients(mesh.nodes[corners]), 0, -1))
        quadrature = rule(QUADRATURE[degree])
        #: ∂N_a/∂λ_α at the quadrature points, `[q, a, α]`.
        self.slopes = slopes(degree, quadrature.points)
        self.shape = shape(degree, quadrature.points)
        self.weights = quadrature.weights[:, None] * self.volumes

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    # ---- nodes at rest, by torch ---------------------------------------------------------------

    @property
    def shaped(self) -> bool:
        """Whether gradients flow to positions here and now."""
        given = self.positions
        return given is not None and given.requires_grad and torch.is_grad_enabled()

    @property
    def rest(self) -> Float[Tensor, "n 3"]:
        """`nodes` as a tensor, through which gradients flow to the positions.

        Raises:
            UserError: the positions were changed since.
        """
        if not self.shaped:
            return self._nodes_tensor
        self.refuse_changes()
        corners = self.positions
        if self.degree == 1:
            return corners
        return torch.cat([corners, corners[torch.from_numpy(self.ends)].mean(1)])

    @cached_property
    def _nodes_tensor(self) -> Float[Tensor, "n 3"]:
        return torch.from_numpy(self.nodes)

    def refuse_changes(self) -> None:
        """Positions that were written over, as an optimiser does.

        Raises:
            UserError: they were.
        """
        if self.positions is not None and self.positions._version != self._version:
            raise UserError(
                "positions: expected them as they were when the elements were made, got others; "
                "make the elements, and what is built on them, anew after every change"
            )

    def areas(self, triangles: Int[np.ndarray, "k 3"]) -> Float[Tensor, " k"]:
        """Of triangles of corners at rest, m²; differentiable like `rest`."""
        a, b, c = self.rest[torch.from_numpy(triangles)].unbind(1)
        return torch.linalg.cross(b - a, c - a).norm(dim=1) / 2

    # ---- fields --------------------------------------------------------------------------------

    @cached_property
    def gradient(self) -> csr_matrix:
        """G, `[3 q m, n]`, 1/m."""
        q, a, m = len(self.weights), self.cells.shape[1], len(self.cells)
        values = np.einsum("qab,bjm->jqma", self.slopes, self.barycentric)
        columns = np.broadcast_to(self.cells, (3, q, m, a))
        starts = np.arange(0, values.size + 1, a)
        return csr_matrix((values.ravel(), columns.ravel(), starts), shape=(3 * q * m, self.n))

    @cached_property
    def divergence(self) -> csr_matrix:
        """Gᵀ, stored by its own rows."""
        return self.gradient.T.tocsr()

    @cached_property
    def weights_tensor(self) -> Float[Tensor, "q m"]:
        return torch.from_numpy(self.weights)

    def deformation(self, u: Float[np.ndarray, "n 3"]) -> Float[Tensor, "q m 3 3"]:
        """F = I + ∂u/∂X; in memory its two axes i, J come first."""
        q, m = self.weights.shape
        F = np.empty((3, 3, q, m))
        for i in range(3):
            F[i] = (self.gradient @ np.ascontiguousarray(u[:, i])).reshape(3, q, m)
            F[i, i] += 1
        return torch.from_numpy(F).permute(2, 3, 0, 1)

    def force(self, stress: Float[Tensor, "q m 3 3"]) -> Float[np.ndarray, "n 3"]:
        """Gᵀ (w P), N: the force that the nodes must apply to hold the stress `P`, Pa."""
        weighted = (stress.permute(2, 3, 0, 1) * self.weights_tensor).reshape(3, -1).numpy()
        return np.column_stack([self.divergence @ row for row in weighted])

    @cached_property
    def pairs(self) -> Int[np.ndarray, "p 2"]:
        """Local nodes a ≤ b of the pairs in which matrices of cells are kept."""
        return np.column_stack(np.triu_indices(self.cells.shape[1]))

    @cached_property
    def mass(self) -> Float[np.ndarray, "p m"]:
        """∫ N_a N_b dV of every pair and cell, m³; consistent, exact."""
        a, b = self.pairs.T
        return mass(self.degree)[a, b][:, None] * self.volumes

    def with_midpoints(self, triangles: Int[np.ndarray, "k 3"]) -> Int[np.ndarray, "k nodes"]:
        """All nodes of triangles of the mesh: three corners, then three midpoints if degree 2.

        The midpoints are those of sides 01, 12, 20.
        """
        if self.degree == 1:
            return triangles
        sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=-1)
        n = len(self.mesh.nodes)
        numbers = self.ends[:, 0] * n + self.ends[:, 1]
        found = np.searchsorted(numbers, sides[..., 0] * n + sides[..., 1])
        return np.concatenate([triangles, n + found], axis=1)

    def on(self, *surfaces: str) -> Int[np.ndarray, " k"]:
        """The nodes on named surfaces, rising.

        Raises:
            UserError: no such surface.
        """
        found = [self.with_midpoints(self.mesh.surface(name)) for name in surfaces]
        return np.unique(np.concatenate([nodes.ravel() for nodes in found]))

    def surface_weights(self, surface: str) -> Float[np.ndarray, " n"]:
        """∫ N_a dA over a surface at rest, m²; zero for nodes that are not on it.

        Corners of quadratic triangles have none: the whole weight is on the midpoints.
        """
        with torch.no_grad():
            return self.shares(surface).numpy()

    def shares(self, surface: str) -> Float[Tensor, " n"]:
        """`surface_weights`, differentiable like `rest`."""
        triangles = self.mesh.surface(surface)
        nodes = torch.from_numpy(self.with_midpoints(triangles)[:, -3:])
        third = (self.areas(triangles) / 3)[:, None].expand(-1, 3)
        found = torch.zeros(self.n, dtype=torch.float64)
        return found.index_add(0, nodes.reshape(-1), third.reshape(-1))


def _placed(mesh: Mesh, positions: Tensor) -> Mesh:
    """The mesh with corners elsewhere."""
    if tuple(positions.shape) != mesh.nodes.shape or positions.dtype != torch.float64:
        raise UserError(
            f"positions: expected one for each corner, {list(mesh.nodes.shape)} in float64, got "
            f"{list(positions.shape)} in {str(positions.dtype).removeprefix('torch.')}"
        )
    return replace(mesh, nodes=positions.detach().numpy().copy())

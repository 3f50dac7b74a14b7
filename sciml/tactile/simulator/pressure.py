"""Pressures on the corners of quadratic elements (Taylor-Hood), and the saddle of both unknowns.

    p = s Σ_b N_b π_b          N_b linear, continuous;  s = μ/h

    r_π = s ∫ N_b (θ - p/k) dV     B = ∂r_u/∂π = s ∫ (∂θ/∂F ∇N_a) N_b dV     C = s² ∫ N_a N_b/k dV

    [K   B] [du]     [r_u]
    [Bᵀ -C] [dπ] = - [r_π]

With μ the shear modulus and h the size of a cell π is a length, and all residuals are forces: one
tolerance judges them. Unknowns are one vector y: 3 components of every node, then π.

Source: C. Taylor, P. Hood, Comput. Fluids 1 (1973) 73-100; D. Boffi, F. Brezzi, M. Fortin, Mixed
Finite Element Methods and Applications (2013), § 8.8 (stability).
"""

from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import bmat, csr_matrix, hstack
from torch import Tensor

from sciml.calculus.simplex import rule
from sciml.tactile.elements import QUADRATURE, Elements
from sciml.tactile.pattern import Pattern
from sciml.tactile.simulator.ordering import nested_dissection


@final
class Pressure:
    """The field of pressures of one mesh.

    Attributes:
        count: number of corners, each with a pressure.
        size: h, m.
    """

    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        self.corners = elements.cells[:, :4]
        self.count = len(elements.mesh.nodes)
        self.size = float(np.cbrt(elements.volumes.mean()))
        #: N_b at the quadrature points, `[q, 4]`.
        self.shape = rule(QUADRATURE[elements.degree]).points
        self._saddle: tuple[Pattern, Saddle] | None = None

    def at_points(self, values: Float[np.ndarray, " c"]) -> Float[Tensor, "q m"]:
        """Σ_b N_b values_b."""
        return torch.from_numpy(self.shape @ values[self.corners].T)

    def integrals(self, values: Float[Tensor, "q m"]) -> Float[np.ndarray, " c"]:
        """∫ N_b values dV."""
        weighted = self.shape.T @ (values.numpy() * self.elements.weights)
        return np.bincount(self.corners.T.ravel(), weighted.ravel(), self.count)

    def coupling(self, spread: Float[Tensor, "q m 3 3"]) -> Float[np.ndarray, " e"]:
        """∫ (∂θ/∂F ∇N_a) N_b dV, m², in the rows of `coupled`."""
        weighted = spread.permute(2, 3, 0, 1).numpy() * self.elements.weights
        along = np.einsum("ijqm,ajm->aiqm", weighted, self.elements.barycentric, optimize=True)
        slopes = np.einsum("qna,qb->nbaq", self.elements.slopes, self.shape)
        n, b, a, q = slopes.shape
        found = slopes.reshape(n * b, a * q) @ along.transpose(0, 2, 1, 3).reshape(a * q, -1)
        place, count = self._coupled[2], len(self._coupled[1])
        return np.bincount(place, found.ravel(), count)

    def compressing(self, compliance: Float[Tensor, "*q_m"]) -> Float[np.ndarray, " e"]:
        """∫ N_a N_b/k dV, m³/Pa, of all pairs of corners."""
        weights = (compliance * self.elements.weights_tensor).numpy()
        products = np.einsum("qa,qb->abq", self.shape, self.shape).reshape(16, -1)
        return np.bincount(self._pairs[2], (products @ weights).ravel(), len(self._pairs[1]))

    def saddle(self, pattern: Pattern) -> "Saddle":
        """The matrices for one choice of held components; kept while `pattern` is the same."""
        if self._saddle is None or self._saddle[0] is not pattern:
            self._saddle = pattern, Saddle(self, pattern)
        return self._saddle[1]

    def rows_of(self, coupling: Float[np.ndarray, " e"]) -> csr_matrix:
        """B/s `[3 n, c]` of its entries."""
        starts, columns, _ = self._coupled
        return csr_matrix((coupling, columns, starts), shape=(3 * self.elements.n, self.count))

    def pairs_of(self, entries: Float[np.ndarray, " e"]) -> csr_matrix:
        """C `[c, c]` of its entries."""
        starts, columns, _ = self._pairs
        return csr_matrix((entries, columns, starts), shape=(self.count, self.count))

    @cached_property
    def order(self) -> Int[np.ndarray, " n_c"]:
        """Nodes and then corners' pressures, numbered on, in an order that fills in little."""
        n, mesh = self.elements.n, self.elements.mesh
        positions = np.concatenate([self.elements.nodes, mesh.nodes])
        cells = np.concatenate([self.elements.cells, n + self.corners], axis=1)
        return nested_dissection(positions, cells, np.arange(len(positions)))

    @cached_property
    def _coupled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row starts and columns of B, and the place of every cell's (node, corner, i) in it."""
        rows = 3 * self.elements.cells.T[:, None, None] + np.arange(3)[:, None]
        columns = self.corners.T[None, :, None]
        return _compressed(rows, columns, 3 * self.elements.n, self.count)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _compressed(self.corners.T[:, None], self.corners.T[None], self.count, self.count)


@final
class Saddle:
    """Where the entries of K, B and C go in one matrix of the free unknowns.

    Attributes:
        free: the unknowns y in the order of the matrix: pressures come after what they hold, so
            that pivots on the diagonal suffice.
    """

    def __init__(self, pressure: Pressure, pattern: Pattern) -> None:
        n, c = 3 * pressure.elements.n, pressure.count
        self.pressure, self.pattern = pressure, pattern
        numbers = np.concatenate([pattern.free, n + np.arange(c)])
        node = np.concatenate([pattern.free // 3, n // 3 + np.arange(c)])
        rank = np.empty(n // 3 + c, dtype=int)
        rank[pressure.order] = np.arange(len(rank))
        order = np.argsort(rank[node], kind="stable")
        self.free = numbers[order]
        columns = pressure._coupled[1]
        K = pattern.among_free(np.ones((9, len(pattern.rows))))
        sizes = np.cumsum([0, K.nnz, len(columns), len(pressure._pairs[1])])
        K.data = 1.0 + np.arange(sizes[0], sizes[1])
        B = pressure.rows_of(1.0 + np.arange(sizes[1], sizes[2]))[pattern.free]
        C = pressure.pairs_of(1.0 + np.arange(sizes[2], sizes[3]))
        numbered = bmat([[K, B], [B.T, C]], format="csr")[order][:, order]
        numbered.sort_indices()
        self._gather = numbered.data.astype(np.int64) - 1
        self._structure = numbered.indices, numbered.indptr

    def among_free(
        self, blocks: np.ndarray, coupling: np.ndarray, compressing: np.ndarray
    ) -> csr_matrix:
        """[[K, B], [Bᵀ, -C]] in the order of `free`.

        Args:
            blocks: K (see `Pattern`).
            coupling, compressing: entries of B and C, with their factors s and s².
        """
        data = np.concatenate([self.pattern.among_free(blocks).data, coupling, -compressing])
        indices, starts = self._structure
        return csr_matrix((data[self._gather], indices, starts), shape=(len(starts) - 1,) * 2)

    def of_held(self, blocks: np.ndarray, coupling: np.ndarray) -> csr_matrix:
        """[K, B] of the held unknowns (rows) against all y."""
        B = self.pressure.rows_of(coupling)[self.pattern.held]
        return hstack([self.pattern.of_held(blocks), B], format="csr")


def _compressed(
    rows: np.ndarray, columns: np.ndarray, count: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row starts, columns, and the place of every entry among the distinct ones."""
    rows, columns = np.broadcast_arrays(rows, columns)
    numbers, place = np.unique(rows.ravel() * width + columns.ravel(), return_inverse=True)
    starts = np.searchsorted(numbers // width, np.arange(count + 1))
    return starts, numbers % width, place

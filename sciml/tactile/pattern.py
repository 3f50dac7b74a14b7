"""Where the blocks of node pairs go in a sparse matrix: maps made once, used at every iteration.

Blocks of pairs a ≤ b are first summed by pair (the upper triangle of the whole matrix), then
gathered into the compressed rows of the unknowns of free nodes.
"""

from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from sciml.tactile.elements import Elements


@final
class Pattern:
    """The sparse matrices of one body with some components of displacements held.

    Args:
        elements: whose cells couple their nodes.
        held: `[n, 3]`, true where the motion is given.
        order: `[n]` all nodes, in the order of the unknowns.
        extra: `[k, 2]` further coupled pairs a ≤ b (contacts), whose blocks follow the cells'.
        room: `[r, 2]` pairs a ≤ b for which there is room besides (see `add`).
    """

    def __init__(
        self,
        elements: Elements,
        held: Bool[np.ndarray, "n 3"],
        order: Int[np.ndarray, " n"],
        extra: Int[np.ndarray, "k 2"] | None = None,
        room: Int[np.ndarray, "r 2"] | None = None,
    ) -> None:
        self.n = elements.n
        numbers = np.arange(3 * self.n).reshape(-1, 3)
        #: Unknowns 3 node + component: the held ones rising, the free ones in their order.
        self.held, self.free = numbers[held], numbers[order][~held[order]]
        a, b = elements.pairs.T
        rows, columns = elements.cells[:, a].T.ravel(), elements.cells[:, b].T.ravel()
        if extra is not None:
            rows = np.concatenate([rows, extra[:, 0]])
            columns = np.concatenate([columns, extra[:, 1]])
        count = len(rows)
        numbers = rows * self.n + columns
        if room is not None:
            numbers = np.concatenate([numbers, room @ [self.n, 1]])
        self.numbers, place = np.unique(numbers, return_inverse=True)
        self.place = place[:count]
        #: Rows and columns of the blocks, rows ≤ columns.
        self.rows, self.columns = self.numbers // self.n, self.numbers % self.n
        sums = csr_matrix(
            (np.ones(count), (self.place, np.arange(count))), shape=(len(self.rows), count)
        )
        self.sums = {np.dtype(kind): sums.astype(kind) for kind in (np.float32, np.float64)}

    def blocks(self, values: Float[np.ndarray, "3 3 v"]) -> Float[np.ndarray, "9 b"]:
        """Sums blocks of pairs, in the order of cells' pairs and then `extra`, by place."""
        flat = values.reshape(9, -1)
        return np.stack([self.sums[flat.dtype] @ row for row in flat])

    def holds(self, pairs: Int[np.ndarray, "k 2"]) -> bool:
        """Whether there is a block for every pair a ≤ b."""
        return bool(np.isin(pairs @ [self.n, 1], self.numbers).all())

    def add(
        self,
        blocks: Float[np.ndarray, "9 b"],
        pairs: Int[np.ndarray, "k 2"],
        values: Float[np.ndarray, "9 k"],
    ) -> None:
        """Adds blocks of pairs a ≤ b that the pattern holds, in place."""
        place = np.searchsorted(self.numbers, pairs @ [self.n, 1])
        for row, own in zip(blocks, values, strict=True):
            row += np.bincount(place, own, len(row))

    def among_free(self, blocks: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the free unknowns, both triangles."""
        gather, columns, starts = self._free
        data = blocks.ravel()[gather]
        return csr_matrix((data, columns, starts), shape=(len(starts) - 1,) * 2)

    def of_held(self, blocks: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the held unknowns (rows) against all (columns, in the order of the nodes)."""
        gather, columns, starts = self._held
        shape = (len(starts) - 1, 3 * self.n)
        return csr_matrix((blocks.ravel()[gather], columns, starts), shape=shape)

    @cached_property
    def _free(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._gather(self.free, self.free)

    @cached_property
    def _held(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._gather(self.held, np.arange(3 * self.n))

    def _gather(
        self, row_unknowns: np.ndarray, column_unknowns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries in flattened blocks, columns and row starts of a matrix of two sets."""
        to_row, to_column = (np.full(3 * self.n, -1) for _ in range(2))
        to_row[row_unknowns] = np.arange(len(row_unknowns))
        to_column[column_unknowns] = np.arange(len(column_unknowns))
        count, (i, k) = len(self.rows), np.divmod(np.arange(9), 3)
        block = np.arange(count)[:, None]
        off = self.rows != self.columns
        mirrored = ((3 * k + i) * count + block)[off]
        source = np.concatenate([(3 * i + k) * count + block, mirrored]).ravel()
        a = np.concatenate([self.rows, self.columns[off]])[:, None]
        b = np.concatenate([self.columns, self.rows[off]])[:, None]
        row, column = to_row[(3 * a + i).ravel()], to_column[(3 * b + k).ravel()]
        kept = np.flatnonzero((row >= 0) & (column >= 0))
        order = kept[np.lexsort((column[kept], row[kept]))]
        starts = np.searchsorted(row[order], np.arange(len(row_unknowns) + 1))
        return source[order], column[order].astype(np.int32), starts.astype(np.int32)

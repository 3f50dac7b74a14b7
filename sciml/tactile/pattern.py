"""Where the blocks of node pairs go in a sparse matrix: maps made once, used at every iteration.

Blocks of pairs a ≤ b are first summed by pair (the upper triangle of the whole matrix), then
gathered into the compressed rows of the unknowns of free nodes.
"""

from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from sciml.tactile.elements import Elements


@final
class Pattern:
    """The sparse matrices of one body with some nodes held.

    Args:
        elements: whose cells couple their nodes.
        held: `[h]` nodes whose motion is given.
        order: `[f]` the other nodes, in the order of the unknowns.
        extra: `[k, 2]` further coupled pairs a ≤ b (contacts), whose blocks follow the cells'.
    """

    def __init__(
        self,
        elements: Elements,
        held: Int[np.ndarray, " h"],
        order: Int[np.ndarray, " f"],
        extra: Int[np.ndarray, "k 2"] | None = None,
    ) -> None:
        self.n, self.held, self.free = elements.n, held, order
        a, b = elements.pairs.T
        rows, columns = elements.cells[:, a].T.ravel(), elements.cells[:, b].T.ravel()
        if extra is not None:
            rows = np.concatenate([rows, extra[:, 0]])
            columns = np.concatenate([columns, extra[:, 1]])
        numbers, self.place = np.unique(rows * self.n + columns, return_inverse=True)
        #: Rows and columns of the blocks, rows ≤ columns.
        self.rows, self.columns = numbers // self.n, numbers % self.n
        count = len(self.place)
        self.sum = csr_matrix(
            (np.ones(count), (self.place, np.arange(count))), shape=(len(numbers), count)
        )

    def blocks(self, values: Float[np.ndarray, "3 3 v"]) -> Float[np.ndarray, "9 b"]:
        """Sums blocks of pairs, in the order of cells' pairs and then `extra`, by place."""
        flat = values.reshape(9, -1)
        return np.stack([self.sum @ row for row in flat])

    def among_free(self, blocks: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the free unknowns (node, component), both triangles."""
        gather, columns, starts = self._free
        data = blocks.ravel()[gather]
        return csr_matrix((data, columns, starts), shape=(len(starts) - 1,) * 2)

    def of_held(self, blocks: Float[np.ndarray, "9 b"]) -> csr_matrix:
        """K of the held unknowns (rows) against the free ones (columns)."""
        gather, columns, starts = self._held
        shape = (len(starts) - 1, 3 * len(self.free))
        return csr_matrix((blocks.ravel()[gather], columns, starts), shape=shape)

    @cached_property
    def _free(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._gather(self.free, self.free)

    @cached_property
    def _held(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._gather(self.held, self.free)

    def _gather(
        self, row_nodes: np.ndarray, column_nodes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries in flattened blocks, columns and row starts of a matrix between two node sets."""
        to_row, to_column = (np.full(self.n, -1) for _ in range(2))
        to_row[row_nodes] = np.arange(len(row_nodes))
        to_column[column_nodes] = np.arange(len(column_nodes))
        off = self.rows != self.columns
        block = np.arange(len(self.rows))
        a = np.concatenate([self.rows, self.columns[off]])
        b = np.concatenate([self.columns, self.rows[off]])
        source = np.concatenate([block, block[off]])
        mirrored = np.arange(len(a)) >= len(block)
        kept = (to_row[a] >= 0) & (to_column[b] >= 0)
        a, b, source, mirrored = to_row[a[kept]], to_column[b[kept]], source[kept], mirrored[kept]
        i, k = np.divmod(np.arange(9), 3)
        entry = np.where(mirrored[:, None], 3 * k + i, 3 * i + k)
        gather = entry * len(block) + source[:, None]
        row, column = 3 * a[:, None] + i, 3 * b[:, None] + k
        order = np.lexsort((column.ravel(), row.ravel()))
        starts = np.searchsorted(row.ravel()[order], np.arange(3 * len(row_nodes) + 1))
        return (
            gather.ravel()[order],
            column.ravel()[order].astype(np.int32),
            starts.astype(np.int32),
        )

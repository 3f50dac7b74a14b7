"""An order of the nodes in which a sparse factorisation fills in little: nested dissection.

The body is halved by a plane across its longest side; the nodes of one half that touch the other
come last; and so on in each half.

Source: A. George, Nested dissection of a regular finite element mesh, SIAM J. Numer. Anal. 10
(1973) 345-363; planes instead of lines of the grid are ours.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

#: Parts of this many nodes are not divided further.
LEAF = 12


def nested_dissection(
    positions: Float[np.ndarray, "n 3"],
    cells: Int[np.ndarray, "m a"],
    nodes: Int[np.ndarray, " f"],
) -> Int[np.ndarray, " f"]:
    """The `nodes` in their new order; nodes of one cell touch."""
    m, a = cells.shape
    of_cell = csr_matrix(
        (np.ones(m * a, dtype=np.float32), cells.ravel(), np.arange(0, m * a + 1, a)),
        shape=(m, len(positions)),
    )
    touches = (of_cell.T @ of_cell).tocsr()
    return np.concatenate(_divide(positions, touches, nodes))


def _divide(positions: np.ndarray, touches: csr_matrix, nodes: np.ndarray) -> list[np.ndarray]:
    if len(nodes) <= LEAF:
        return [nodes]
    where = positions[nodes]
    along = where[:, np.argmax(np.ptp(where, axis=0))]
    low = along < np.median(along)
    if not low.any():
        return [nodes]
    halves = (nodes[low], nodes[~low])
    fronts = [_touching(touches, halves[i], halves[1 - i]) for i in range(2)]
    i = int(fronts[1].sum() < fronts[0].sum())
    inner, front = halves[i][~fronts[i]], halves[i][fronts[i]]
    parts = [part for part in (inner, halves[1 - i]) if len(part)]
    return [*(piece for part in parts for piece in _divide(positions, touches, part)), front]


def _touching(touches: csr_matrix, these: np.ndarray, others: np.ndarray) -> np.ndarray:
    mark = np.zeros(touches.shape[0], dtype=np.float32)
    mark[others] = 1
    return touches[these] @ mark > 0

"""Edges and boundary of a tetrahedral mesh, from its table of corners alone."""

import numpy as np
from jaxtyping import Int

#: Local corners of the six edges, in the order in which P2 numbers their midpoints.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))

#: Local corners of the four faces, anticlockwise seen from outside a right-handed tetrahedron.
FACES = ((1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1))


def edges(
    cells: Int[np.ndarray, "m corners"], local: tuple[tuple[int, int], ...] = EDGES
) -> tuple[Int[np.ndarray, "k 2"], Int[np.ndarray, "m sides"]]:
    """All edges once, smaller corner first, in lexicographic order, and the edges of each cell.

    Args:
        cells: corners of tetrahedra, or of triangles with `local` their three sides.
    """
    ends = np.sort(cells[:, np.array(local)], axis=-1)
    unique, of_cell = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    return unique, of_cell.reshape(len(cells), len(local))


def boundary(tets: Int[np.ndarray, "m 4"]) -> Int[np.ndarray, "k 3"]:
    """Triangles that belong to one tetrahedron only, anticlockwise seen from outside.

    Args:
        tets: right-handed.
    """
    triangles = tets[:, np.array(FACES)].reshape(-1, 3)
    _, first, times = np.unique(
        np.sort(triangles, axis=1), axis=0, return_index=True, return_counts=True
    )
    return triangles[np.sort(first[times == 1])]


def neighbours(
    tets: Int[np.ndarray, "m 4"],
) -> tuple[Int[np.ndarray, "k 2"], Int[np.ndarray, "k 3"]]:
    """The two tetrahedra of every inner face, and the face's corners, rising."""
    triangles = np.sort(tets[:, np.array(FACES)].reshape(-1, 3), axis=1)
    corners, of_face = np.unique(triangles, axis=0, return_inverse=True)
    order = np.argsort(of_face.ravel(), kind="stable")
    faces = of_face.ravel()[order]
    inner = np.flatnonzero(faces[1:] == faces[:-1])
    cells = order // len(FACES)
    return np.stack([cells[inner], cells[inner + 1]], axis=1), corners[faces[inner]]

"""Triangulations of the unit square, uniform or graded towards points of singularity."""

import numpy as np
from skfem import MeshTri

from sciml.contracts import UserError


def criss_cross(cells: int) -> MeshTri:
    """`cells`² squares, each cut into four triangles by its diagonals.

    No triangle has all its corners on the boundary, which Taylor-Hood elements would not bear.
    """
    if cells < 1:
        raise UserError(f"cells of a mesh: expected at least 1, got {cells!r}")
    nodes = np.linspace(0, 1, cells + 1)
    middles = (nodes[1:] + nodes[:-1]) / 2
    corners, centres = _grid(nodes), _grid(middles)
    column, row = np.meshgrid(np.arange(cells), np.arange(cells))
    sw = (row * (cells + 1) + column).ravel()
    se, nw, ne = sw + 1, sw + cells + 1, sw + cells + 2
    centre = corners.shape[1] + np.arange(cells**2)
    sides = ((sw, se), (se, ne), (ne, nw), (nw, sw))
    triangles = np.hstack([np.array([a, b, centre]) for a, b in sides])
    return MeshTri(np.hstack([corners, centres]), triangles)


def graded(mesh: MeshTri, points: np.ndarray, ratio: float, radius: float) -> MeshTri:
    """Refines until no triangle is longer than `ratio` times its distance to the nearest point.

    Args:
        points: `[2, n]`, the singular points.
        ratio: longest side over distance, > 0; 1/2 is coarse, 1/4 fine.
        radius: distances below this one count as this one, > 0, so that refinement ends.
    """
    if not (ratio > 0 and radius > 0):
        raise UserError(f"grading: expected ratio, radius > 0, got {ratio!r}, {radius!r}")
    while True:
        corners = mesh.p[:, mesh.t]
        longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=0).max(axis=0)
        offsets = corners[:, None] - points[:, :, None, None]
        distance = np.linalg.norm(offsets, axis=0).min(axis=(0, 1))
        coarse = np.flatnonzero(longest > ratio * np.maximum(distance, radius))
        if not coarse.size:
            return mesh
        mesh = mesh.refined(coarse)


def _grid(axis: np.ndarray) -> np.ndarray:
    """All pairs `[2, n²]`, the first coordinate running fastest."""
    x, y = np.meshgrid(axis, axis)
    return np.array([x.ravel(), y.ravel()])

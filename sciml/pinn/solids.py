"""Shapes deepxde lacks, in the form its combinations expect: a closed surface mesh, a cloud."""

from typing import final

import numpy as np
from scipy.spatial import cKDTree

#: Pairs of a point and a triangle looked at in one go: bounds the memory, some 100 MB.
PAIRS = 1_000_000


@final
class Solid:
    """The inside of a closed, outward oriented triangulated surface `corners` `[m, 3, 3]`.

    A point is inside where a ray from it leaves the surface more often than it enters. Space is
    turned first, so that rays along the third axis meet no edge; columns of a grid on the other two
    axes say which triangles a ray can meet.
    """

    dim = 3
    idstr = "Solid"

    def __init__(self, corners: np.ndarray) -> None:
        vertices = corners.reshape(-1, 3)
        self.bbox = (vertices.min(axis=0), vertices.max(axis=0))
        self.diam = float(np.linalg.norm(self.bbox[1] - self.bbox[0]))
        self.turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
        self.corners = corners @ self.turn
        self._fill_columns()

    def _fill_columns(self) -> None:
        low, high = self.corners[..., :2].min(axis=1), self.corners[..., :2].max(axis=1)
        self.origin = low.min(axis=0)
        self.side = int(np.clip(np.sqrt(len(low)), 1, 512))
        self.width = (high.max(axis=0) - self.origin) / self.side
        first, last = self._column(low), self._column(high)
        spans = last - first + 1
        triangle, k = _expand(spans.prod(axis=1))
        row = first[triangle, 0] + k // spans[triangle, 1]
        cell = row * self.side + first[triangle, 1] + k % spans[triangle, 1]
        self.members = triangle[np.argsort(cell, kind="stable")]
        self.counts = np.bincount(cell, minlength=self.side**2)
        self.starts = np.cumsum(self.counts) - self.counts

    def _column(self, x: np.ndarray) -> np.ndarray:
        """`[n, 2]`: indices of the columns of the grid."""
        return np.clip((x - self.origin) // self.width, 0, self.side - 1).astype(np.int64)

    def inside(self, x: np.ndarray) -> np.ndarray:
        """`[n]`: whether points `[n, 3]` are inside."""
        held = np.all((x >= self.bbox[0]) & (x <= self.bbox[1]), axis=1)
        rows = np.flatnonzero(held)
        pieces = max(1, int(len(rows) * self.counts.max() // PAIRS))
        for piece in np.array_split(rows, pieces):
            held[piece] = self._winding(x[piece] @ self.turn) > 0.5
        return held

    def _winding(self, points: np.ndarray) -> np.ndarray:
        """`[n]`: how often rays from turned points leave the surface less how often they enter."""
        i, j = self._column(points[:, :2]).T
        cell = i * self.side + j
        owner, k = _expand(self.counts[cell])
        a, b, c = self.corners[self.members[self.starts[cell[owner]] + k]].swapaxes(0, 1)
        p = points[owner]
        areas = np.stack((_area(p, b, c), _area(p, c, a), _area(p, a, b)))
        hit = np.all(areas > 0, axis=0) | np.all(areas < 0, axis=0)
        total = np.where(hit, areas.sum(axis=0), 1.0)
        height = (areas * np.stack((a[:, 2], b[:, 2], c[:, 2]))).sum(axis=0) / total
        crossing = hit & (height > p[:, 2])
        return np.bincount(owner, crossing * np.sign(total), minlength=len(points))


def _expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner and running number of each of `counts` members: (2, 1) → (0, 0, 1), (0, 1, 0)."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _area(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles seen along the third axis."""
    return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])


@final
class Cloud:
    """Samples of an inside: what is nearer to one of them than `reach` counts as inside.

    The reach is 1.5 times the median distance of samples to their nearest neighbours.
    """

    idstr = "Cloud"

    def __init__(self, points: np.ndarray, boundary: np.ndarray | None = None) -> None:
        every = points if boundary is None else np.concatenate((points, boundary))
        self.dim = points.shape[1]
        self.bbox = (every.min(axis=0), every.max(axis=0))
        self.diam = float(np.linalg.norm(self.bbox[1] - self.bbox[0]))
        self.tree = cKDTree(every)
        spacing, _ = self.tree.query(every, k=min(2, len(every)))
        self.reach = 1.5 * float(np.median(spacing.reshape(len(every), -1)[:, -1]))

    def inside(self, x: np.ndarray) -> np.ndarray:
        distance, _ = self.tree.query(x)
        return distance <= self.reach

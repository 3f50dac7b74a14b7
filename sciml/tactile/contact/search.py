"""Which triangle is nearest to a point: a grid of boxes first, exact distances for what is left.

Every triangle marks the cells of a coarse grid that its box, grown by the reach, touches. A point
in an unmarked cell is done; one in a marked cell is compared with the triangles of its cell, first
with their grown boxes, then exactly. Nothing within the reach is missed.
"""

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int

from sciml.contracts import UserError
from sciml.tactile.contact.closest import barycentric

#: Pairs held at once.
PORTION = 1 << 19
#: Cells of the coarse grid, at most.
CELLS = 1 << 20


@final
class Search:
    """The triangles of one surface as they lie now, ready to be searched.

    Args:
        triangles: `[t, 3, 3]` corners, m; none of area zero.
        reach: m, > 0; what is further away is not found.

    Raises:
        UserError: a reach that is not positive.
    """

    def __init__(self, triangles: Float[np.ndarray, "t 3 3"], reach: float) -> None:
        if not reach > 0:
            raise UserError(f"search: expected reach > 0 m, got {reach!r}")
        self.reach = reach
        self.a = np.ascontiguousarray(triangles[:, 0].T)
        self.ab = triangles[:, 1].T - self.a
        self.ac = triangles[:, 2].T - self.a
        b, c = triangles[:, 1].T, triangles[:, 2].T
        self.low = np.minimum(np.minimum(self.a, b), c) - reach
        self.high = np.maximum(np.maximum(self.a, b), c) + reach
        self.origin, self.end = self.low.min(1), self.high.max(1)
        extent = self.end - self.origin
        self.cell = max((self.high - self.low).mean(), float(np.cbrt(extent.prod() / CELLS)))
        self.counts = (extent // self.cell).astype(np.int64) + 1
        self._first = ((self.low - self.origin[:, None]) / self.cell).astype(np.int64)
        self._last = ((self.high - self.origin[:, None]) / self.cell).astype(np.int64)
        self._starts: np.ndarray | None = None

    def __call__(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The nearest triangle of each point and its distance, m; -1 and infinity out of reach."""
        whose = np.full(len(points), -1)
        squared = np.full(len(points), np.inf)
        x = np.ascontiguousarray(points.T)
        inside = np.flatnonzero(
            (x[2] >= self.origin[2])
            & (x[2] <= self.end[2])
            & (x[0] >= self.origin[0])
            & (x[0] <= self.end[0])
            & (x[1] >= self.origin[1])
            & (x[1] <= self.end[1])
        )
        if len(inside):
            x = x[:, inside]
            i, j, k = ((x - self.origin[:, None]) / self.cell).astype(np.int64)
            self._compare(x, (i * self.counts[1] + j) * self.counts[2] + k, inside, whose, squared)
        whose[squared > self.reach**2] = -1
        squared[whose < 0] = np.inf
        return whose, np.sqrt(squared)

    def _compare(
        self,
        x: np.ndarray,
        cell: np.ndarray,
        number: np.ndarray,
        whose: np.ndarray,
        squared: np.ndarray,
    ) -> None:
        """Writes the nearest triangle and the squared distance of points x `[3, k]` in cells."""
        starts, members = self._members()
        counts = starts[cell + 1] - starts[cell]
        for some in _portions(counts):
            count = counts[some]
            point = np.repeat(np.arange(some.start, some.stop), count)
            first = np.repeat(starts[cell[some]] - np.cumsum(count) + count, count)
            triangle = members[first + np.arange(len(point))]
            near = np.ones(len(point), dtype=bool)
            for axis in range(3):
                along = x[axis, point]
                near &= along >= self.low[axis, triangle]
                near &= along <= self.high[axis, triangle]
            point, triangle = point[near], triangle[near]
            if not len(point):
                continue
            found = self._squared(x, point, triangle)
            heads = np.flatnonzero(np.concatenate([[True], point[1:] != point[:-1]]))
            least = np.minimum.reduceat(found, heads)
            best = np.flatnonzero(found == np.repeat(least, np.diff(heads, append=len(point))))
            whose[number[point[best]]] = triangle[best]
            squared[number[point[heads]]] = least

    def _squared(self, x: np.ndarray, point: np.ndarray, triangle: np.ndarray) -> np.ndarray:
        at, a, ab, ac = (
            v.take(i, axis=1)
            for v, i in ((x, point), (self.a, triangle), (self.ab, triangle), (self.ac, triangle))
        )
        bary = barycentric(*map(torch.from_numpy, (at, a, ab, ac))).numpy()
        way = at - a - bary[1] * ab - bary[2] * ac
        return (way * way).sum(0)

    def _members(self) -> tuple[np.ndarray, np.ndarray]:
        """Triangles by cell: where each cell's begin, and their numbers."""
        if self._starts is None:
            i, j, k = map(int, self.counts)
            found = list(boxed(self._first.T, self._last.T, (i, j, k)))
            cell, triangle = (np.concatenate(parts) for parts in zip(*found, strict=True))
            order = np.argsort(cell, kind="stable")
            starts = np.zeros(int(self.counts.prod()) + 1, dtype=np.int64)
            starts[1:] = np.cumsum(np.bincount(cell, minlength=len(starts) - 1))
            self._starts, self._triangles = starts, triangle[order]
        return self._starts, self._triangles


def nearest(
    points: Float[np.ndarray, "n 3"], triangles: Float[np.ndarray, "t 3 3"], reach: float
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The nearest triangle of each point and its distance, m; -1 and infinity out of reach.

    Args: see `Search`, which is for triangles that are searched more than once.
    """
    return Search(triangles, reach)(points)


def boxed(
    low: Int[np.ndarray, "t 3"], high: Int[np.ndarray, "t 3"], counts: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Flat numbers of the grid points in boxes `low` … `high`, and whose box: in portions."""
    shape = np.maximum(high - low + 1, 0)
    sizes = shape.prod(1)
    for some in _portions(sizes):
        size, extent = sizes[some], shape[some]
        box = np.repeat(np.arange(len(size)), size)
        place = np.arange(len(box)) - np.repeat(np.cumsum(size) - size, size)
        row, k = np.divmod(place, extent[box, 2])
        i, j = np.divmod(row, extent[box, 1])
        corner = np.ravel_multi_index(tuple(low[some].clip(min=0).T), counts)
        yield corner[box] + (i * counts[1] + j) * counts[2] + k, box + some.start


def _portions(counts: np.ndarray) -> Iterator[slice]:
    """Runs of items whose counts add up to about `PORTION`."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PORTION, side="right")))
        yield slice(start, stop)
        start = stop

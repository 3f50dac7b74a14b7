"""Uniform points on the boundaries of simple shapes, with their outward unit normals.

A shape composed of others draws from all their surfaces in proportion to `measure` (points in 1D,
length in 2D, area in 3D) and keeps what bounds the composition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, eq=False)
class Surface:
    """A boundary: its measure and `draw: (n, rng) -> (x [n, d], outward normals [n, d])`."""

    measure: float
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]

    def flipped(self) -> "Surface":
        """The same surface seen from the other side, as where its shape is cut out."""

        def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            x, normals = self.draw(n, rng)
            return x, -normals

        return Surface(self.measure, draw)


def box(lower: np.ndarray, upper: np.ndarray) -> Surface:
    """Ends of an interval, sides of a rectangle, faces of a box."""
    edges, d = upper - lower, len(lower)
    areas = edges.prod() / edges

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        axis = rng.choice(d, size=n, p=areas / areas.sum())
        high = rng.random(n) < 0.5
        x, normals, row = lower + edges * rng.random((n, d)), np.zeros((n, d)), np.arange(n)
        x[row, axis] = np.where(high, upper[axis], lower[axis])
        normals[row, axis] = np.where(high, 1.0, -1.0)
        return x, normals

    return Surface(2 * areas.sum(), draw)


def sphere(centre: np.ndarray, radius: float) -> Surface:
    """A circle (2D) or a sphere (3D)."""
    measure = 2 * np.pi * radius if len(centre) == 2 else 4 * np.pi * radius**2

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        normals = rng.standard_normal((n, len(centre)))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return centre + radius * normals, normals

    return Surface(measure, draw)


def polyline(vertices: np.ndarray) -> Surface:
    """The sides of a polygon whose `vertices` `[m, 2]` run counterclockwise."""
    sides = np.roll(vertices, -1, axis=0) - vertices
    lengths = np.linalg.norm(sides, axis=1)
    outward = np.stack((sides[:, 1], -sides[:, 0]), axis=1) / lengths[:, None]

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        side = rng.choice(len(sides), size=n, p=lengths / lengths.sum())
        return vertices[side] + rng.random((n, 1)) * sides[side], outward[side]

    return Surface(lengths.sum(), draw)


def triangles(corners: np.ndarray, outward: np.ndarray) -> Surface:
    """A triangulated surface: `corners` `[m, 3, 3]` and unit normals `outward` `[m, 3]`."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.linalg.norm(np.cross(ab, ac), axis=1) / 2

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        face = rng.choice(len(areas), size=n, p=areas / areas.sum())
        s, t = rng.random((2, n, 1))
        s, t = np.where(s + t > 1, (1 - s, 1 - t), (s, t))
        return a[face] + s * ab[face] + t * ac[face], outward[face]

    return Surface(areas.sum(), draw)


def given(points: np.ndarray, normals: np.ndarray) -> Surface:
    """A boundary known by samples only: drawn from them, evenly."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        row = rng.integers(len(points), size=n)
        return points[row], normals[row]

    return Surface(float(len(points)), draw)

"""Who sends to whom: from the grid to the mesh, on the mesh, and back to the grid.

A graph is built once in float64; a network takes its indices and static features. Any grid with
`.cells` will do: latitude-longitude, Gaussian, reduced Gaussian, or a part of the globe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from sciml.contracts import UserError
from sciml.weather.frames import Points
from sciml.weather.mesh import Mesh

#: Builds the edges from one set of points to another: (sources, targets) → Graph.
Connection = Callable[[Points, Points], "Graph"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Directed edges between two sets of points, sorted by target.

    Args:
        sources: the points that send.
        targets: the points that receive.
        source: `[e]` index into `sources`.
        target: `[e]` index into `targets`, ascending.
        level: `[e]` kind of the edge: the refinement on the mesh, 0 elsewhere.
    """

    sources: Points
    targets: Points
    source: np.ndarray
    target: np.ndarray
    level: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def displacement(self) -> np.ndarray:
        """`[e, 2]`: from receiver to sender, east and north in the receiver's frame, in units of
        the mean edge length of the level."""
        chord = self.sources.position[self.source] - self.targets.position[self.target]
        frame = np.stack([self.targets.east, self.targets.north], axis=1)[self.target]
        flat = np.einsum("ekc,ec->ek", frame, chord)
        length = np.linalg.norm(chord, axis=-1)
        mean = np.bincount(self.level, length) / np.maximum(np.bincount(self.level), 1)
        return flat / mean[self.level][:, None]

    @cached_property
    def rotation(self) -> np.ndarray:
        """`[e, 2]`: cosine and sine of the angle by which the sender's frame is turned against the
        receiver's, seen from the receiver."""
        e_s, n_s = self.sources.east[self.source], self.sources.north[self.source]
        e_r, n_r = self.targets.east[self.target], self.targets.north[self.target]
        cosine = (e_s * e_r + n_s * n_r).sum(-1)
        sine = (e_s * n_r - n_s * e_r).sum(-1)
        size = np.hypot(cosine, sine)
        return np.stack([cosine, sine], axis=-1) / np.where(size > 1e-9, size, 1)[:, None]

    @cached_property
    def directions(self) -> np.ndarray:
        """`[e, 12 + 3 L]`: what a direction-aware filter is a linear function of.

        The products a^i b^j to third order of the displacement (a, b), the rotation, and where
        there are L > 1 levels, (1, a, b) of each level alone.
        """
        a, b = self.displacement.T
        powers = [a**i * b ** (n - i) for n in range(4) for i in range(n + 1)]
        own = [
            (self.level == level) * term
            for level in range(self.level.max() + 1 if self.level.max() else 0)
            for term in (np.ones_like(a), a, b)
        ]
        return np.stack([*powers, *self.rotation.T, *own], axis=-1)


def on_mesh(mesh: Mesh) -> Graph:
    """The mesh's own edges."""
    return Graph(mesh.points, mesh.points, mesh.source, mesh.target, mesh.level)


def nearest_targets(count: int) -> Connection:
    """Each sender sends to its `count` nearest receivers; a receiver that got none, from the
    nearest sender."""

    def connect(sources: Points, targets: Points) -> Graph:
        _require(count, targets)
        near = cKDTree(targets.position).query(sources.position, k=count)[1].reshape(-1)
        return _joined(sources, targets, np.repeat(np.arange(len(sources)), count), near)

    return connect


def nearest_sources(count: int) -> Connection:
    """Each receiver gets from its `count` nearest senders."""

    def connect(sources: Points, targets: Points) -> Graph:
        _require(count, sources)
        near = cKDTree(sources.position).query(targets.position, k=count)[1].reshape(-1)
        return _joined(sources, targets, near, np.repeat(np.arange(len(targets)), count))

    return connect


def within(radius: float) -> Connection:
    """Each receiver gets from all senders within `radius`, a chord of the unit sphere; where there
    is none, from the nearest.

    Raises:
        UserError: a radius outside (0, 2].
    """
    if not 0 < radius <= 2:
        raise UserError(
            f"graph: expected a radius of 0 to 2 on the unit sphere, got {radius}; "
            "0.6 mesh spacings are usual"
        )

    def connect(sources: Points, targets: Points) -> Graph:
        near = cKDTree(sources.position).query_ball_point(targets.position, radius)
        count = [len(n) for n in near]
        source = np.concatenate([np.asarray(n, dtype=np.int64) for n in near])
        return _joined(sources, targets, source, np.repeat(np.arange(len(targets)), count))

    return connect


def _require(count: int, points: Points) -> None:
    if not 1 <= count <= len(points):
        raise UserError(
            f"graph: expected 1 to {len(points)} neighbours, as many as there are, got {count}"
        )


def _joined(sources: Points, targets: Points, source: np.ndarray, target: np.ndarray) -> Graph:
    """Sorted by target and source, every target reached."""
    missing = np.flatnonzero(np.bincount(target, minlength=len(targets)) == 0)
    if len(missing):
        nearest = cKDTree(sources.position).query(targets.position[missing])[1]
        source, target = np.concatenate([source, nearest]), np.concatenate([target, missing])
    order = np.lexsort((source, target))
    source, target = source[order], target[order]
    assert len(np.unique(target)) == len(targets), "a node was left without a neighbour"
    return Graph(sources, targets, source, target, np.zeros(len(source), dtype=np.int64))

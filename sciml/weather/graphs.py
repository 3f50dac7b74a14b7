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
        closeness: `[e]` falls to 0 where the edge would be given to another neighbour.
    """

    sources: Points
    targets: Points
    source: np.ndarray
    target: np.ndarray
    level: np.ndarray
    closeness: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def share(self) -> np.ndarray:
        """`[e]` weights of a mean over the edges into each receiver, by closeness; they sum to 1.

        Without them a mean over nearest neighbours jumps from cell to cell with their choice, which
        a forecast would show as noise of the grid's scale.
        """
        some = self.closeness + 1e-3
        return some / np.bincount(self.target, some)[self.target]

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
    alike = np.ones(len(mesh.source))
    return Graph(mesh.points, mesh.points, mesh.source, mesh.target, mesh.level, alike)


def nearest_targets(count: int) -> Connection:
    """Each sender sends to its `count` nearest receivers; a receiver that got none, from the
    nearest sender."""

    def connect(sources: Points, targets: Points) -> Graph:
        near, closeness = _nearest(targets, sources, count)
        senders = np.repeat(np.arange(len(sources)), count)
        return _joined(sources, targets, senders, near, closeness)

    return connect


def nearest_sources(count: int) -> Connection:
    """Each receiver gets from its `count` nearest senders."""

    def connect(sources: Points, targets: Points) -> Graph:
        near, closeness = _nearest(sources, targets, count)
        receivers = np.repeat(np.arange(len(targets)), count)
        return _joined(sources, targets, near, receivers, closeness)

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
        target = np.repeat(np.arange(len(targets)), count)
        distance = np.linalg.norm(sources.position[source] - targets.position[target], axis=-1)
        return _joined(sources, targets, source, target, _closeness(distance, radius))

    return connect


def _nearest(among: Points, of: Points, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest points, one after another, and their closeness against the next one."""
    if not 1 <= count <= len(among):
        raise UserError(
            f"graph: expected 1 to {len(among)} neighbours, as many as there are, got {count}"
        )
    tree = cKDTree(among.position)
    if count == len(among):
        near = tree.query(of.position, k=range(1, count + 1))[1]
        return near.ravel(), np.ones(near.size)
    distance, near = tree.query(of.position, k=count + 1)
    closeness = _closeness(distance[:, :-1], distance[:, -1:])
    return near[:, :-1].ravel(), closeness.ravel()


def _closeness(distance: np.ndarray, reach: np.ndarray | float) -> np.ndarray:
    return np.clip(1 - distance / reach, 0, 1) ** 2


def _joined(
    sources: Points,
    targets: Points,
    source: np.ndarray,
    target: np.ndarray,
    closeness: np.ndarray,
) -> Graph:
    """Sorted by target and source, every target reached."""
    missing = np.flatnonzero(np.bincount(target, minlength=len(targets)) == 0)
    if len(missing):
        nearest = cKDTree(sources.position).query(targets.position[missing])[1]
        source, target = np.concatenate([source, nearest]), np.concatenate([target, missing])
        closeness = np.concatenate([closeness, np.ones(len(missing))])
    order = np.lexsort((source, target))
    source, target = source[order], target[order]
    assert len(np.unique(target)) == len(targets), "a node was left without a neighbour"
    level = np.zeros(len(source), dtype=np.int64)
    return Graph(sources, targets, source, target, level, closeness[order])

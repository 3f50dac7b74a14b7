"""The refined icosahedron whose nodes carry the hidden state, with the edges of all its levels.

Each refinement puts a node on the middle of every edge and cuts each triangle into four. Nodes are
nested: the first 10·4^r + 2 are those of level r. The edges of all levels together, each in both
directions, are Σ_r 60·4^r = 60 (4^{R+1} - 1)/3; long ones carry information across the globe in a
few messages. No node lies at a pole, where there is no east: the pole is the middle of a triangle,
and that stays a middle at every level.

Source: R. Lam et al., "Learning skillful medium-range global weather forecasting", Science 382
(2023) 1416-1421, doi:10.1126/science.adi2336 (multi-level mesh).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciml.contracts import UserError
from sciml.weather.frames import Points

#: 163,842 nodes: a spacing of some 55 km. Beyond it, the next level has half a million.
FINEST = 7


@dataclass(frozen=True, eq=False)
class Mesh:
    """Nodes and directed edges, sorted by target.

    Args:
        nodes: `[n, 3]` unit vectors, float64, coarsest level first.
        source: `[e]` node that sends.
        target: `[e]` node that receives, ascending.
        level: `[e]` refinement that the edge belongs to.
    """

    nodes: np.ndarray
    source: np.ndarray
    target: np.ndarray
    level: np.ndarray

    @cached_property
    def points(self) -> Points:
        """The nodes with their latitude, longitude and local frame."""
        return Points.at(self.nodes)

    @cached_property
    def spacing(self) -> float:
        """Longest edge of the finest level, as a chord of the unit sphere."""
        finest = self.level == self.level.max()
        chord = self.nodes[self.source[finest]] - self.nodes[self.target[finest]]
        return float(np.linalg.norm(chord, axis=-1).max())

    def part(self, kept: np.ndarray) -> "Mesh":
        """The nodes where `kept` `[n]` is true, with the edges among them: for a limited area."""
        number = np.cumsum(kept) - 1
        edges = kept[self.source] & kept[self.target]
        source, target = number[self.source[edges]], number[self.target[edges]]
        return Mesh(self.nodes[kept], source, target, self.level[edges])


def icosahedral(refinement: int) -> Mesh:
    """The icosahedron refined `refinement` times.

    Raises:
        UserError: a refinement outside 0 … 7.
    """
    if not 0 <= refinement <= FINEST:
        raise UserError(f"mesh: expected a refinement of 0 to {FINEST}, got {refinement}")
    nodes, faces = _icosahedron()
    edges = [_edges(faces)]
    for _ in range(refinement):
        nodes, faces = _refined(nodes, faces)
        edges.append(_edges(faces))
    level = np.repeat(np.arange(refinement + 1), [2 * len(e) for e in edges])
    both = np.concatenate([np.concatenate([e, e[:, ::-1]]) for e in edges])
    order = np.lexsort((both[:, 0], level, both[:, 1]))
    return Mesh(nodes, both[order, 0], both[order, 1], level[order])


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    """12 nodes and 20 faces, turned so that the middle of the first face is the north pole."""
    golden = (1 + np.sqrt(5)) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)])
    nodes = np.concatenate([np.roll(corners, shift, axis=1) for shift in range(3)])
    near = np.linalg.norm(nodes[:, None] - nodes, axis=-1) < 2.1  # neighbours are 2 apart
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[k, i]
    ]
    nodes = nodes / np.linalg.norm(nodes, axis=1, keepdims=True)
    z = nodes[list(faces[0])].sum(0)
    z /= np.linalg.norm(z)
    x = nodes[faces[0][0]] - (nodes[faces[0][0]] @ z) * z
    x /= np.linalg.norm(x)
    return nodes @ np.stack([x, np.cross(z, x), z], axis=1), np.array(faces)


def _edges(faces: np.ndarray) -> np.ndarray:
    """Each edge of the triangles once, `[n, 2]`, lower node first."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _refined(nodes: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every triangle in four; the new nodes follow the old ones."""
    pairs = np.sort(np.stack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]], 1), axis=-1)
    edges, number = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    middle = nodes[edges].sum(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (len(nodes) + number.reshape(-1, 3)).T
    a, b, c = faces.T
    four = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([nodes, middle]), np.concatenate([np.stack(t, 1) for t in four])

"""Tetrahedral meshes in metres: validated corners and cells, named parts of the boundary.

Structured shapes are in `shapes`; any closed surface is filled by `from_surface`, which is the
only door to trimesh and to pytetwild (extra `mesh`).
"""

from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, final

import numpy as np
from jaxtyping import Float, Int

from sciml.calculus.simplex import boundary, volumes
from sciml.contracts import UserError

if TYPE_CHECKING:
    import trimesh

#: Largest extent, in metres, that is believed of a tactile body.
LARGEST = 1.0
#: A tetrahedron flatter than this share of its longest edge cubed counts as flat.
FLAT = 1e-9


@final
@dataclass(frozen=True, eq=False)
class Mesh:
    """Straight tetrahedra with named surfaces.

    Args:
        nodes: `[n, 3]`, m.
        tets: `[m, 4]` corners, right-handed (see `calculus.simplex.geometry`).
        surfaces: name → `[k, 3]` corners of triangles of the boundary, anticlockwise seen from
            outside. The whole boundary is added as "boundary".
        largest: extent in metres above which the coordinates are taken for millimetres.

    Raises:
        UserError: shapes, node numbers or coordinates that make no mesh; inverted or flat
            tetrahedra; nodes of no tetrahedron; a body larger than `largest`.
    """

    nodes: Float[np.ndarray, "n 3"]
    tets: Int[np.ndarray, "m 4"]
    surfaces: Mapping[str, np.ndarray] = field(default_factory=dict)
    largest: float = LARGEST

    def __post_init__(self) -> None:
        _refuse_nonsense(self.nodes, self.tets)
        _refuse_millimetres(self.nodes, self.largest)
        _refuse_inverted(self.nodes, self.tets)
        skin = boundary(self.tets)
        known = set(map(tuple, np.sort(skin, axis=1).tolist()))
        for name, triangles in self.surfaces.items():
            inside = [t for t in np.sort(triangles, axis=1).tolist() if tuple(t) not in known]
            if inside:
                raise UserError(
                    f"surface '{name}': expected triangles of the mesh's boundary, "
                    f"got {len(inside)} of {len(triangles)} that are not; take them from "
                    "boundary(tets)"
                )
        object.__setattr__(self, "surfaces", {**self.surfaces, "boundary": skin})

    @property
    def volume(self) -> float:
        """m³."""
        return float(volumes(self.nodes[self.tets]).sum())

    def surface(self, name: str) -> Int[np.ndarray, "k 3"]:
        """The triangles of a named surface.

        Raises:
            UserError: no such surface.
        """
        if name not in self.surfaces:
            raise UserError(f"surface '{name}': expected one of {', '.join(sorted(self.surfaces))}")
        return self.surfaces[name]


def _refuse_nonsense(nodes: np.ndarray, tets: np.ndarray) -> None:
    n = len(nodes)
    if not len(tets):
        raise UserError("mesh: expected at least one tetrahedron, got none")
    if not np.isfinite(nodes).all():
        bad = int(np.flatnonzero(~np.isfinite(nodes).all(1))[0])
        raise UserError(f"mesh: expected finite coordinates, got {nodes[bad]} at node {bad}")
    if tets.min() < 0 or tets.max() >= n:
        raise UserError(
            f"mesh: expected corners in 0 … {n - 1}, got {tets.min()} … {tets.max()}; "
            "number the nodes from 0"
        )
    loose = n - len(np.unique(tets))
    if loose:
        raise UserError(
            f"mesh: expected every node in a tetrahedron, got {loose} of {n} in none; drop them"
        )


def _refuse_millimetres(nodes: np.ndarray, largest: float) -> None:
    extent = float(np.ptp(nodes, axis=0).max())
    if extent > largest:
        raise UserError(
            f"mesh: expected metres and at most {largest:g} m across, got {extent:g}; "
            f"if these are millimetres multiply by 1e-3, else set largest={extent:.3g}"
        )


def _refuse_inverted(nodes: np.ndarray, tets: np.ndarray) -> None:
    corners = nodes[tets]
    longest = np.linalg.norm(corners[:, :, None] - corners[:, None], axis=-1).max((1, 2))
    bad = volumes(corners) <= FLAT * longest**3
    if bad.any():
        raise UserError(
            f"mesh: expected right-handed tetrahedra of positive volume, got {int(bad.sum())} of "
            f"{len(tets)} inverted or flat (the first is number {int(np.argmax(bad))}); "
            "swap two corners of the inverted ones, remesh the flat ones"
        )


def oriented(
    nodes: Float[np.ndarray, "n 3"], tets: Int[np.ndarray, "m 4"]
) -> Int[np.ndarray, "m 4"]:
    """The same tetrahedra, all right-handed: corners 0 and 1 of left-handed ones are swapped."""
    left = volumes(nodes[tets]) < 0
    found = tets.copy()
    found[left, 0], found[left, 1] = tets[left, 1], tets[left, 0]
    return found


def from_surface(
    surface: "trimesh.Trimesh | str | Path",
    edge_length: float,
    scale: float = 1.0,
    largest: float = LARGEST,
) -> Mesh:
    """Tetrahedra that fill a closed surface.

    Args:
        surface: a trimesh, or a file that trimesh reads (STL, OBJ, PLY …).
        edge_length: wanted length of the edges, m, > 0.
        scale: metres per unit of the surface's coordinates: 1e-3 for millimetres.
        largest: see `Mesh`.

    Raises:
        UserError: no such file, extra `mesh` not installed, an open, self-intersecting or
            inside-out surface, one that looks like millimetres, edges longer than the body.
    """
    points, triangles = closed(surface, scale, largest)
    extent = float(np.ptp(points, axis=0).max())
    if not 0 < edge_length <= extent:
        raise UserError(
            f"edge_length: expected metres in (0, {extent:g}], the body's size, got {edge_length!r}"
        )
    nodes, tets = _tetrahedra(points, triangles, edge_length)
    return Mesh(nodes, oriented(nodes, tets), largest=largest)


def closed(
    surface: "trimesh.Trimesh | str | Path", scale: float = 1.0, largest: float = LARGEST
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "k 3"]]:
    """Points, m, and triangles of a closed surface, anticlockwise seen from outside.

    Args, Raises: see `from_surface`.
    """
    skin = _read(surface)
    points = np.asarray(skin.vertices, dtype=float) * scale
    triangles = np.asarray(skin.faces, dtype=np.int64)
    _refuse_millimetres(points, largest)
    _refuse_open(skin, points, triangles)
    return points, triangles


def mass_properties(
    surface: "trimesh.Trimesh | str | Path",
    density: float,
    scale: float = 1.0,
    largest: float = LARGEST,
) -> tuple[float, Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """Mass, kg, centre of mass, m, and inertia about it, kg m², of a solid of one density.

    Args:
        density: kg m⁻³, > 0.
        surface, scale, largest: see `from_surface`.

    Raises:
        UserError: as `from_surface`; a density that is not positive.
    """
    if not density > 0:
        raise UserError(f"density: expected kg m⁻³ > 0, got {density!r}")
    import trimesh

    points, triangles = closed(surface, scale, largest)
    skin = trimesh.Trimesh(points, triangles, process=False)
    unit = trimesh.triangles.mass_properties(skin.triangles, density=1.0, skip_inertia=False)
    return density * unit.mass, np.asarray(unit.center_mass), density * np.asarray(unit.inertia)


def _read(surface: "trimesh.Trimesh | str | Path") -> "trimesh.Trimesh":
    import trimesh

    if isinstance(surface, trimesh.Trimesh):
        return surface
    if not Path(surface).is_file():
        raise UserError(f"surface: expected a file of triangles, got '{surface}': no such file")
    return trimesh.load_mesh(surface)


def _refuse_open(skin: "trimesh.Trimesh", points: np.ndarray, triangles: np.ndarray) -> None:
    if not skin.is_watertight:
        ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        _, times = np.unique(ends, axis=0, return_counts=True)
        raise UserError(
            f"surface: expected a closed one, got {int((times != 2).sum())} edges that do not "
            "join two triangles; close the holes (trimesh.repair.fill_holes) or remesh"
        )
    crossing = crossings(points, triangles)
    if crossing:
        raise UserError(
            f"surface: expected one that does not cut itself, got {crossing} pairs of triangles "
            "that cross; unite the overlapping parts or remesh"
        )
    if skin.volume <= 0:
        raise UserError("surface: expected triangles facing outwards, got inwards; call invert()")


def crossings(points: Float[np.ndarray, "n 3"], triangles: Int[np.ndarray, "k 3"]) -> int:
    """Number of pairs of triangles without a common corner of which one is cut by an edge."""
    from scipy.spatial import cKDTree

    corners = points[triangles]
    centres = corners.mean(1)
    reach = np.linalg.norm(corners - centres[:, None], axis=-1).max()
    pairs = cKDTree(centres).query_pairs(2 * reach, output_type="ndarray")
    low, high = corners.min(1), corners.max(1)
    i, j = pairs.T
    near = ((low[i] <= high[j]) & (low[j] <= high[i])).all(1)
    apart = ~(triangles[i][:, :, None] == triangles[j][:, None]).any((1, 2))
    i, j = pairs[near & apart].T
    cut = _pierced(corners[i], corners[j]) | _pierced(corners[j], corners[i])
    return int(cut.sum())


def _pierced(edges_of: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Whether an edge of one triangle passes through the other, pair by pair (Möller, Trumbore)."""
    a, b, c = np.moveaxis(triangle, 1, 0)
    found = np.zeros(len(triangle), dtype=bool)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        origin, along = edges_of[:, start], edges_of[:, end] - edges_of[:, start]
        normal = np.cross(along, c - a)
        det = ((b - a) * normal).sum(1)
        safe = np.where(np.abs(det) > 0, det, np.inf)
        u = ((origin - a) * normal).sum(1) / safe
        across = np.cross(origin - a, b - a)
        v = (along * across).sum(1) / safe
        t = ((c - a) * across).sum(1) / safe
        found |= np.isfinite(safe) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
    return found


def _tetrahedra(
    points: np.ndarray, triangles: np.ndarray, edge_length: float
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and cells by pytetwild, whose tetrahedra are left-handed."""
    try:
        import pytetwild
    except ImportError as error:
        raise UserError(
            "filling a surface with tetrahedra: expected pytetwild and pyvista, got "
            f"'{error}'; install the extra: pip install 'sciml-suite[mesh]'"
        ) from None
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    with TemporaryDirectory() as folder, chdir(folder):  # it leaves a file where it is called
        nodes, tets = pytetwild.tetrahedralize(
            points, triangles, edge_length_fac=edge_length / diagonal, quiet=True
        )[:2]
        used, tets = np.unique(np.asarray(tets, dtype=np.int64), return_inverse=True)
    return np.asarray(nodes, dtype=float)[used], tets.reshape(-1, 4)

"""Rigid solids by their closed surface of triangles, and what lies inside of one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from jaxtyping import Float, Int

from sciml.tactile.mesh import LARGEST, closed

if TYPE_CHECKING:
    import trimesh

#: Pairs of a point and a triangle that are looked at together.
AT_ONCE = 1_000_000


@final
@dataclass(frozen=True, eq=False)
class Shell:
    """A rigid solid by its surface, in its own frame, m: see `shell`."""

    points: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "k 3"]


def shell(
    surface: "trimesh.Trimesh | str | Path", scale: float = 1.0, largest: float = LARGEST
) -> Shell:
    """A rigid solid bounded by a closed surface of triangles.

    Args:
        surface: a trimesh, or a file that trimesh reads (STL, OBJ, PLY …).
        scale: metres per unit of the surface's coordinates: 1e-3 for millimetres.
        largest: see `mesh.Mesh`.

    Raises:
        UserError: no such file; an open, self-intersecting or inside-out surface; one that looks
            like millimetres.
    """
    return Shell(*closed(surface, scale, largest))


def inside(points: Float[np.ndarray, "p 3"], corners: Float[np.ndarray, "k 3 3"]) -> bool:
    """Whether any point lies inside a closed surface: the solid angle under which it is seen.

        tan(Ω/2) = a·(b × c)/(abc + (a·b) c + (b·c) a + (c·a) b)

    Source: A. van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30 (1983) 125-126.
    """
    near = ((points >= corners.min((0, 1))) & (points <= corners.max((0, 1)))).all(1)
    chosen, size = points[near], max(1, AT_ONCE // len(corners))
    for first in range(0, len(chosen), size):
        a, b, c = np.moveaxis(corners - chosen[first : first + size, None, None], 2, 0)
        la, lb, lc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
        volume = (a * np.cross(b, c)).sum(-1)
        flat = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        if (np.arctan2(volume, flat).sum(1) > np.pi).any():  # Ω/2 is 2π inside, 0 outside
            return True
    return False

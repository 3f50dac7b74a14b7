"""Forces by taxel: a surface divided among centres, whose forces add up to the total exactly.

    F_c = Σ_a W_ca f_a,    Σ_c W_ca = 1

W_ca is the share of node a's neighbourhood on the surface at rest that lies nearest to centre c:
the area integral of N_a² over the cell of c, over that of all cells. A node on the border of two
taxels is shared by both, so that nothing jumps when the mesh is moved by a hair.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.surface import Surface
from sciml.tactile.triangle import lattice, shape

#: Pieces along a side of a triangle, whose centres of gravity are asked for the nearest taxel.
PIECES = 6


@final
class Taxels:
    """A surface at rest divided among centres.

    Args:
        surface: on which forces act.
        centres: `[c, 3]`, m: a grid gives rectangles, any other layout Voronoi cells.

    Attributes:
        shares: `[c, s]`, W of the surface's nodes; columns add up to 1.

    Raises:
        UserError: centres to which no part of the surface is nearest.
    """

    def __init__(self, surface: Surface, centres: Float[np.ndarray, "c 3"]) -> None:
        from scipy.spatial import cKDTree

        self.surface, self.centres = surface, torch.from_numpy(centres)
        points, pieces = lattice(PIECES)
        middles = torch.from_numpy(points[np.array(pieces)].mean(1))
        corners = surface.rest.detach()[surface.triangles[:, :3]]
        at = torch.einsum("qa,kai->kqi", middles, corners)
        crossed = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        nearest = cKDTree(centres).query(at.reshape(-1, 3).numpy())[1].reshape(at.shape[:2])
        weights = crossed.norm(dim=-1)[:, None, None] * shape(surface.degree, middles) ** 2
        s = len(surface.nodes)
        place = torch.from_numpy(nearest)[..., None] * s + surface.local[:, None, :]
        flat = weights.new_zeros(len(centres) * s)
        shares = flat.index_add(0, place.reshape(-1), weights.reshape(-1)).reshape(-1, s)
        self._refuse_empty(shares)
        self.shares = shares / shares.sum(0)

    def __len__(self) -> int:
        return len(self.centres)

    def forces(self, forces: Float[Tensor, "n 3"]) -> Float[Tensor, "c 3"]:
        """Force on every taxel, N.

        Args:
            forces: `[n, 3]` on the body's nodes, N; those off the surface are left out.

        Raises:
            UserError: another shape.
        """
        self.surface.require(forces=forces)
        return self.shares @ forces[self.surface.nodes]

    def _refuse_empty(self, shares: Float[Tensor, "c s"]) -> None:
        empty = torch.nonzero(shares.sum(1) == 0)[:, 0]
        if len(empty):
            first = self.centres[empty[0]].tolist()
            raise UserError(
                f"taxels: expected every centre near surface '{self.surface.name}', got "
                f"{len(empty)} of {len(self.centres)} that are nearest to no part of it (number "
                f"{int(empty[0])} at {first} m); if these are millimetres multiply by 1e-3, else "
                "take fewer taxels or a finer mesh"
            )

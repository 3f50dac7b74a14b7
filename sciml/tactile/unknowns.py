"""Unknown constants as free parameters of training: what is found stays in its range.

    Positive   value = start · exp(s z)
    Within     value = low + (high - low) / (1 + exp(-s z - z_0))        z = 0 at the start
    Field      value = start · exp(s (level + S z)),    S = √(8πℓ³) (M + ℓ² K)⁻¹ √M

M are the cells' volumes, K couples neighbours by A/d (area of the face, distance of the centres):
S makes of independent z of size 1 a smooth field of about that size whose values are correlated
over some ℓ. It forbids nothing, it says in which order an optimiser learns: what is broad first.

z is what an optimiser sees, free of units. It goes faster where all z change what is seen alike: s
is large for a constant that changes it little.

Source: F. Lindgren, H. Rue, J. Lindström, J. R. Stat. Soc. B 73 (2011) 423-498 (S, of a Matérn
field in three dimensions).
"""

import math
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.simplex import neighbours, volumes
from sciml.contracts import UserError
from sciml.tactile.mesh import Mesh

#: Cells up to which S is kept as a full matrix (0.3 GB).
LARGEST = 6000


@final
class Positive(nn.Module):
    """A constant > 0, or a field of `cells` of them, that starts at `start`.

    Args:
        start: in its own unit, > 0.
        cells: None for one constant.
        scale: s, > 0.
    """

    def __init__(self, start: float, cells: int | None = None, scale: float = 1.0) -> None:
        super().__init__()
        if not start > 0 or not scale > 0:
            raise UserError(f"unknown: expected start and scale > 0, got {start!r}, {scale!r}")
        self.start, self.scale = start, scale
        shape = () if cells is None else (cells,)
        self.z = nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def forward(self) -> Float[Tensor, "*cells"]:
        return self.start * torch.exp(self.scale * self.z)


@final
class Within(nn.Module):
    """A constant between two bounds.

    Args:
        start: strictly between `low` and `high`.
        scale: s, > 0.
    """

    def __init__(self, start: float, low: float, high: float, scale: float = 1.0) -> None:
        super().__init__()
        if not low < start < high or not scale > 0:
            raise UserError(
                f"unknown: expected {low} < start < {high} and scale > 0, got {start!r}, {scale!r}"
            )
        self.low, self.high, self.scale = low, high, scale
        self.offset = math.log((start - low) / (high - start))
        self.z = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self) -> Float[Tensor, ""]:
        return self.low + (self.high - self.low) * torch.sigmoid(self.scale * self.z + self.offset)


@final
class Field(nn.Module):
    """One constant > 0 for every cell of a mesh.

    Args:
        mesh: whose cells.
        start: of all cells, in its own unit, > 0.
        length: ℓ, m, > 0; some cells' size, or what is looked for.
        scale: s, > 0.

    Raises:
        UserError: values out of these ranges; too many cells.
    """

    smoother: Tensor

    def __init__(self, mesh: Mesh, start: float, length: float, scale: float = 1.0) -> None:
        super().__init__()
        if not start > 0 or not length > 0 or not scale > 0:
            raise UserError(
                f"unknown: expected start, length and scale > 0, got {start!r}, {length!r}, "
                f"{scale!r}"
            )
        if len(mesh.tets) > LARGEST:
            raise UserError(
                f"unknown: expected a field of at most {LARGEST} cells, got {len(mesh.tets)}; "
                "take a coarser mesh"
            )
        self.start, self.scale = start, scale
        smoother = torch.from_numpy(_smoother(mesh, length))
        self.register_buffer("smoother", smoother, persistent=False)
        self.level = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.z = nn.Parameter(torch.zeros(len(mesh.tets), dtype=torch.float64))

    def forward(self) -> Float[Tensor, " m"]:
        return self.start * torch.exp(self.scale * (self.level + self.smoother @ self.z))


def _smoother(mesh: Mesh, length: float) -> Float[np.ndarray, "m m"]:
    """S."""
    (i, j), faces = (found.T for found in neighbours(mesh.tets))
    a, b, c = mesh.nodes[faces]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    centres, V = mesh.nodes[mesh.tets].mean(1), volumes(mesh.nodes[mesh.tets])
    couples = area / np.linalg.norm(centres[i] - centres[j], axis=1)
    K = np.zeros((len(V), len(V)))
    K[i, j] = K[j, i] = -couples
    K -= np.diag(K.sum(1))
    S = np.linalg.solve(np.diag(V) + length**2 * K, np.diag(np.sqrt(V)))
    return np.sqrt(8 * np.pi * length**3) * S

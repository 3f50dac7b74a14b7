"""How much a field of the cells varies: the total variation of its logarithm.

    V = L⁻² Σ_f A_f (√(Δ_f² + ε²) - ε)     Δ_f = log E_i - log E_j across the face f of area A_f

L³ is the body's volume: V has no dimension, and of one field about the same value on any mesh. For
ε → 0 it is the total variation of what is constant in every cell, which jumps as readily as it
rises slowly; differences below ε are smoothed by their squares.

As rows for least squares, V = Σ r_f², r_f = √A_f/L · Δ_f/√(√(Δ_f² + ε²) + ε).

Source: L. I. Rudin, S. Osher, E. Fatemi, Physica D 60 (1992) 259-268.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.simplex import neighbours
from sciml.contracts import UserError
from sciml.tactile.elements import Elements


@final
class TotalVariation:
    """Rows whose mean square is V.

    Args:
        elements: whose cells the field has values of.
        smooth: ε, > 0.

    Raises:
        UserError: an ε that is not positive.
    """

    def __init__(self, elements: Elements, smooth: float) -> None:
        if not smooth > 0:
            raise UserError(f"variation: expected a difference of logarithms > 0, got {smooth!r}")
        self.smooth = smooth
        cells, faces = neighbours(elements.cells[:, :4])
        self.left, self.right = (torch.from_numpy(side.copy()) for side in cells.T)
        a, b, c = np.moveaxis(elements.nodes[faces], 1, 0)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        length = elements.volumes.sum() ** (1 / 3)
        self.weights = torch.from_numpy(np.sqrt(len(area) * area) / length)

    def __call__(self, values: Float[Tensor, " m"]) -> Float[Tensor, " f"]:
        """Of a field > 0."""
        log = values.cpu().log()
        jump = log[self.left] - log[self.right]
        size = (jump.square() + self.smooth**2).sqrt()
        return self.weights * jump / (size + self.smooth).sqrt()

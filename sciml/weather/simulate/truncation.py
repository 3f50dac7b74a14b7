"""Where the waves end: the triangular truncation whose products do not alias, and what damps there.

A product of two fields of degree T, analysed to degree T, is exact where the grid integrates degree
3 T: T = (2 n_lat - 1)/3 on a Gaussian grid.

    D_l = (1/τ) (l(l+1)/(T(T+1)))ⁿ      hyperdiffusion -(-1)ⁿ ν ∇²ⁿ by its time at l = T

Source: L. M. Polvani, R. K. Scott, S. J. Thomas, Mon. Wea. Rev. 132 (2004) 2539-2550 (ν by time).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from sciml.calculus.sphere import Harmonics, LatLon
from sciml.contracts import UserError
from sciml.physics.earth import RADIUS


@final
@dataclass(frozen=True)
class Dissipation:
    """Hyperdiffusion.

    Args:
        time: τ, e-folding time of the shortest waves, seconds; inf switches it off.
        order: n.
    """

    time: float = 6 * 3600.0
    order: int = 4

    def rates(self, truncation: int) -> np.ndarray:
        """D `[l]`, s⁻¹."""
        l = np.arange(truncation + 1.0)
        return (l * (l + 1) / (truncation * (truncation + 1))) ** self.order / self.time


#: Smooth to the last degree, and felt by the upper half of them only.
WEAK = Dissipation()


def unaliased(grid: LatLon, truncation: int | None, dtype: torch.dtype, device: str) -> Harmonics:
    """Transforms of the sphere's radius; the largest truncation that does not alias where None.

    Raises:
        UserError: a truncation whose products the grid does not resolve.
    """
    most = (2 * grid.exact_degree + 1) // 3
    truncation = most if truncation is None else truncation
    if not 0 < truncation <= most:
        raise UserError(
            f"simulate: expected a truncation of 1 to {most}, whose products a {grid.kind} grid of "
            f"{grid.shape[0]} × {grid.shape[1]} resolves, got {truncation}"
        )
    with _tables_in(dtype):
        return Harmonics(grid, truncation, RADIUS).to(device)


@contextmanager
def _tables_in(dtype: torch.dtype) -> Iterator[None]:
    """Modules that are made inside hold their float64 tables in `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

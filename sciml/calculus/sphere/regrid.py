"""Conservative regridding, first order: means over the overlap of cells.

    g_i = Σ_k |i ∩ k| f_k / |i|,     |i ∩ k| = (overlap of bands in μ) · (overlap in longitude)

Cells of latitude-longitude grids are bands times sectors, so that the overlaps are the product of
two small matrices. Bands have the height of the quadrature weights: areas are those of
`LatLon.area`, and the mean over the globe is conserved to rounding.

Source: P. W. Jones, Mon. Wea. Rev. 127 (1999) 2204-2210.
"""

from functools import partial
from typing import final

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.tables import Tables
from sciml.contracts import UserError

#: Part of a cell that may stick out of the source, for the sake of rounding.
ROUNDING = 1e-6


@final
class Conservative(nn.Module):
    """Fields `[..., lat, lon]` of one grid as means over the cells of another.

    Args:
        source: grid of the fields.
        target: grid of the means, covered by the source.

    Raises:
        UserError: cells of the target that lie partly outside of the source.
    """

    def __init__(self, source: LatLon, target: LatLon) -> None:
        super().__init__()
        self.tables = Tables(partial(_tables, source, target))

    def forward(self, f: Float[Tensor, "*b lat lon"]) -> Float[Tensor, "*b lat2 lon2"]:
        return self.tables.bands @ (f @ self.tables.sectors.T)


def _tables(source: LatLon, target: LatLon) -> dict[str, np.ndarray]:
    tables = {
        "bands": _overlap(source.edges, target.edges, 0.0),
        "sectors": _overlap(_sectors(source), _sectors(target), 360.0 if source.closes else 0.0),
    }
    for name, table in tables.items():
        if np.abs(table.sum(1) - 1).max() > ROUNDING:
            raise UserError(
                f"regrid: expected a source that covers every cell of the target, got {name} of "
                "the target that lie partly outside; choose a smaller target"
            )
    return {name: table / table.sum(1, keepdims=True) for name, table in tables.items()}


def _sectors(grid: LatLon) -> np.ndarray:
    """Meridians between the cells, degrees."""
    lon = grid.nodes[1]
    step = lon[1] - lon[0]
    return np.append(lon - step / 2, lon[-1] + step / 2)


def _overlap(source: np.ndarray, target: np.ndarray, period: float) -> np.ndarray:
    """Part of each target interval `[target, source]` that each source interval takes."""
    low, high = target[:-1, None], target[1:, None]
    shared = np.zeros((len(target) - 1, len(source) - 1))
    first = np.floor((target[0] - source[-1]) / period) if period else 0
    last = np.ceil((target[-1] - source[0]) / period) if period else 0
    for turn in np.arange(first, last + 1) * period:
        overlap = np.minimum(high, source[1:] + turn) - np.maximum(low, source[:-1] + turn)
        shared += np.maximum(overlap, 0)
    return shared / (high - low)

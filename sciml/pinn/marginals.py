"""Points crowded along each coordinate where the residual is large, spread as evenly as ever.

Picking points one by one by their residual (`adaptive.RAD`) tears the evenness of a Sobol sequence,
and a least-squares fit then slips between the points. Here whole slices of a coordinate get more.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from sciml.contracts import UserError
from sciml.pinn.adaptive import Chosen, Draw, Size


@final
@dataclass(frozen=True)
class Marginals:
    """All points drawn anew, each coordinate stretched to a density of its own.

        p_j(x_j) ∝ m_j(x_j) / mean m_j + c,   m_j = mean of |r|^k over the slice at x_j

    of a box cut into slices, where the largest of a slice and its neighbours counts. So a layer
    across a coordinate is found by the residual; one that lies aslant is only boxed in.

    Args:
        k: power of the residual.
        c: the uniform part, > 0.
        pool: candidates per point, from which the means are taken.
        slices: along each coordinate; a layer thinner than one is not resolved.
        correction: weights p^(−2 correction): 0.5 keeps the mean square that of the base density.

    Cost: the equations at pool · n points, without a graph.
    Source: equidistribution of a monitor function, as for moving meshes: W. Huang, R. D. Russell,
    Adaptive Moving Mesh Methods, Springer 2011, chapter 2; here for random points.
    """

    k: float = 1.0
    c: float = 1.0
    pool: int = 8
    slices: int = 256
    correction: float = 0.4
    growth = 0
    box_only = True

    def __post_init__(self) -> None:
        sound = self.k >= 0 and self.c > 0 and 0 <= self.correction <= 1
        if not (sound and self.pool >= 1 and self.slices >= 2):
            raise UserError(
                "marginals: expected k >= 0, c > 0, 0 <= correction <= 1, pool >= 1 and "
                f"slices >= 2, got k={self.k}, c={self.c}, correction={self.correction}, "
                f"pool={self.pool}, slices={self.slices}"
            )

    def __call__(self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator) -> Chosen:
        candidates = draw(self.pool * len(x))
        power = size(candidates) ** self.k
        lower, upper = candidates.min(0), candidates.max(0)
        points, factor = draw(len(x)), np.ones(len(x))
        for j, (a, b) in enumerate(zip(lower, upper, strict=True)):
            density = self._density((candidates[:, j] - a) / (b - a), power)
            even = np.clip((points[:, j] - a) / (b - a), 0.0, 1.0)
            cdf = np.concatenate(([0.0], np.cumsum(density) / self.slices))
            stretched = np.interp(even, cdf, np.linspace(0.0, 1.0, self.slices + 1))
            points[:, j] = a + (b - a) * stretched
            factor *= density[self._slice(stretched)] ** (-2 * self.correction)
        return points, factor

    def _slice(self, u: np.ndarray) -> np.ndarray:
        return np.minimum((u * self.slices).astype(int), self.slices - 1)

    def _density(self, u: np.ndarray, power: np.ndarray) -> np.ndarray:
        """p of each slice `[slices]` over the uniform density, from candidates at u in [0, 1]."""
        place = self._slice(u)
        count = np.bincount(place, minlength=self.slices)
        mean = np.bincount(place, power, self.slices) / np.maximum(count, 1)
        padded = np.pad(mean, 1, mode="edge")
        widest = np.maximum(mean, np.maximum(padded[:-2], padded[2:]))
        average = widest.mean()
        p = (widest / average if average > 0 else np.zeros(self.slices)) + self.c
        return p / p.mean()

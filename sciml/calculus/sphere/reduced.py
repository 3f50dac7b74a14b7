"""Reduced Gaussian grids: circles on Gaussian latitudes, with fewer points towards the poles.

    octahedral O_n     2n circles, 20 + 4i points on the i-th from a pole, i = 0 … n-1
    classical  N_n     2n circles, points by a table

A circle of n_k points holds the waves m < n_k/2. Transforms leave out the others there, which are
small near the poles: Y_lm falls off as cos^m φ. What is lost of ∫ |Y_lm|² bounds the truncations
that are exact:

    loss(T) = Σ_k Σ_{l<=T} 4π w_k P_{l,m_k}(μ_k)²,    m_k the first wave that circle k leaves out

On O_n, loss(n - 1) is below 5e-11 for every n up to 640: T = n - 1, the "cubic" truncation.

Source: M. Hortal, A. J. Simmons, Mon. Wea. Rev. 119 (1991) 1057-1074 (reduced grids); S. Malardel
et al., ECMWF Newsletter 146 (2016) 23-28 (octahedral grid, cubic truncation).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciml.calculus.sphere.quadrature import gauss_legendre
from sciml.contracts import UserError

#: The largest loss of a truncation that counts as exact.
EXACT = 1e-10


@dataclass(frozen=True, eq=False)
class ReducedGaussian:
    """2n Gaussian circles; cells are counted from the south, eastward from longitude 0 on each.

    Args:
        n: circles between a pole and the equator.
        rings: points on each of them, from the pole to the equator; 20 + 4i where none are given.

    Fields on it have the shape `[..., cell]`.

    Raises:
        UserError: another number of rings than n, rings of fewer than 4 points.
    """

    n: int
    rings: Sequence[int] = ()

    def __post_init__(self) -> None:
        rings = tuple(int(k) for k in self.rings) or tuple(20 + 4 * i for i in range(self.n))
        object.__setattr__(self, "rings", rings)
        if self.n < 1 or len(rings) != self.n or min(rings) < 4:
            raise UserError(
                f"grid: expected n >= 1 and the points on each of {self.n} circles from a pole to "
                f"the equator, at least 4, got {len(rings)}: {_shortened(rings)}"
            )

    @property
    def kind(self) -> str:
        """octahedral or reduced_gauss."""
        octahedral = all(k == 20 + 4 * i for i, k in enumerate(self.rings))
        return "octahedral" if octahedral else "reduced_gauss"

    @property
    def is_global(self) -> bool:
        """True: there are no others."""
        return True

    @cached_property
    def lengths(self) -> np.ndarray:
        """Points on every circle `[n_lat]`, south first."""
        return np.array([*self.rings, *self.rings[::-1]])

    @property
    def shape(self) -> tuple[int]:
        """(n_cells,)."""
        return (2 * sum(self.rings),)

    @cached_property
    def lat(self) -> np.ndarray:
        """Latitude of every circle `[n_lat]`, degrees, ascending."""
        return gauss_legendre(2 * self.n)[0].copy()

    @cached_property
    def weights(self) -> np.ndarray:
        """Quadrature weights w_j `[n_lat]` of ∫ dμ over the circles; they sum to 2."""
        return gauss_legendre(2 * self.n)[1].copy()

    @cached_property
    def area(self) -> np.ndarray:
        """Share `[n_cells]` of each cell in the whole; sums to 1."""
        return np.repeat(self.weights / 2 / self.lengths, self.lengths)

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude `[n_cells]` of every point, degrees."""
        lon = np.concatenate([np.arange(k) * 360 / k for k in self.lengths])
        return np.repeat(self.lat, self.lengths), lon

    @cached_property
    def exact_degree(self) -> int:
        """Largest l whose products with one another are integrated exactly, to 1e-10."""
        if self.kind == "octahedral":
            return self.n - 1
        return int(np.searchsorted(self.loss, EXACT)) - 1

    @cached_property
    def loss(self) -> np.ndarray:
        """loss(T) `[2n]` for T = 0 … 2n - 1, where Gauss quadrature ends."""
        phi, w = np.radians(self.lat[: self.n]), self.weights[: self.n]
        mu, m = np.sin(phi), (np.array(self.rings) + 1) // 2
        k = np.arange(1, m.max() + 1)
        growth = np.cumsum(np.log1p(1 / (2 * k))) / 2
        sectoral = np.exp(growth[m - 1] + m * np.log(np.cos(phi))) / np.sqrt(4 * np.pi)
        lost, below, p = np.zeros(2 * self.n), np.zeros(self.n), np.zeros(self.n)
        for l in range(1, 2 * self.n):
            below, p = p, np.where(l == m, sectoral, _next(l, m, mu, p, below))
            lost[l] = 4 * np.pi * (w * p**2).sum()
        return np.cumsum(lost)


def _next(l: int, m: np.ndarray, mu: np.ndarray, p: np.ndarray, below: np.ndarray) -> np.ndarray:
    """P_lm from P_{l-1,m} and P_{l-2,m}, zero for l <= m."""
    before = np.sqrt(np.maximum((l - 1.0) ** 2 - m**2, 0) / abs(4 * (l - 1.0) ** 2 - 1))
    here = np.sqrt(np.where(l > m, l * l - m * m, np.inf) / (4.0 * l * l - 1))
    return (mu * p - before * below) / here


def _shortened(rings: tuple[int, ...]) -> str:
    text = ", ".join(map(str, rings[:4]))
    return text + (" …" if len(rings) > 4 else "")

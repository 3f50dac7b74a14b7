"""Symmetric quadrature on a tetrahedron with positive weights and all points inside.

    ∫ f dV = V Σ_q w_q f(λ_q),    Σ_q w_q = 1

Source: degrees 1 and 2: A. H. Stroud, Approximate Calculation of Multiple Integrals (1971), T3:1-1
and T3:2-1; degree 5: N. J. Walkington, Quadrature on simplices of arbitrary dimension (2000), the
rule of 14 points.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import final

import numpy as np
from jaxtyping import Float


@final
@dataclass(frozen=True)
class Quadrature:
    """Points in barycentric coordinates `[q, 4]` and weights `[q]` that sum to 1.

    Args:
        degree: polynomials up to this degree are integrated exactly.
    """

    degree: int
    points: Float[np.ndarray, "q 4"]
    weights: Float[np.ndarray, " q"]


def _orbit(*at: float) -> np.ndarray:
    """All distinct permutations of four barycentric coordinates."""
    return np.array(sorted(set(permutations(at))))


def _of(degree: int, *orbits: tuple[float, tuple[float, ...]]) -> Quadrature:
    points = [_orbit(*at) for _, at in orbits]
    weights = [np.full(len(part), weight) for part, (weight, _) in zip(points, orbits, strict=True)]
    return Quadrature(degree, np.concatenate(points), np.concatenate(weights))


_A, _B, _C = 0.31088591926330060980, 0.092735250310891226402, 0.045503704125649649492
_RULES = (
    _of(1, (1.0, (0.25,) * 4)),
    _of(2, (0.25, ((5 - 5**0.5) / 20,) * 3 + ((5 + 3 * 5**0.5) / 20,))),
    _of(
        5,
        (6 * 0.018781320953002641800, (_A, _A, _A, 1 - 3 * _A)),
        (6 * 0.012248840519393658257, (_B, _B, _B, 1 - 3 * _B)),
        (6 * 0.0070910034628469110730, (_C, _C, 0.5 - _C, 0.5 - _C)),
    ),
)


def rule(degree: int) -> Quadrature:
    """The smallest rule that is exact for polynomials of `degree`, 0 … 5.

    Raises:
        ValueError: a higher degree.
    """
    for found in _RULES:
        if degree <= found.degree:
            return found
    raise ValueError(f"quadrature on tetrahedra: expected degree 0 … 5, got {degree}")

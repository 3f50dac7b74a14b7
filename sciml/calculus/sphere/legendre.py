"""Normalised associated Legendre functions and their derivatives, in float64.

    Y_l^m(φ, λ) = P_lm(μ) e^{imλ},   μ = sin φ,    ∫ |Y|² dΩ = 1,   ∫ P_lm² dμ = 1/2π

    P_mm   = √((2m+1)/2m) cos φ P_{m-1,m-1},   P_00 = 1/√4π         (no Condon-Shortley phase)
    μ P_lm = ε_{l+1,m} P_{l+1,m} + ε_lm P_{l-1,m},   ε_lm = √((l² - m²)/(4l² - 1))
    dP_lm/dφ = [(l+1) ε_lm P_{l-1,m} - l ε_{l+1,m} P_{l+1,m}] / cos φ

The last two are also needed divided by cos φ, which is finite at the poles for m >= 1: the tables
start from P_mm / cos φ then, and nothing is ever divided by zero. Where P_mm falls below float64's
range, P_lm is below it too for every l up to about 1900 (Holmes and Featherstone): not for more.

Source: S. A. Holmes, W. E. Featherstone, J. Geodesy 76 (2002) 279-299 (recursion in l, functions
divided by cos φ); E. W. Hobson, The Theory of Spherical and Ellipsoidal Harmonics (1931).
"""

import numpy as np


def epsilon(degree: int) -> np.ndarray:
    """ε_lm `[l, m]` for 0 <= m <= l <= degree, zero elsewhere."""
    l, m = np.ogrid[: degree + 1, : degree + 1]
    return np.sqrt(np.where(m < l, np.maximum(l * l - m * m, 0) / abs(4.0 * l * l - 1), 0.0))


def functions(phi: np.ndarray, degree: int, divided: bool = False) -> np.ndarray:
    """P_lm(sin φ) `[m, lat, l]`, or P_lm(sin φ) / cos φ (zero for m = 0) where `divided`.

    Args:
        phi: `[lat]` latitude in radians, from which cos φ keeps its digits near the poles.
        degree: largest l and m.
    """
    phi = np.asarray(phi, dtype=np.float64)
    mu = np.sin(phi)
    eps = epsilon(degree)[:, :, None]
    table = np.zeros((degree + 1, degree + 1, len(phi)))  # [l, m, lat]: the recursion is in l
    table[np.diag_indices(degree + 1)] = _sectoral(phi, degree, divided)
    for l in range(1, degree + 1):
        below = mu * table[l - 1, :l]
        if l > 1:
            below -= eps[l - 1, :l] * table[l - 2, :l]
        table[l, :l] = below / eps[l, :l]
    return np.ascontiguousarray(table.transpose(1, 2, 0))


def _sectoral(phi: np.ndarray, degree: int, divided: bool) -> np.ndarray:
    """P_mm `[m, lat]`, or P_mm / cos φ and zero for m = 0."""
    m = np.arange(1, degree + 1)[:, None]
    factors = np.sqrt((2 * m + 1) / (2 * m)) * np.cos(phi)
    if divided:
        factors[:1] = np.sqrt(1.5)
    first = np.full((1, len(phi)), np.sqrt(1 / (4 * np.pi)))
    table = np.cumprod(np.concatenate([first, factors]), axis=0)
    table[0] *= not divided
    return table


def derivatives(phi: np.ndarray, degree: int) -> np.ndarray:
    """dP_lm/dφ `[m, lat, l]`, finite at the poles."""
    eps = epsilon(degree + 1).T[:-1, None]  # [m, 1, l]
    wide = functions(phi, degree + 1, divided=True)
    l = np.arange(degree + 1)
    table = -l * eps[..., 1:] * wide[:-1, :, 1:]
    table[..., 1:] += (l[1:] + 1) * eps[..., 1:-1] * wide[:-1, :, :-2]
    table[0] = np.sqrt(l * (l + 1.0)) * np.cos(phi)[:, None] * wide[1, :, :-1]
    return table

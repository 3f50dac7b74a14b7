"""Normalised associated Legendre functions and their derivatives, in float64.

    Y_l^m(φ, λ) = P_lm(μ) e^{imλ},   μ = sin φ,    ∫ |Y|² dΩ = 1,   ∫ P_lm² dμ = 1/2π

    P_mm   = √((2m+1)/2m) cos φ P_{m-1,m-1},   P_00 = 1/√4π         (no Condon-Shortley phase)
    μ P_lm = ε_{l+1,m} P_{l+1,m} + ε_lm P_{l-1,m},   ε_lm = √((l² - m²)/(4l² - 1))
    dP_lm/dφ = [(l+1) ε_lm P_{l-1,m} - l ε_{l+1,m} P_{l+1,m}] / cos φ

The last two are also needed divided by cos φ, which is finite at the poles for m >= 1: the tables
start from P_mm / cos φ then, and nothing is ever divided by zero.

Source: S. A. Holmes, W. E. Featherstone, J. Geodesy 76 (2002) 279-299 (recursion in l, functions
divided by cos φ); E. W. Hobson, The Theory of Spherical and Ellipsoidal Harmonics (1931).
"""

import numpy as np


def epsilon(degree: int) -> np.ndarray:
    """ε_lm `[l, m]` for 0 <= m <= l <= degree, zero elsewhere."""
    l, m = np.ogrid[: degree + 1, : degree + 1]
    return np.sqrt(np.where(m <= l, np.maximum(l * l - m * m, 0) / (4.0 * l * l - 1), 0.0).clip(0))


def functions(mu: np.ndarray, degree: int, divided: bool = False) -> np.ndarray:
    """P_lm(μ) `[m, lat, l]`, or P_lm(μ) / cos φ (zero for m = 0) where `divided`.

    Args:
        mu: `[lat]` sine of latitude.
        degree: largest l and m.
    """
    mu = np.asarray(mu, dtype=np.float64)
    cosine = np.sqrt(np.maximum(1 - mu**2, 0.0))
    eps = epsilon(degree)
    table = np.zeros((degree + 1, len(mu), degree + 1))
    sectoral = np.full(len(mu), np.sqrt(1 / (4 * np.pi)))
    for m in range(degree + 1):
        if m > 0:
            factor = np.sqrt((2 * m + 1) / (2 * m))
            sectoral = sectoral * factor * (1.0 if divided and m == 1 else cosine)
        elif divided:
            continue
        table[m, :, m] = sectoral
        if m < degree:
            table[m, :, m + 1] = mu * sectoral / eps[m + 1, m]
        for l in range(m + 2, degree + 1):
            lower = eps[l - 1, m] * table[m, :, l - 2]
            table[m, :, l] = (mu * table[m, :, l - 1] - lower) / eps[l, m]
    return table


def derivatives(mu: np.ndarray, degree: int) -> np.ndarray:
    """dP_lm/dφ `[m, lat, l]`, finite at the poles."""
    eps = epsilon(degree + 1)
    wide = functions(mu, degree + 1, divided=True)
    l = np.arange(degree + 1)
    table = np.zeros((degree + 1, len(mu), degree + 1))
    for m in range(1, degree + 1):
        up = l * eps[1:, m] * wide[m, :, 1:]
        down = np.zeros_like(up)
        down[:, 1:] = (l[1:] + 1) * eps[1:-1, m] * wide[m, :, :-2]
        table[m] = down - up
    plain = functions(mu, degree)
    if degree > 0:
        table[0] = np.sqrt(l * (l + 1.0)) * plain[1]
    return table

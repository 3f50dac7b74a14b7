"""Rules of quadrature in μ = sin φ: latitudes, weights, and the degree up to which they are exact.

∫_{-1}^{1} p(μ) dμ = Σ_j w_j p(μ_j)

rule             latitudes                        polynomials p
gauss_legendre   roots of P_n                     up to degree 2n - 1
clenshaw_curtis  -90 … 90, both poles included    n - 1
fejer            half a step off the poles        n - 1

Source: P. J. Davis, P. Rabinowitz, Methods of Numerical Integration (1984), sections 2.5 and 2.7;
P. N. Swarztrauber, SIAM J. Sci. Comput. 24 (2003) 945-954 (Gauss points as angles).
"""

from functools import cache

import numpy as np


@cache
def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes `[n]` in degrees, ascending, and weights, by Newton's method in the colatitude θ.

    In θ, points near the poles keep all their digits; w = 2 / (dP_n/dθ)².
    """
    half = (n + 1) // 2
    theta = (np.arange(half) + 0.75) * np.pi / (n + 0.5)
    for _ in range(8):
        value, slope = _legendre(theta, n)
        theta = theta - value / slope
        if np.abs(value / slope).max() < 1e-14:
            break
    weights = 2 / _legendre(theta, n)[1] ** 2
    lat = np.degrees(np.pi / 2 - theta)
    if n % 2:
        lat[-1] = 0.0
    mirrored = slice(None) if n % 2 == 0 else slice(1, None)
    return (
        _frozen(np.concatenate([-lat, lat[::-1][mirrored]])),
        _frozen(np.concatenate([weights, weights[::-1][mirrored]])),
    )


def _legendre(theta: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """P_n(cos θ) and dP_n/dθ; differences P_l - P_{l-1} follow from 1 - cos θ without rounding."""
    short = 2 * np.sin(theta / 2) ** 2
    value, step = np.ones_like(theta), np.zeros_like(theta)
    for l in range(n):
        step = (l * step - (2 * l + 1) * short * value) / (l + 1)
        value = value + step
    # (1 - μ²) dP_n/dμ = n (P_{n-1} - μ P_n)
    return value, n * (step - short * value) / np.sin(theta)


@cache
def clenshaw_curtis(n: int) -> tuple[np.ndarray, np.ndarray]:
    """∫ cos kθ sin θ dθ = 2/(1 - k²) for even k, applied to the cosine series through the nodes."""
    theta = np.pi * np.arange(n) / (n - 1)
    k = np.arange(0, n, 2)
    terms = 2 / (1 - k**2) * np.where((k == 0) | (k == n - 1), 0.5, 1.0)
    weights = 2 / (n - 1) * np.cos(np.outer(theta, k)) @ terms
    weights[[0, -1]] /= 2
    return _frozen(np.linspace(-90, 90, n)), _frozen(weights)


@cache
def fejer(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Fejér's first rule: as Clenshaw-Curtis, from the midpoints."""
    theta = np.pi * (np.arange(n) + 0.5) / n
    k = np.arange(0, n, 2)
    terms = 2 / (1 - k**2) * np.where(k == 0, 0.5, 1.0)
    weights = 2 / n * np.cos(np.outer(theta, k)) @ terms
    return _frozen((np.arange(n) + 0.5) * 180 / n - 90), _frozen(weights)


def _frozen(x: np.ndarray) -> np.ndarray:
    """Read-only, for the cache's sake."""
    x.setflags(write=False)
    return x

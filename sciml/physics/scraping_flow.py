"""Flow in a right-angled corner, one side of which slides along itself at unit speed.

(X, Y) is the distance from the resting and from the sliding wall, r and θ are polar coordinates
with θ = 0 on the sliding wall and θ = π/2 on the resting one. With s = 1 where the wall slides away
from the corner and s = -1 where it slides towards it, the velocity (-s ψ_Y, s ψ_X) is steady if

    ∇²∇²ψ = s Re (ψ_X ∇²ψ_Y - ψ_Y ∇²ψ_X)        ψ = 0, ψ_Y = -1 at θ = 0;  ψ = 0, ψ_X = 0 at θ = π/2

The velocity jumps at the corner. Near it

    ψ = Σ_k (s Re)^k r^(k+1) f_k(θ) + smoother,    k = 0, 1, …

where f_0 is Taylor's scraper, without inertia, and each further term balances the inertia of those
before it. With g_k the angular part of the vorticity,

    f_k'' + (k+1)² f_k = g_k
    g_k'' + (k-1)² g_k = Σ_(i+j=k-1) (i+1) f_i g_j' - (j-1) f_i' g_j
    f_0 = 4/(π² - 4) (θ (cos θ + (π/2) sin θ) - (π²/4) sin θ)

What is left of order r^3.74 are eddies in the corner that the flow far away drives (Moffatt).
The series is asymptotic: of use where Re r is at most about 10.

    symbol   meaning                                                     unit (speed U, length L)
    X, Y, r  distances                                                   L
    ψ        stream function                                             U L
    Re       Reynolds number U L / ν                                     1

Source: G. I. Taylor, On scraping viscous fluid from a plane surface (1962); for inertia,
C. Hancock, E. Lewis, H. K. Moffatt, J. Fluid Mech. 112 (1981) 315-327; H. K. Moffatt, J. Fluid
Mech. 18 (1964) 1-18; subtracted from the flow in a cavity by O. Botella, R. Peyret, Comput. Fluids
27 (1998) 421-433.
"""

import math
from functools import cache

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor

#: Degree of the polynomials in θ - π/4 that stand for f_k: right to rounding for k < 4.
DEGREE = 28
#: Squared distance, added to keep the velocity finite in the corner itself.
TINY = 1e-60


def stream_function(X: Tensor, Y: Tensor, Re: Tensor | float, terms: int = 3) -> Tensor:
    """Σ_(k < terms) Re^k r^(k+1) f_k(θ), of the shape of X and Y, which are >= 0.

    Args:
        Re: s Re, negative where the wall slides towards the corner.
        terms: 1 for Taylor's scraper.
    """
    r = (X**2 + Y**2 + TINY) ** 0.5
    angle = 2.0 * torch.atan(Y / (r + X)) - math.pi / 4
    psi, scale = 0.0, r
    for k in range(terms):
        psi = psi + scale * _horner(angular(terms)[k], angle)
        scale = scale * r * Re
    return psi


@cache
def angular(terms: int) -> tuple[tuple[float, ...], ...]:
    """f_k for k < terms: coefficients in rising powers of θ - π/4.

    The right-hand sides are known from lower k, so that each equation gives a power series with
    four free constants, which the two walls fix.
    """
    f: list[np.ndarray] = []
    g: list[np.ndarray] = []
    for k in range(terms):
        source = np.zeros(DEGREE + 1)
        for i in range(k):
            j = k - 1 - i
            source += (i + 1) * _product(f[i], _slope(g[j])) - (j - 1) * _product(
                _slope(f[i]), g[j]
            )
        g_k, f_k = _fit(k, source, speed=-1.0 if k == 0 else 0.0)
        f.append(f_k)
        g.append(g_k)
    return tuple(tuple(map(float, part)) for part in f)


def _fit(k: int, source: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """(g_k, f_k) with f = 0 on both walls, f' = speed on the sliding and 0 on the resting one."""

    def series(source: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        g = _oscillator((k - 1) ** 2, source, start[:2])
        return g, _oscillator((k + 1) ** 2, g, start[2:])

    def at_walls(f: np.ndarray) -> np.ndarray:
        ends = np.array([-math.pi / 4, math.pi / 4])
        return np.concatenate([polynomial.polyval(ends, part) for part in (f, _slope(f))])

    particular = series(source, np.zeros(4))
    free = [series(np.zeros(DEGREE + 1), unit) for unit in np.eye(4)]
    matrix = np.stack([at_walls(f) for _, f in free], axis=1)
    share = np.linalg.solve(matrix, np.array([0.0, 0.0, speed, 0.0]) - at_walls(particular[1]))
    g, f = (
        part + sum(c * unit[which] for c, unit in zip(share, free, strict=True))
        for which, part in enumerate(particular)
    )
    return g, f


def _oscillator(square: float, source: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Power series of h'' + square h = source from its first two coefficients."""
    h = np.zeros(DEGREE + 1)
    h[:2] = start
    for n in range(DEGREE - 1):
        h[n + 2] = (source[n] - square * h[n]) / ((n + 1) * (n + 2))
    return h


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return polynomial.polymul(a, b)[: DEGREE + 1]


def _slope(a: np.ndarray) -> np.ndarray:
    return np.append(polynomial.polyder(a), 0.0)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        value = (value + coefficient) * x
    return value + coefficients[0]

"""Periodic solutions in one space dimension by Fourier series in x and ETDRK4 in t.

    u_t = L u + N(u),   u(x, t) = Σ_k û_k(t) e^{ikx},   (L u)_k = λ(k) û_k

The linear part is integrated exactly, so that λ = -k⁴ costs no smaller step; the nonlinear part by
the fourth-order Runge-Kutta scheme of Cox and Matthews with z = λ h:

    a = e^{z/2} û + h Q N(û)                 Q  = (e^{z/2} - 1)/z
    b = e^{z/2} û + h Q N(a)                 f1 = (-4 - z + e^z (4 - 3z + z²))/z³
    c = e^{z/2} a + h Q (2 N(b) - N(û))      f2 = (2 + z + e^z (z - 2))/z³
    û ← e^z û + h [f1 N(û) + 2 f2 (N(a) + N(b)) + f3 N(c)]      f3 = (-4 - 3z - z² + e^z (4 - z))/z³

Near z = 0 these quotients cancel; each is taken as its mean over a circle of radius 1 around z.

Source: A.-K. Kassam, L. N. Trefethen, Fourth-order time-stepping for stiff PDEs, SIAM J. Sci.
Comput. 26 (2005) 1214-1233; S. M. Cox, P. C. Matthews, J. Comput. Phys. 176 (2002) 430-455.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import fft

from sciml.contracts import UserError

#: Points on the circles of the contour means: the trapezoid rule has converged to rounding.
CIRCLE = 64


@final
@dataclass(frozen=True)
class Semilinear:
    """An equation u_t = L u + N(u) on a periodic interval.

    Args:
        symbol: angular wave numbers `[m]` → λ `[m]`, real or complex.
        nonlinear: (values of u on the nodes `[n]`, wave numbers `[m]`) → Fourier coefficients
            of N(u) `[m]` as `scipy.fft.rfft(…, norm="forward")` gives them.
        lower, upper: ends of the interval, one period apart.
    """

    symbol: Callable[[np.ndarray], np.ndarray]
    nonlinear: Callable[[np.ndarray, np.ndarray], np.ndarray]
    lower: float
    upper: float

    def nodes(self, n: int) -> np.ndarray:
        """`[n]`: equally spaced from the lower end on; the upper one is its image."""
        return self.lower + (self.upper - self.lower) * np.arange(n) / n

    def wave_numbers(self, n: int) -> np.ndarray:
        """`[n//2 + 1]`: 2π j over the period."""
        return 2 * np.pi / (self.upper - self.lower) * np.arange(n // 2 + 1)


def coefficients(u: np.ndarray) -> np.ndarray:
    """Fourier coefficients `[n//2 + 1]` of values on the nodes `[n]`."""
    return fft.rfft(u, norm="forward")


def values(coefficients: np.ndarray, n: int) -> np.ndarray:
    """Values on `n` nodes of Fourier coefficients `[..., m]`, all of them summed.

    On fewer nodes than the coefficients resolve the function is sampled, not smoothed.
    """
    every = max(1, -(-2 * (coefficients.shape[-1] - 1) // n))
    return fft.irfft(coefficients, every * n, norm="forward")[..., ::every]


def solve(
    equation: Semilinear, start: np.ndarray, times: Sequence[float], steps: int
) -> np.ndarray:
    """The solution at `times`.

    Args:
        equation: what to solve.
        start: Fourier coefficients `[n//2 + 1]` of u at `times[0]`, n even.
        times: `[m]`, equally spaced.
        steps: from one time to the next; the error falls as the fourth power.

    Returns:
        Fourier coefficients `[m, n//2 + 1]`. Cost: eight transforms of n values a step.

    Raises:
        UserError: times that are not equally spaced, no step between them, steps too long.
    """
    times = np.asarray(times, dtype=float)
    if steps < 1 or len(times) < 2 or not np.allclose(np.diff(times), times[1] - times[0]):
        raise UserError(
            f"spectral solver: expected equally spaced times and steps >= 1, "
            f"got {len(times)} times and steps={steps}"
        )
    n = 2 * (len(start) - 1)
    step = scheme(equation, n, float(times[1] - times[0]) / steps)
    found = np.empty((len(times), len(start)), dtype=complex)
    found[0] = u = np.asarray(start, dtype=complex)
    for place in range(1, len(times)):
        for _ in range(steps):
            u = step(u)
        if not np.isfinite(u).all():
            raise UserError(
                f"spectral solver: expected a finite solution at t = {times[place]:g}, "
                f"got inf or nan with steps={steps}; set more steps"
            )
        found[place] = u
    return found


def scheme(equation: Semilinear, n: int, h: float) -> Callable[[np.ndarray], np.ndarray]:
    """One step of length `h` for `n` nodes, coefficients → coefficients `[n//2 + 1]`."""
    k = equation.wave_numbers(n)
    z = h * equation.symbol(k)
    once, half = np.exp(z), np.exp(z / 2)
    q, f1, f2, f3 = (h * weight for weight in _weights(z))

    def nonlinear(spectrum: np.ndarray) -> np.ndarray:
        return equation.nonlinear(fft.irfft(spectrum, n, norm="forward"), k)

    def step(u: np.ndarray) -> np.ndarray:
        at_u = nonlinear(u)
        a = half * u + q * at_u
        at_a = nonlinear(a)
        at_b = nonlinear(half * u + q * at_a)
        at_c = nonlinear(half * a + q * (2 * at_b - at_u))
        return once * u + f1 * at_u + 2 * f2 * (at_a + at_b) + f3 * at_c

    return step


def _weights(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Q, f1, f2, f3 as means over circles; real where z is."""
    circle = np.exp(2j * np.pi * (np.arange(CIRCLE) + 0.5) / CIRCLE)
    means = [np.zeros(z.shape, dtype=complex) for _ in range(4)]
    for point in circle:
        w = z + point
        e, half = np.exp(w), np.exp(w / 2)
        means[0] += (half - 1) / w
        means[1] += (-4 - w + e * (4 - 3 * w + w**2)) / w**3
        means[2] += (2 + w + e * (w - 2)) / w**3
        means[3] += (-4 - 3 * w - w**2 + e * (4 - w)) / w**3
    q, f1, f2, f3 = (mean / CIRCLE for mean in means)
    return (q, f1, f2, f3) if np.iscomplexobj(z) else (q.real, f1.real, f2.real, f3.real)

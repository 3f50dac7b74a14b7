"""The Helmholtz equation in two dimensions: standing waves of one frequency, driven by a source.

    u_xx + u_yy + k² u = q

    symbol   meaning                              unit
    u        amplitude                            U
    x, y     position                             L
    k        wave number                          1/L
    q        source                               U/L²
    a1, a2   half-waves per unit length along     1/L
             x and y in the manufactured solution

Sign convention: +k² u, the oscillating kind (-k² u would be the screened Poisson equation).

The manufactured solution is u = sin(a1 π x) sin(a2 π y) on [-1, 1]²; it vanishes on the walls for
whole a1, a2. Each second derivative returns u times minus the squared wave number of its direction:

    q = [k² - (a1 π)² - (a2 π)²] sin(a1 π x) sin(a2 π y)

Source: S. Wang, Y. Teng, P. Perdikaris, Understanding and mitigating gradient flow pathologies in
physics-informed neural networks, SIAM J. Sci. Comput. 43 (2021) A3055-A3081, Helmholtz benchmark
(k = 1, a1 = 1, a2 = 4).
"""

import math

import torch
from torch import Tensor


def residual(u: Tensor, u_xx: Tensor, u_yy: Tensor, q: Tensor, k: Tensor | float = 1.0) -> Tensor:
    """u_xx + u_yy + k² u - q."""
    return u_xx + u_yy + k**2 * u - q


def standing_wave(x: Tensor, y: Tensor, a1: float, a2: float) -> Tensor:
    """The manufactured solution sin(a1 π x) sin(a2 π y)."""
    return torch.sin(a1 * math.pi * x) * torch.sin(a2 * math.pi * y)


def standing_wave_source(x: Tensor, y: Tensor, a1: float, a2: float, k: float = 1.0) -> Tensor:
    """Its source [k² - (a1 π)² - (a2 π)²] sin(a1 π x) sin(a2 π y)."""
    factor = k**2 - (a1 * math.pi) ** 2 - (a2 * math.pi) ** 2
    return factor * standing_wave(x, y, a1, a2)

"""The nonlinear Klein-Gordon equation in one space dimension: waves with a restoring force.

    u_tt + α u_xx + β u + γ u^k = f

    symbol   meaning                           unit
    u        amplitude                         U
    x, t     position, time                    L, T
    α        minus the squared wave speed      L²/T²
    β        linear restoring coefficient      1/T²
    γ        nonlinear coefficient             U^(1-k)/T²
    k        whole exponent of the force       1
    f        source                            U/T²

Sign convention: α = -c² < 0 makes the equation hyperbolic. The benchmark has α = -1, β = 0, γ = 1,
k = 3 on [0, 1]².

The manufactured solution and its second derivatives are

    u    =            x cos(5π t) + x³ t³
    u_tt = -25π²      x cos(5π t) + 6 x³ t
    u_xx =                          6 x t³

Source: S. Wang, Y. Teng, P. Perdikaris, Understanding and mitigating gradient flow pathologies in
physics-informed neural networks, SIAM J. Sci. Comput. 43 (2021) A3055-A3081, Klein-Gordon
benchmark.
"""

import math

import torch
from torch import Tensor


def residual(
    u: Tensor,
    u_tt: Tensor,
    u_xx: Tensor,
    f: Tensor,
    alpha: Tensor | float = -1.0,
    beta: Tensor | float = 0.0,
    gamma: Tensor | float = 1.0,
    k: int = 3,
) -> Tensor:
    """u_tt + α u_xx + β u + γ u^k - f."""
    return u_tt + alpha * u_xx + beta * u + gamma * u**k - f


def growing_wave(x: Tensor, t: Tensor) -> Tensor:
    """The manufactured solution x cos(5π t) + (x t)³."""
    return x * torch.cos(5 * math.pi * t) + (x * t) ** 3


def growing_wave_source(
    x: Tensor,
    t: Tensor,
    alpha: float = -1.0,
    beta: float = 0.0,
    gamma: float = 1.0,
    k: int = 3,
) -> Tensor:
    """Its source: u_tt + α u_xx + β u + γ u^k with the derivatives of the table above."""
    u = growing_wave(x, t)
    u_tt = -25 * math.pi**2 * x * torch.cos(5 * math.pi * t) + 6 * x**3 * t
    u_xx = 6 * x * t**3
    return u_tt + alpha * u_xx + beta * u + gamma * u**k

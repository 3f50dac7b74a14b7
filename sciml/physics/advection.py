"""The linear advection equation in one space dimension: a shape that is carried along.

    u_t + β u_x = 0,   u(x, t) = u(x - β t, 0)

    symbol   meaning             unit
    u        what is carried     U
    x, t     position, time      L, T
    β        speed               L/T

Sign convention: β > 0 carries towards +x.

Source: A. S. Krishnapriyan, A. Gholami, S. Zhe, R. M. Kirby, M. W. Mahoney, Characterizing possible
failure modes in physics-informed neural networks, NeurIPS 34 (2021) 26548-26560, section 3 (their
example "convection": u(x, 0) = sin x on [0, 2π], β up to 40).
"""

import torch
from torch import Tensor


def residual(u_t: Tensor, u_x: Tensor, beta: Tensor | float) -> Tensor:
    """u_t + β u_x."""
    return u_t + beta * u_x


def sine_wave(x: Tensor, t: Tensor, beta: float) -> Tensor:
    """The exact solution sin(x - β t) from sin x."""
    return torch.sin(x - beta * t)

"""The heat equation with a conductivity that varies in the plane.

    u_t - ∇·(a ∇u) = f,    that is    u_t - a (u_xx + u_yy) - a_x u_x - a_y u_y = f

    symbol   meaning                                     unit
    u        temperature                                 K
    x, y, t  position, time                              L, T
    a        conductivity over heat capacity, a(x, y)    L²/T
    f        source over heat capacity                   K/T

Sign convention: heat flows along -a ∇u with a > 0.

The manufactured solution, on [-1, 1]² × [0, 1], is with s = sin πx sin πy

    u = e^{-t} s,    a = 2 + s
    f = e^{-t} [(4π² - 1) s + π² (2 s² - cos² πx sin² πy - sin² πx cos² πy)]

from u_t = -u, u_xx + u_yy = -2π² u and a_x u_x + a_y u_y = e^{-t} π² (cos² πx sin² πy + …).

Source: J. Crank, The Mathematics of Diffusion, 2nd ed., Oxford 1975, section 1.2 (equation); the
solution is that of the heat inverse problem in Z. Hao et al., PINNacle, arXiv:2306.08827.
"""

import math

import torch
from torch import Tensor


def residual(
    u_t: Tensor,
    u_x: Tensor,
    u_y: Tensor,
    u_xx: Tensor,
    u_yy: Tensor,
    a: Tensor,
    a_x: Tensor,
    a_y: Tensor,
    f: Tensor,
) -> Tensor:
    """u_t - a (u_xx + u_yy) - a_x u_x - a_y u_y - f."""
    return u_t - a * (u_xx + u_yy) - a_x * u_x - a_y * u_y - f


def checkerboard(x: Tensor, y: Tensor) -> Tensor:
    """s = sin πx sin πy."""
    return torch.sin(math.pi * x) * torch.sin(math.pi * y)


def cooling(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """The manufactured temperature e^{-t} s."""
    return torch.exp(-t) * checkerboard(x, y)


def conductivity(x: Tensor, y: Tensor) -> Tensor:
    """The manufactured conductivity 2 + s."""
    return 2 + checkerboard(x, y)


def cooling_source(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """Its source f, in the form above."""
    s = checkerboard(x, y)
    slope = torch.cos(math.pi * x) ** 2 * torch.sin(math.pi * y) ** 2
    slope = slope + torch.sin(math.pi * x) ** 2 * torch.cos(math.pi * y) ** 2
    return torch.exp(-t) * ((4 * math.pi**2 - 1) * s + math.pi**2 * (2 * s**2 - slope))

"""Poisson's equation in one, two or three dimensions.

    u_xx + u_yy + u_zz = f

    symbol   meaning                           unit
    u        potential                         U
    x, y, z  position                          L
    f        source                            U/L²
    C        wave number of the manufactured   1/L
             solution u = sin(C x)

Sign convention: the Laplacian itself, not its negative; f < 0 where u has a maximum.

The manufactured one-dimensional problem is u = sin(C x) on [0, 1], whose source is -C² sin(C x);
large C makes the gradients of equation and boundary terms differ by powers of C, which is why it is
the pathology's smallest example.

Source: S. Wang, Y. Teng, P. Perdikaris, Understanding and mitigating gradient flow pathologies in
physics-informed neural networks, SIAM J. Sci. Comput. 43 (2021) A3055-A3081, one-dimensional
Poisson example.
"""

import torch
from torch import Tensor


def residual(
    f: Tensor, u_xx: Tensor, u_yy: Tensor | float = 0.0, u_zz: Tensor | float = 0.0
) -> Tensor:
    """u_xx + u_yy + u_zz - f; leave out the second derivatives that the problem does not have."""
    return u_xx + u_yy + u_zz - f


def sine(x: Tensor, C: float) -> Tensor:
    """The manufactured solution sin(C x)."""
    return torch.sin(C * x)


def sine_source(x: Tensor, C: float) -> Tensor:
    """Its source: u_x = C cos(C x), so u_xx = -C² sin(C x)."""
    return -(C**2) * torch.sin(C * x)

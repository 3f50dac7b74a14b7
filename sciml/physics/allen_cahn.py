"""The Allen-Cahn equation in one space dimension: two phases part, and the walls between them move.

    u_t = D u_xx + r (u - u³)

    symbol   meaning                           unit
    u        order parameter, ±1 in a phase    1
    x, t     position, time                    L, T
    D        diffusivity                       L²/T
    r        rate at which phases part         1/T

Walls are of the width (2 D/r)^½: the one at rest is u = tanh(x (r/2D)^½). One that runs into the
unstable phase u = 0 is u = (1 - tanh ((r/8D)^½ (x - c t)))/2 with c = 3 (r D/2)^½.

Source: S. M. Allen, J. W. Cahn, A microscopic theory for antiphase boundary motion, Acta Metall. 27
(1979) 1085-1095; benchmark with D = 1e-4, r = 5: M. Raissi, P. Perdikaris, G. E. Karniadakis,
J. Comput. Phys. 378 (2019) 686-707.
"""

from torch import Tensor


def residual(
    u: Tensor, u_t: Tensor, u_xx: Tensor, D: Tensor | float = 1e-4, r: Tensor | float = 5.0
) -> Tensor:
    """u_t - D u_xx - r (u - u³)."""
    return u_t - D * u_xx - r * (u - u**3)

"""Burgers' equation: a velocity that carries itself along and diffuses.

    u_t + u u_x = ν u_xx

    symbol   meaning               unit
    u        velocity              L/T
    x, t     position, time        L, T
    ν        kinematic viscosity   L²/T

A front of height 2 U thins to a width of the order of ν/U. The steady front between +U (left) and
-U (right) is u = -U tanh(U x / 2ν).

Source: J. M. Burgers, A mathematical model illustrating the theory of turbulence, Adv. Appl. Mech.
1 (1948) 171-199; exact solutions by E. Hopf, Comm. Pure Appl. Math. 3 (1950) 201-230 and
J. D. Cole, Quart. Appl. Math. 9 (1951) 225-236.
"""

from torch import Tensor


def residual(u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor, nu: Tensor | float) -> Tensor:
    """u_t + u u_x - ν u_xx."""
    return u_t + u * u_x - nu * u_xx

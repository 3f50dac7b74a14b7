"""Flow of an incompressible Newtonian fluid in the plane, without body force.

Steady, in velocity and pressure:

    u u_x + v u_y + p_x - (u_xx + u_yy)/Re = 0      momentum along x
    u v_x + v v_y + p_y - (v_xx + v_yy)/Re = 0      momentum along y
    u_x + v_y                              = 0      continuity

Stream function: u = ψ_y, v = -ψ_x meets continuity identically (ψ_yx = ψ_xy), and leaves

     ψ_y ψ_xy - ψ_x ψ_yy + p_x - (ψ_xxy + ψ_yyy)/Re = 0
    -ψ_y ψ_xx + ψ_x ψ_xy + p_y + (ψ_xxx + ψ_xyy)/Re = 0

    symbol   meaning                              unit (scaled by speed U, length L, density ρ)
    x, y     position                             L
    u, v     velocity along x and y               U
    p        pressure, up to a constant           ρ U²
    ψ        stream function, up to a constant    U L
    Re       Reynolds number U L / ν              1
    ν        kinematic viscosity                  U L

Without pressure, by the curl of these two, which is the transport of vorticity:

    ψ_y (ψ_xxx + ψ_xyy) - ψ_x (ψ_xxy + ψ_yyy) - (ψ_xxxx + 2 ψ_xxyy + ψ_yyyy)/Re = 0

Sign conventions: u = +ψ_y. The vorticity is ω = v_x - u_y = -(ψ_xx + ψ_yy), so ψ < 0 at the centre
of a clockwise vortex such as that under a lid that moves towards +x.

Unsteady, with coefficients to be found from observations of the flow, in the stream function:

    ψ_yt + λ1 ( ψ_y ψ_xy - ψ_x ψ_yy) + p_x - λ2 (ψ_xxy + ψ_yyy) = 0
   -ψ_xt + λ1 (-ψ_y ψ_xx + ψ_x ψ_xy) + p_y + λ2 (ψ_xxx + ψ_xyy) = 0

where λ1 = 1 and λ2 = 1/Re for a Newtonian fluid.

The exact solution that tests both steady forms is Kovasznay's flow behind a grid of period 1:

    u = 1 - e^{λx} cos 2πy    v = (λ/2π) e^{λx} sin 2πy    p = (1 - e^{2λx})/2
    λ = Re/2 - (Re²/4 + 4π²)^½

Source: L. D. Landau, E. M. Lifshitz, Fluid Mechanics, 2nd ed., Pergamon 1987, section 15
(equations of motion) and section 10 (stream function); L. I. G. Kovasznay, Laminar flow behind a
two-dimensional grid, Math. Proc. Camb. Phil. Soc. 44 (1948) 58-62; M. Raissi, P. Perdikaris,
G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707 (unknown coefficients).
"""

from torch import Tensor


def momentum_x(
    u: Tensor,
    v: Tensor,
    u_x: Tensor,
    u_y: Tensor,
    p_x: Tensor,
    u_xx: Tensor,
    u_yy: Tensor,
    Re: Tensor | float,
) -> Tensor:
    """u u_x + v u_y + p_x - (u_xx + u_yy)/Re."""
    return u * u_x + v * u_y + p_x - (u_xx + u_yy) / Re


def momentum_y(
    u: Tensor,
    v: Tensor,
    v_x: Tensor,
    v_y: Tensor,
    p_y: Tensor,
    v_xx: Tensor,
    v_yy: Tensor,
    Re: Tensor | float,
) -> Tensor:
    """u v_x + v v_y + p_y - (v_xx + v_yy)/Re."""
    return u * v_x + v * v_y + p_y - (v_xx + v_yy) / Re


def continuity(u_x: Tensor, v_y: Tensor) -> Tensor:
    """u_x + v_y."""
    return u_x + v_y


def stream_momentum_x(
    psi_x: Tensor,
    psi_y: Tensor,
    psi_xy: Tensor,
    psi_yy: Tensor,
    psi_xxy: Tensor,
    psi_yyy: Tensor,
    p_x: Tensor,
    Re: Tensor | float,
) -> Tensor:
    """ψ_y ψ_xy - ψ_x ψ_yy + p_x - (ψ_xxy + ψ_yyy)/Re."""
    return psi_y * psi_xy - psi_x * psi_yy + p_x - (psi_xxy + psi_yyy) / Re


def stream_momentum_y(
    psi_x: Tensor,
    psi_y: Tensor,
    psi_xx: Tensor,
    psi_xy: Tensor,
    psi_xxx: Tensor,
    psi_xyy: Tensor,
    p_y: Tensor,
    Re: Tensor | float,
) -> Tensor:
    """-ψ_y ψ_xx + ψ_x ψ_xy + p_y + (ψ_xxx + ψ_xyy)/Re."""
    return -psi_y * psi_xx + psi_x * psi_xy + p_y + (psi_xxx + psi_xyy) / Re


def vorticity_transport(
    psi_x: Tensor,
    psi_y: Tensor,
    psi_xxx: Tensor,
    psi_xxy: Tensor,
    psi_xyy: Tensor,
    psi_yyy: Tensor,
    psi_xxxx: Tensor,
    psi_xxyy: Tensor,
    psi_yyyy: Tensor,
    Re: Tensor | float,
) -> Tensor:
    """ψ_y (ψ_xxx + ψ_xyy) - ψ_x (ψ_xxy + ψ_yyy) - (ψ_xxxx + 2 ψ_xxyy + ψ_yyyy)/Re."""
    inertia = psi_y * (psi_xxx + psi_xyy) - psi_x * (psi_xxy + psi_yyy)
    return inertia - (psi_xxxx + 2 * psi_xxyy + psi_yyyy) / Re


def unsteady_stream_momentum_x(
    psi_x: Tensor,
    psi_y: Tensor,
    psi_xy: Tensor,
    psi_yy: Tensor,
    psi_yt: Tensor,
    psi_xxy: Tensor,
    psi_yyy: Tensor,
    p_x: Tensor,
    lambda1: Tensor | float,
    lambda2: Tensor | float,
) -> Tensor:
    """ψ_yt + λ1 (ψ_y ψ_xy - ψ_x ψ_yy) + p_x - λ2 (ψ_xxy + ψ_yyy)."""
    inertia = psi_y * psi_xy - psi_x * psi_yy
    return psi_yt + lambda1 * inertia + p_x - lambda2 * (psi_xxy + psi_yyy)


def unsteady_stream_momentum_y(
    psi_x: Tensor,
    psi_y: Tensor,
    psi_xx: Tensor,
    psi_xy: Tensor,
    psi_xt: Tensor,
    psi_xxx: Tensor,
    psi_xyy: Tensor,
    p_y: Tensor,
    lambda1: Tensor | float,
    lambda2: Tensor | float,
) -> Tensor:
    """-ψ_xt + λ1 (-ψ_y ψ_xx + ψ_x ψ_xy) + p_y + λ2 (ψ_xxx + ψ_xyy)."""
    inertia = -psi_y * psi_xx + psi_x * psi_xy
    return -psi_xt + lambda1 * inertia + p_y + lambda2 * (psi_xxx + psi_xyy)

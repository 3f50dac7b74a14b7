"""The Kuramoto-Sivashinsky equation: flame fronts, unstable at long waves, damped at short ones.

    u_t + α u u_x + β u_xx + γ u_xxxx = 0

    symbol   meaning                              unit
    u        slope of the front                   U
    x, t     position, time                       L, T
    α        steepening                           L/(U T)
    β        minus the diffusivity                L²/T
    γ        hyperdiffusivity                     L⁴/T

Sign convention: β > 0 makes waves of wave number k < (β/γ)^½ grow, at the rate β k² - γ k⁴; the
nonlinear term carries what they gain to shorter waves, which decay.

Source: Y. Kuramoto, T. Tsuzuki, Prog. Theor. Phys. 55 (1976) 356-369; G. I. Sivashinsky, Acta
Astronaut. 4 (1977) 1177-1206.
"""

from torch import Tensor


def residual(
    u: Tensor,
    u_t: Tensor,
    u_x: Tensor,
    u_xx: Tensor,
    u_xxxx: Tensor,
    alpha: Tensor | float = 1.0,
    beta: Tensor | float = 1.0,
    gamma: Tensor | float = 1.0,
) -> Tensor:
    """u_t + α u u_x + β u_xx + γ u_xxxx."""
    return u_t + alpha * u * u_x + beta * u_xx + gamma * u_xxxx

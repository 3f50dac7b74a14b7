"""The two numbers that make a quasi-Newton update: scaling τ and member φ of Broyden's family.

    H⁺ = (H - H y yᵀH / yᵀHy + φ (yᵀHy) v vᵀ) / τ + s sᵀ / y·s,    v = s / y·s - H y / yᵀHy

| symbol | meaning |
|---|---|
| s, y | change of the parameters, of the gradient |
| H, B | inverse Hessian and its inverse |
| b | sᵀBs / y·s, > 0 |
| h | yᵀHy / y·s, > 0 |
| a | h b - 1 >= 0 (Cauchy-Schwarz) |
| θ | member of the family in terms of B; φ = (1 - θ) / (1 + a θ) |
| τ | B is multiplied by τ before the update |

Every rule maps (b, h, n), n the number of parameters, to (τ, φ) and keeps H positive definite.
"""

import math


def bfgs(b: float, h: float, n: int) -> tuple[float, float]:
    """τ = 1, φ = 1: plain BFGS."""
    return 1.0, 1.0


def ssbfgs(b: float, h: float, n: int) -> tuple[float, float]:
    """τ = min(1, 1/b), φ = 1: self-scaled BFGS.

    Source: Al-Baali, Comput. Optim. Appl. 9 (1998); Urbán, Stefanou & Pons, J. Comput. Phys. 523
    (2025) 113656, equation 11.
    """
    return min(1.0, 1.0 / b), 1.0


def ssbroyden(b: float, h: float, n: int) -> tuple[float, float]:
    """Self-scaled Broyden: θ within the interval that bounds the eigenvalues' spread, τ by θ.

    ρ  = min(1, h (1 - √(a / (1 + a))))        θ = max((ρ - 1)/a, min(1/ρ, (1 - b)/b))
    σ  = 1 + a θ                               S = σ^(1/(1 - n)),  r = min(1, 1/b)
    τ  = min(r S, σ) for θ <= 0, else r min(S, 1/θ)

    Source: Al-Baali & Khalfan, Optim. Methods Softw. 20 (2005), as used in Urbán, Stefanou & Pons
    2025 (equations 13-23) and Kiyani et al., CMAME 446 (2025) 118308.
    """
    a = max(b * h - 1, 1e-15)
    rho = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
    theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))
    sigma = 1 + a * theta
    spread = sigma ** (1 / (1 - n)) if n > 1 else 1.0
    shrink = min(1.0, 1 / b)
    tau = min(shrink * spread, sigma) if theta <= 0 else shrink * min(spread, 1 / theta)
    return tau, (1 - theta) / sigma

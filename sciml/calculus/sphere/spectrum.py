"""Power by total wavenumber, and how much of one field's waves another one shares.

    P_l(f)    = |α_l0|² + 2 Σ_{m>0} |α_lm|²                ∫ f² dΩ = Σ_l P_l
    X_l(f, g) = Re Σ_m α_lm conj β_lm
    C_l(f, g) = X_l / √(P_l(f) P_l(g))                     coherence, within ±1

    ∫ (f - g)² dΩ = Σ_l (√P_l(f) - √P_l(g))² + 2 √(P_l(f) P_l(g)) (1 - C_l)

Source: C. Subich et al., "Fixing the double penalty in data-driven weather forecasting through a
modified spherical harmonic loss function" (2025), arXiv:2501.19374, equations 3-5.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def cross(
    alpha: Float[Tensor, "*b l m 2"], beta: Float[Tensor, "*b l m 2"]
) -> Float[Tensor, "*b l"]:
    """X_l: the covariance of two fields by degree."""
    shared = (alpha * beta).sum(-1)
    return 2 * shared.sum(-1) - shared[..., 0]


def power(alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b l"]:
    """P_l: the variance of a field by degree."""
    return cross(alpha, alpha)


def coherence(
    alpha: Float[Tensor, "*b l m 2"], beta: Float[Tensor, "*b l m 2"], floor: float = 0.0
) -> Float[Tensor, "*b l"]:
    """C_l; `floor` is added to the powers, so that C is 0 where there is none."""
    both = (power(alpha) + floor) * (power(beta) + floor)
    return (cross(alpha, beta) / torch.sqrt(both)).clamp(-1, 1)

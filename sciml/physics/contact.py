"""Contact and friction of a point: pressure from the gap, traction from the slip.

    p = ⟨λ - ε g⟩             pressure: a penalty (λ = 0), or augmented by a multiplier λ
    t = μ p f(|s|) s/|s|      traction along the surface, s the elastic and sliding slip

    f(s) = 2 s/a - (s/a)²  for s < a,   1 beyond

A point sticks while |s| < a, as if held by a spring that softens, and slides at t = μ p beyond;
what is kept of s after a step is at most a long (`stuck`), so a point that sticks stays stuck: it
does not creep from step to step. With p fixed within a step both are slopes of energies:

    p = -∂ψ_n/∂g,   ψ_n = (⟨λ - ε g⟩² - λ²)/(2 ε)         t = ∂ψ_t/∂s,   ψ_t = μ p a F(|s|/a)

symbol   meaning                                                            unit
g        gap, negative where the bodies overlap                             m
ε        stiffness of the penalty                                           Pa/m
λ        multiplier: the pressure found so far                              Pa
a        slip at which a point begins to slide                              m
s        slip along the surface since it stuck last, at most a before a step    m

Source: P. Wriggers, Computational Contact Mechanics, 2nd ed. (2006), §§ 5.3 and 6.3 (penalty,
augmented Lagrangian); M. Li et al., ACM Trans. Graph. 39 (2020) 49, § 5 (f and the lagged normal
force); the memory of s is that of elastoplastic friction, Wriggers § 5.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def pressure(
    gap: Float[Tensor, " q"], stiffness: float, multiplier: Float[Tensor, " q"]
) -> Float[Tensor, " q"]:
    """p, Pa, ≥ 0."""
    return (multiplier - stiffness * gap).clamp(min=0)


def energy(
    gap: Float[Tensor, " q"], stiffness: float, multiplier: Float[Tensor, " q"]
) -> Float[Tensor, " q"]:
    """ψ_n, J/m²."""
    p = pressure(gap, stiffness, multiplier)
    return (p * p - multiplier * multiplier) / (2 * stiffness)


def traction(
    slip: Float[Tensor, "q 3"], limit: Float[Tensor, " q"], stick: float
) -> Float[Tensor, "q 3"]:
    """t, Pa.

    Args:
        slip: s.
        limit: μ p.
        stick: a, > 0.
    """
    share = (_length(slip) / stick).clamp(max=1.0)
    return (limit * _secant(slip, share, stick))[:, None] * slip


def traction_energy(
    slip: Float[Tensor, "q 3"], limit: Float[Tensor, " q"], stick: float
) -> Float[Tensor, " q"]:
    """ψ_t, J/m²: F(x) = x² - x³/3 below 1, x - 1/3 beyond."""
    x = _length(slip) / stick
    return limit * stick * torch.where(x < 1, x * x * (1 - x / 3), x - 1 / 3)


def traction_slope(
    slip: Float[Tensor, "q 3"],
    limit: Float[Tensor, " q"],
    stick: float,
    T: Float[Tensor, "q 3 3"],
) -> Float[Tensor, "q 3 3"]:
    """T ∂t/∂s T of slips with T s = s, Pa/m; symmetric, not negative."""
    length = _length(slip)
    share = (length / stick).clamp(max=1.0)
    secant = limit * _secant(slip, share, stick)
    along = limit * (2 / stick) * (1 - share)  # f'
    unit = slip / length.clamp(min=torch.finfo(slip.dtype).tiny)[:, None]
    outer = unit[:, :, None] * unit[:, None, :]
    return secant[:, None, None] * T + (along - secant)[:, None, None] * outer


def tangential(n: Float[Tensor, "q 3"]) -> Float[Tensor, "q 3 3"]:
    """T = I - n nᵀ, n of length one."""
    return torch.eye(3, dtype=n.dtype) - n[:, :, None] * n[:, None, :]


def rubs(limit: Float[Tensor, "*q"]) -> bool:
    """Whether any point has friction: μ p > 0 somewhere."""
    return bool((limit.detach() > 0).any())


def stuck(slip: Float[Tensor, "q 3"], stick: float) -> Float[Tensor, "q 3"]:
    """What is left of s as the next step begins: its direction, at most a long."""
    return slip * (stick / _length(slip).clamp(min=stick))[:, None]


def _secant(
    slip: Float[Tensor, "q 3"], share: Float[Tensor, " q"], stick: float
) -> Float[Tensor, " q"]:
    """f(|s|)/|s|, 1/m."""
    return torch.where(share < 1, (2 - share) / stick, 1 / _length(slip).clamp(min=stick))


def _length(slip: Float[Tensor, "q 3"]) -> Float[Tensor, " q"]:
    """|s| with the slope 0 where s is 0."""
    squared = (slip * slip).sum(-1)
    some = squared > 0
    return torch.where(some, torch.where(some, squared, 1.0).sqrt(), 0.0)

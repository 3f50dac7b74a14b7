"""Finite-strain viscoelasticity by a Prony series: stresses that the past relaxes exponentially.

    S(t) = S_∞ + Σ_k Q_k,    Q̇_k + Q_k/τ_k = β_k Ṡ_e,    Q_k(0) = 0

S_e is the stress of an elastic energy at once, here the isochoric (or the whole) part of the
second Piola-Kirchhoff stress F⁻¹ P; in the long run all Q_k vanish and S_∞ is left. For a strain
applied at t = 0 and held, S(t) = (1 + Σ_k β_k e^(-t/τ_k)) S_e.

Over a step Δt in which S_e changes linearly the solution is exact:

    Q_k(t + Δt) = e^(-x) Q_k(t) + β_k (1 - e^(-x))/x ΔS_e,    x = Δt/τ_k

    symbol   meaning                                               unit
    S        second Piola-Kirchhoff stress F⁻¹ P                   Pa
    Q_k      stress of branch k beyond equilibrium                 Pa
    β_k      stiffness of branch k as a share of the elastic one   1
    τ_k      relaxation time of branch k                           s

At the end of a step the stress is a function of the new F alone: (1 + Σ_k γ_k) S_e(F) plus what the
step inherits, with γ_k = β_k (1 - e^(-x))/x; the tangent is that of the elastic energy times the
same factor, plus the geometric part of the inherited stress.

Source: J. C. Simo, Comput. Methods Appl. Mech. Eng. 60 (1987) 153-173, section 4; G. A. Holzapfel,
Nonlinear Solid Mechanics (2000), § 6.10; R. L. Taylor, K. S. Pister, G. L. Goudreau, Int. J. Numer.
Methods Eng. 2 (1970) 45-59 (the recursion).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def decay(dt: float, tau: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """e^(-x), x = Δt/τ: the share of a branch's stress that is left after Δt > 0."""
    return torch.exp(-dt / tau)


def gain(dt: float, beta: Float[Tensor, " k"], tau: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """γ = β (1 - e^(-x))/x: the share of a step's ΔS_e that its branch holds at the end."""
    x = dt / tau
    return -beta * torch.expm1(-x) / x


def branches(
    Q: Float[Tensor, "k *n 3 3"],
    change: Float[Tensor, "*n 3 3"],
    dt: float,
    beta: Float[Tensor, " k"],
    tau: Float[Tensor, " k"],
) -> Float[Tensor, "k *n 3 3"]:
    """Q_k after a step in which the elastic stress changed by ΔS_e, Pa.

    Args:
        Q: before the step, Pa.
        change: ΔS_e, Pa.
        dt: s, > 0.
        beta: ≥ 0.
        tau: s, > 0.
    """
    shape = (-1, *(1,) * change.ndim)
    return decay(dt, tau).reshape(shape) * Q + gain(dt, beta, tau).reshape(shape) * change


def inherited(
    Q: Float[Tensor, "k *n 3 3"],
    before: Float[Tensor, "*n 3 3"],
    dt: float,
    beta: Float[Tensor, " k"],
    tau: Float[Tensor, " k"],
) -> Float[Tensor, "*n 3 3"]:
    """The part of Σ_k Q_k after a step that its new strain cannot change: Σ e^(-x) Q_k - γ_k S_e.

    Args:
        Q: branches before the step, Pa.
        before: S_e before the step, Pa.
        dt, beta, tau: see `branches`.
    """
    return branches(Q, -before, dt, beta, tau).sum(0)


def relaxation(
    t: Float[Tensor, "*t"], beta: Float[Tensor, " k"], tau: Float[Tensor, " k"]
) -> Float[Tensor, "*t"]:
    """S(t)/S_e at t ≥ 0 after a sudden strain that is held: 1 + Σ β e^(-t/τ)."""
    return 1 + (beta * torch.exp(-t[..., None] / tau)).sum(-1)


def loss_and_storage(
    omega: Float[Tensor, "*w"], beta: Float[Tensor, " k"], tau: Float[Tensor, " k"]
) -> tuple[Float[Tensor, "*w"], Float[Tensor, "*w"]]:
    """Loss and storage moduli over the long-run one at angular frequency ω, s⁻¹, small strains.

    Σ β ωτ/(1 + ω²τ²) and 1 + Σ β ω²τ²/(1 + ω²τ²).
    """
    x = omega[..., None] * tau
    share = beta / (1 + x * x)
    return (share * x).sum(-1), 1 + (share * x * x).sum(-1)

"""Elastic constants of small strains, one pair from another.

    μ = E / 2(1 + ν)      λ = E ν / (1 + ν)(1 - 2ν)      κ = λ + 2μ/3 = E / 3(1 - 2ν)
    E = μ (3λ + 2μ) / (λ + μ)                            ν = λ / 2(λ + μ)

Source: L. D. Landau, E. M. Lifshitz, Theory of Elasticity, 3rd ed. (1986), § 5.
"""

from torch import Tensor


def lame(E: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """μ, λ in the unit of E > 0, for -1 < ν < 1/2."""
    return E / (2 * (1 + nu)), E * nu / ((1 + nu) * (1 - 2 * nu))


def young_poisson(mu: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """E, ν from μ > 0 and λ > -2μ/3."""
    return mu * (3 * lam + 2 * mu) / (lam + mu), lam / (2 * (lam + mu))


def bulk_modulus(mu: Tensor, nu: Tensor) -> Tensor:
    """κ = 2μ (1 + ν) / 3(1 - 2ν), for -1 < ν < 1/2."""
    return 2 * mu * (1 + nu) / (3 * (1 - 2 * nu))


def lame_compliance(E: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
    """μ and 1/λ, for 0 < ν ≤ 1/2, where 1/λ vanishes."""
    return E / (2 * (1 + nu)), (1 + nu) * (1 - 2 * nu) / (E * nu)


def bulk_compliance(mu: Tensor, nu: Tensor) -> Tensor:
    """1/κ, for -1 < ν ≤ 1/2, where it vanishes."""
    return 3 * (1 - 2 * nu) / (2 * mu * (1 + nu))

"""Hyperelasticity: the energy density ψ(F) of a solid, its stress P = ∂ψ/∂F and tangent ∂P/∂F.

    symbol   meaning                                                            unit
    x, X     place of a material point now, and in the body without stress      m
    u        displacement x - X                                                 m
    F        deformation gradient ∂x/∂X = I + ∂u/∂X; axes [i, J]                1
    C        right Cauchy-Green tensor FᵀF                                      1
    I1, I2   invariants tr C and (I1² - tr C²)/2                                1
    J        det F, volume now over volume at rest; > 0                         1
    ψ        energy per volume at rest                                          J m⁻³
    P        first Piola-Kirchhoff stress: force now per area at rest; [i, J]   Pa
    A        tangent ∂P_iJ/∂F_kL, axes [i, J, k, L]                             Pa
    E, ν     Young's modulus, Poisson's ratio (of small strains)                Pa, 1
    μ, λ     Lamé's constants (of small strains)                                Pa
    κ        bulk modulus λ + 2μ/3                                              Pa

Tension is positive. F may have any leading axes; parameters broadcast against them. Two solids
describe the same material in small strains if their tangents at F = I agree.

Source: J. Bonet, R. D. Wood, Nonlinear Continuum Mechanics for Finite Element Analysis, 2nd ed.
(2008), chapter 6; R. W. Ogden, Non-Linear Elastic Deformations (1984), chapters 4 and 6.
"""

from sciml.physics.hyperelasticity.invariants import Invariants, cofactor, determinant, invariants
from sciml.physics.hyperelasticity.isotropic import Isotropic
from sciml.physics.hyperelasticity.laws import (
    MooneyRivlin,
    NeoHookean,
    StableNeoHookean,
    StVenantKirchhoff,
    Yeoh,
)
from sciml.physics.hyperelasticity.linear import Linear
from sciml.physics.hyperelasticity.moduli import (
    bulk_compliance,
    bulk_modulus,
    lame,
    lame_compliance,
    young_poisson,
)
from sciml.physics.hyperelasticity.pressure import (
    Logarithmic,
    Mixed,
    MixedLinear,
    Relative,
)
from sciml.physics.hyperelasticity.tangent import Along, full

__all__ = [
    "Along",
    "Invariants",
    "Isotropic",
    "Linear",
    "Logarithmic",
    "Mixed",
    "MixedLinear",
    "MooneyRivlin",
    "NeoHookean",
    "Relative",
    "StVenantKirchhoff",
    "StableNeoHookean",
    "Yeoh",
    "bulk_compliance",
    "bulk_modulus",
    "cofactor",
    "determinant",
    "full",
    "invariants",
    "lame",
    "lame_compliance",
    "young_poisson",
]

"""Young's modulus of any isotropic material, from its stress at a small strain.

    F = I + ε e_1⊗e_1:  P_22 = λ ε        F = I + ε e_1⊗e_2:  P_12 = μ ε

    E = μ (3λ + 2μ)/(λ + μ)

A law with a pressure field has 1/k of its volumetric part beside the λ of the rest; the sum is
taken as its inverse, so that an incompressible one has E = 3μ.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.materials import Material, MixedSolid

#: Strain at which slopes are taken, centred: their error is its square.
STRAIN = 1e-5


def young(material: Material, cells: int) -> Float[Tensor, " m"]:
    """E of every cell, Pa, of a body that has long been at rest.

    Args:
        material: constants are scalars or fields.
        cells: their number.
    """
    found = material.solid()
    solid = found.under(torch.zeros((), dtype=torch.float64)) if _mixed(found) else found
    first = torch.zeros(3, 3, dtype=torch.float64)
    first[0, 0] = STRAIN
    sheared = torch.zeros(3, 3, dtype=torch.float64)
    sheared[0, 1] = STRAIN
    still = torch.eye(3, dtype=torch.float64).expand(1, cells, 3, 3)

    def slope(strain: Tensor, i: int, j: int) -> Tensor:
        ahead, behind = solid.stress(still + strain), solid.stress(still - strain)
        return (ahead - behind)[0, :, i, j] / (2 * STRAIN)

    lam, mu = slope(first, 1, 1), slope(sheared, 0, 1)
    if not _mixed(found):
        return mu * (3 * lam + 2 * mu) / (lam + mu)
    inverse = found.compliance / (1 + lam * found.compliance)  # of λ as a whole
    return mu * (3 + 2 * mu * inverse) / (1 + mu * inverse)


def _mixed(solid: object) -> bool:
    return isinstance(solid, MixedSolid)

"""The invariants of a deformation gradient, and its cofactor ∂J/∂F = J F⁻ᵀ, written out.

    I1 = F:F      I2 = cof F : cof F      J = det F      (cof F)_iJ = ½ ε_ikm ε_JLN F_kL F_mN

Nothing here divides by J, so that flat and inverted elements have finite values.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Invariants(NamedTuple):
    """I1, I2 of C = FᵀF and J = det F, each of the leading shape of F."""

    I1: Tensor
    I2: Tensor
    J: Tensor


def matrices(entries: list[list[Tensor]]) -> Float[Tensor, "*n 3 3"]:
    """`[*n, 3, 3]` of its entries `[*n]`; in memory the axes of the matrix come first."""
    rows = torch.stack([torch.stack(row) for row in entries])
    return rows.movedim((0, 1), (-2, -1))


def cofactor(F: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
    """cof F."""
    f = [[F[..., i, j] for j in range(3)] for i in range(3)]

    def minor(i: int, j: int) -> Tensor:
        i1, i2, j1, j2 = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
        return f[i1][j1] * f[i2][j2] - f[i1][j2] * f[i2][j1]

    return matrices([[minor(i, j) for j in range(3)] for i in range(3)])


def determinant(F: Float[Tensor, "*n 3 3"], cof: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """det F, by its first row and that of its cofactor."""
    return (F[..., 0, :] * cof[..., 0, :]).sum(-1)


def invariants(F: Float[Tensor, "*n 3 3"], cof: Float[Tensor, "*n 3 3"]) -> Invariants:
    """I1, I2, J of F and its cofactor."""
    return Invariants((F * F).sum((-2, -1)), (cof * cof).sum((-2, -1)), determinant(F, cof))

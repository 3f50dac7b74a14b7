"""The stiffness of a body, node pair by node pair: K_ab = Σ_q w A[∇N_a, ∇N_b].

The barycentric gradients of a cell add up to zero, so the tangent is contracted with the six pairs
of the last three of them only; what belongs to pairs of nodes follows by one constant matrix:

    ∇N_a = Σ_α C_aα ∇λ_α = Σ_α (C_aα - C_a0) ∇λ_α      α = 1 … 3 on the right

    K_ab = Σ_q Σ_αβ (C_aα - C_a0)(C_bβ - C_b0) T_αβ    T_αβ = w A[∇λ_α, ∇λ_β],  T_βα = T_αβᵀ
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.physics.hyperelasticity.tangent import Tangent
from sciml.tactile.elements import Elements


@final
class Stiffness:
    """Contracts tangents into matrices of cells, kept by their node pairs a ≤ b."""

    def __init__(self, elements: Elements, kind: torch.dtype = torch.float64) -> None:
        gradients = torch.from_numpy(elements.barycentric[1:]).to(kind)  # [α, J, m]
        self.gradients = gradients.permute(1, 0, 2).contiguous().permute(1, 2, 0)[:, None]
        self.shape = elements.weights.shape
        self.matrix = None if elements.degree == 1 else _pairs_from_gradients(elements).to(kind)

    def __call__(self, tangent: Tangent, into: Float[np.ndarray, "3 3 v"]) -> None:
        """Writes blocks [i, k] of all pairs and cells, in this order, into the first p m columns.

        Args:
            tangent: at F `[q, m]`, with the weights of the quadrature in it.
            into: with room for more.
        """
        along = tangent.along(self.gradients)
        equal = tangent.acoustic(along, along).movedim((-2, -1), (0, 1))  # 11, 22, 33
        other = tangent.acoustic(along, along.rolled()).movedim((-2, -1), (0, 1))  # 12, 23, 31
        whole = torch.from_numpy(into)
        if self.matrix is None:
            room = whole[:, :, : 10 * self.shape[1]].unflatten(2, (10, -1))
            _of_corners(equal[:, :, :, 0], other[:, :, :, 0], room)
            return
        ordered = torch.empty((3, 3, 3, 3, *self.shape), dtype=equal.dtype)
        for a in range(3):
            b = (a + 1) % 3
            ordered[:, :, a, a], ordered[:, :, a, b] = equal[:, :, a], other[:, :, a]
            ordered[:, :, b, a] = other[:, :, a].transpose(0, 1)
        pairs, cells = len(self.matrix), self.shape[1]
        target = whole[:, :, : pairs * cells].unflatten(2, (pairs, cells))
        torch.matmul(
            self.matrix, ordered.reshape(3, 3, -1, cells).to(self.matrix.dtype), out=target
        )


def _of_corners(
    equal: Float[Tensor, "3 3 3 m"],
    other: Float[Tensor, "3 3 3 m"],
    into: Float[Tensor, "3 3 10 m"],
) -> None:
    """Blocks of the ten pairs of corners: those of corner 0 by Σ_β K_αβ = 0."""
    for a, place in enumerate((4, 7, 9)):  # 11, 22, 33 among 00 01 02 03 11 12 13 22 23 33
        into[:, :, place] = equal[:, :, a]
    into[:, :, 5], into[:, :, 8] = other[:, :, 0], other[:, :, 1]
    into[:, :, 6] = other[:, :, 2].transpose(0, 1)
    first = into[:, :, 1:4]
    torch.add(equal, other.transpose(0, 1), out=first)  # T_aa + T_ba, b after a
    first += other.roll(1, 2)  # + T_ca, c before a
    first.neg_()
    torch.sum(first, 2, out=into[:, :, 0]).neg_()


def _pairs_from_gradients(elements: Elements) -> Float[Tensor, "p aq"]:
    """(C_aα - C_a0)(C_bβ - C_b0) of every node pair; columns run over (α, β, point)."""
    a, b = elements.pairs.T
    C = elements.slopes[:, :, 1:] - elements.slopes[:, :, :1]
    products = np.einsum("qpa,qpb->pabq", C[:, a], C[:, b])
    return torch.from_numpy(products.reshape(len(a), -1))

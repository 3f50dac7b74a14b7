"""The stiffness of a body, node pair by node pair: K_ab = Σ_q w A[∇N_a, ∇N_b].

With ∇N_a = Σ_α C_aα ∇λ_α at each quadrature point, the tangent is contracted with the ten pairs of
barycentric gradients only; what belongs to pairs of nodes follows by one constant matrix:

    K_ab = Σ_q Σ_αβ C_aα C_bβ T_αβ,    T_αβ = w A[∇λ_α, ∇λ_β],    T_βα = T_αβᵀ
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

    def __init__(self, elements: Elements) -> None:
        self.shape = elements.weights.shape
        gradients = torch.from_numpy(elements.barycentric)
        self.gradients = [g.T[None] for g in gradients]
        self.matrix = None if elements.degree == 1 else _pairs_from_gradients(elements)

    def __call__(self, tangent: Tangent) -> Float[np.ndarray, "3 3 p m"]:
        """Blocks [i, k] of all pairs and cells.

        Args:
            tangent: at F `[q, m]`, with the weights of the quadrature in it.
        """
        along = [tangent.along(g) for g in self.gradients]
        ordered = self.matrix is not None
        T = torch.empty((3, 3, 16 if ordered else 10, *self.shape), dtype=torch.float64)
        row = 0
        for alpha in range(4):
            for beta in range(4):
                if beta < alpha and ordered:
                    T[:, :, row] = T[:, :, 4 * beta + alpha].transpose(0, 1)
                elif beta >= alpha:
                    block = tangent.acoustic(along[alpha], along[beta])
                    T[:, :, row] = block.permute(2, 3, 0, 1)
                row += ordered or beta >= alpha
        if self.matrix is None:
            return T[:, :, :, 0].numpy()
        return torch.matmul(self.matrix, T.flatten(2, 3)).numpy()


def _pairs_from_gradients(elements: Elements) -> Float[Tensor, "p aq"]:
    """C_aα C_bβ of every node pair; columns run over (α, β, quadrature point)."""
    a, b = elements.pairs.T
    C = elements.slopes
    products = np.einsum("qpa,qpb->pabq", C[:, a], C[:, b])
    return torch.from_numpy(products.reshape(len(a), -1))

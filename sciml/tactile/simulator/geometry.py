"""F, volumes and inertia as functions of the nodes at rest X, for torch to differentiate.

    ∂u/∂X = Σ_α (Σ_a u_a ∂N_a/∂λ_α) ∇λ_α
    ∇λ_1 = (e_2 × e_3)/(e_1·e_2 × e_3), …        e_k = X_k - X_0

Used in backward passes to which geometry matters; `Elements` keeps the same numbers as arrays.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.simplex import mass, rule
from sciml.tactile.elements import QUADRATURE, Elements


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """The cells at rest.

    Args:
        elements: theirs.
        volumes: `[m]`, m³.
        gradients: ∇λ `[m, 4, 3]`, 1/m.
    """

    elements: Elements
    volumes: Float[Tensor, " m"]
    gradients: Float[Tensor, "m 4 3"]

    @property
    def weights(self) -> Float[Tensor, "q m"]:
        """Of the quadrature points, m³."""
        shares = rule(QUADRATURE[self.elements.degree]).weights
        return torch.from_numpy(shares)[:, None] * self.volumes

    def gradient(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "q m 3 3"]:
        """∂u/∂X at the quadrature points."""
        nodes = torch.from_numpy(self.elements.cells)
        slopes = torch.from_numpy(self.elements.slopes)
        return torch.einsum("qab,mai->qmib", slopes, u[nodes]) @ self.gradients

    def inertia(self, a: Float[Tensor, "n 3"], b: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
        """a·M b of a density of one."""
        nodes = torch.from_numpy(self.elements.cells)
        M = torch.from_numpy(mass(self.elements.degree))
        return (torch.einsum("mai,ab,mbi->m", a[nodes], M, b[nodes]) * self.volumes).sum()


def cells(elements: Elements) -> Cells:
    """The cells, differentiable like `Elements.rest`."""
    x_0, x_1, x_2, x_3 = elements.rest[torch.from_numpy(elements.cells[:, :4])].unbind(1)
    e_1, e_2, e_3 = x_1 - x_0, x_2 - x_0, x_3 - x_0
    sides = (e_2, e_3), (e_3, e_1), (e_1, e_2)
    crossed = torch.stack([torch.linalg.cross(a, b) for a, b in sides], 1)
    determinant = (e_1 * crossed[:, 0]).sum(1)
    inner = crossed / determinant[:, None, None]
    gradients = torch.cat([-inner.sum(1, keepdim=True), inner], 1)
    return Cells(elements, determinant.abs() / 6, gradients)

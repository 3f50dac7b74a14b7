"""F = I + ∂u/∂X as a function that torch differentiates, for what is remembered of strains."""

from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.tactile.elements import Elements
from sciml.tactile.simulator.geometry import cells


def deformation(elements: Elements, u: Float[Tensor, "n 3"]) -> Float[Tensor, "q m 3 3"]:
    """F at the quadrature points; to the nodes at rest, too, where `Elements.shaped`."""
    if elements.shaped:
        return cells(elements).gradient(u) + torch.eye(3, dtype=u.dtype)
    return _Deformation.apply(elements, u)


@final
class _Deformation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, elements: Elements, u: Tensor) -> Tensor:
        ctx.elements = elements
        return elements.deformation(u.detach().numpy())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[None, Tensor]:
        """Gᵀ g."""
        rows = g.permute(2, 3, 0, 1).reshape(3, -1).numpy()
        pulled = [ctx.elements.divergence @ row for row in rows]
        return None, torch.from_numpy(np.column_stack(pulled))

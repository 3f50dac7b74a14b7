"""The weighted residual rows of a step as one vector, and its Jacobian as a matrix or as products.

L = Σ_k w_k L_k = |r|²,   r = (√(w_k/n_k) r_k),   r(θ + p) ≈ r + J p
"""

from collections.abc import Mapping
from typing import Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import Weights
from sciml.training.step import Step
from sciml.training.vectors import unflatten


class Rows(Protocol):
    """r and the products with J that every solver is made of."""

    r: Float[Tensor, " n"]
    parameters: int

    def apply(self, p: Float[Tensor, " parameters"]) -> Float[Tensor, " n"]:
        """J p."""
        ...

    def adjoint(self, v: Float[Tensor, " n"]) -> Float[Tensor, " parameters"]:
        """Jᵀ v."""
        ...


@final
class DenseRows:
    """J held term by term, unscaled: the scales go into the small results.

    Args:
        found: residuals and Jacobian by term (`Step.linearised`).
        scales: √(w_k/n_k) by term.
    """

    def __init__(
        self, found: Mapping[str, tuple[Tensor, Tensor]], scales: Mapping[str, Tensor]
    ) -> None:
        self.blocks = [(scales[name], j) for name, (_, j) in found.items()]
        self.r = torch.cat([scales[name] * r for name, (r, _) in found.items()])
        self.sizes = [len(j) for _, j in self.blocks]
        self.parameters = self.blocks[0][1].shape[1]

    def apply(self, p: Tensor) -> Tensor:
        return torch.cat([scale * (j @ p) for scale, j in self.blocks])

    def adjoint(self, v: Tensor) -> Tensor:
        pieces = zip(self.blocks, v.split(self.sizes), strict=True)
        return sum(scale * (piece @ j) for (scale, j), piece in pieces)

    def gram(self) -> Float[Tensor, "parameters parameters"]:
        """JᵀJ."""
        return sum(scale**2 * gram(j) for scale, j in self.blocks)

    def matrix(self) -> Float[Tensor, "n parameters"]:
        """J."""
        return torch.cat([scale * j for scale, j in self.blocks])


@final
class MatrixFreeRows:
    """J as products through the graph of the residuals: any terms, any size.

    Cost: J p two backward passes, Jᵀ v one.
    """

    def __init__(self, step: Step, scales: Mapping[str, Tensor]) -> None:
        with torch.enable_grad():
            rows = step.residuals()
            self._r = torch.cat([scales[name] * r for name, r in rows.items()])
            self._at = tuple(step.parameters.values())
            self._dual = torch.zeros_like(self._r, requires_grad=True)
            self._pulled = self._pull(self._dual, create_graph=True)
        self.r = self._r.detach()
        self.parameters = len(self._pulled)

    def _pull(self, v: Tensor, create_graph: bool = False) -> Tensor:
        gradients = torch.autograd.grad(
            self._r, self._at, v, retain_graph=True, create_graph=create_graph,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return torch.cat([g.reshape(-1) for g in gradients])

    def apply(self, p: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(
            self._pulled, self._dual, p, retain_graph=True, materialize_grads=True
        )
        return product

    def adjoint(self, v: Tensor) -> Tensor:
        return self._pull(v)


def gram(j: Float[Tensor, "n parameters"]) -> Float[Tensor, "parameters parameters"]:
    """jᵀj; on the processor by NumPy's BLAS, which computes one triangle and is twice as fast."""
    if j.device.type != "cpu":
        return j.T @ j
    matrix = j.numpy()
    return torch.from_numpy(matrix.T @ matrix)


def scales(weights: Weights, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """√(w_k/n_k) by term, so that the sum of squares of the scaled rows is Σ w_k L_k."""
    return {name: (weights[name] / n).sqrt() for name, n in sizes.items()}


def moved(step: Step, scales: Mapping[str, Tensor], theta: Tensor) -> Float[Tensor, " n"]:
    """r at other values of the trained parameters."""
    values = unflatten(theta, step.parameters)
    with torch.no_grad():
        rows = step.again(values).residuals()
    return torch.cat([scales[name] * r.detach() for name, r in rows.items()])


def couples_points(step: Step, tolerance: float = 1e-6) -> bool:
    """True where the Jacobian that the objective offers is not that of its residuals.

    An objective takes its Jacobian point by point; a residual that looks at several points at once
    (an integral, a mean over the batch) would be differentiated wrongly. Jᵀv for a random v is
    compared with one backward pass through the residuals.
    """
    with torch.enable_grad():
        rows = step.residuals()
    generator = torch.Generator().manual_seed(step.index)
    for name, (_, j) in step.linearised().items():
        if not rows[name].requires_grad:
            continue  # sees nothing of what is trained
        v = torch.randn(len(j), generator=generator, dtype=torch.float64).to(j)
        gradients = torch.autograd.grad(
            rows[name], tuple(step.parameters.values()), v, retain_graph=True,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        right = torch.cat([g.reshape(-1) for g in gradients])
        if (v @ j - right).norm() > tolerance * (right.norm() + j.norm() / len(j) ** 0.5):
            return True
    return False

"""Any loss of fields, applied to their horizontal gradient: errors of fronts and jets' edges.

L(f, t) = w_x L'(∂_x f / σ_∇, ∂_x t / σ_∇) + w_y L'(∂_y f / σ_∇, ∂_y t / σ_∇)

σ_∇ is the channel's own root mean square of a component of the gradient of its increments, the same
to the east and to the north, so that the sum does not depend on the direction. Derivatives
are per radian. Spectral derivatives and L' = MSH without weights of degrees give the spectral loss
of the field with γ_l = l(l+1) (`degrees.gradient`) for less.

Source: FastNet, arXiv:2509.17601 (the terms; its stencil and weights are not public).
"""

from collections.abc import Callable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.contracts import UserError
from sciml.globe.losses.measure import Measure, held
from sciml.globe.losses.pointwise import MSE
from sciml.globe.losses.precision import in_full

#: `x [..., *grid] -> (eastward, northward)` derivative per radian, of the same shape.
Derivative = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
class Gradient(nn.Module):
    """A loss of the horizontal gradient: `(prediction, target) [B, K, C, *grid]` → scalar.

    Args:
        measure: with `gradient`.
        inner: `measure -> loss` of each component, such as `MSE` or `MSH`.
        derivative: `grid -> Derivative`; spectral where None.
        east: w_x.
        north: w_y.

    Raises:
        UserError: the measure knows no gradients, a grid that the derivative cannot take.
    """

    def __init__(
        self,
        measure: Measure,
        inner: Callable[[Measure], nn.Module] = MSE,
        derivative: Callable[[Any], Derivative] | None = None,
        east: float = 1.0,
        north: float = 1.0,
    ) -> None:
        super().__init__()
        if measure.gradient is None:
            raise UserError(
                "Gradient: expected the root mean square of gradients in the measure, got none; "
                "give gradient=losses.deviation(…) of the training increments"
            )
        self.derivative = (derivative or SpectralDerivative)(measure.grid)
        self.inner = inner(Measure(measure.grid, measure.gradient, measure.weight, measure.lead))
        self.east, self.north = east, north
        self.register_buffer("offset", held(measure.mean))

    @in_full
    def forward(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, ""]:
        offset = self.offset.view(-1, *[1] * (target.ndim - 3))
        forecast, truth = self.derivative(prediction - offset), self.derivative(target - offset)
        along = self.inner(forecast[0], truth[0])
        across = self.inner(forecast[1], truth[1])
        return self.east * along + self.north * across


@final
class SpectralDerivative(nn.Module):
    """Derivatives per radian of what the truncation holds, exact up to the poles.

    Args:
        grid: that resolves the truncation exactly.
        truncation: the largest that is exact where None.
    """

    def __init__(self, grid: Any, truncation: int | None = None) -> None:
        super().__init__()
        self.harmonics = Harmonics(grid, truncation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(eastward, northward) of fields `[..., *grid]`."""
        return self.harmonics.gradient(self.harmonics.analysis(x))


def deviation(
    grid: Any,
    increments: Float[Tensor, "n c *grid"],
    derivative: Callable[[Any], Derivative] = SpectralDerivative,
) -> Float[Tensor, " c"]:
    """σ_∇ `[C]`: √(⟨|∇δ|²⟩ / 2) per radian, over samples δ of the increment and over area."""
    east, north = derivative(grid)(increments)
    area = torch.as_tensor(grid.area).to(increments).flatten()
    squared = (east.square() + north.square()).flatten(2) @ area
    return (squared.mean(0) / 2).sqrt()

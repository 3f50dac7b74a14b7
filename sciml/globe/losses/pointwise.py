"""The mean square error of fields, weighted by cell area, channel and lead time.

ℓ_c(f, t) = Σ_i a_i (f_i - t_i)² / σ_c²,      a_i the share of cell i in the sphere

Source: R. Lam et al., Science 382 (2023), eq. (19) of the supplement: area, level and inverse
variance of the increments as weights.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from sciml.globe.losses.measure import Mean, Measure, held
from sciml.globe.losses.precision import in_full


@final
class MSE(nn.Module):
    """The weighted mean square on any grid: `(prediction, target) [B, K, C, *grid]` → scalar."""

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.mean = Mean(measure)
        self.register_buffer("area", held(measure.area.flatten()))
        self.register_buffer("inverse", held(measure.scale.reciprocal()))

    @in_full
    def forward(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, ""]:
        error = (prediction - target).flatten(3)
        return self.mean((error.square() @ self.area) * self.inverse.square())

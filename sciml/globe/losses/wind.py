"""Errors of winds as errors of their direction and of their speed.

L(f, t) = L'(d_f, d_t) + λ L'(s_f, s_t),     s = √(u² + v² + ε²),   d = (u, v) / s

Units: speeds by σ, the root mean square of the scales of u and v; directions by σ / S, with S the
root mean square wind: a small error σ across the wind turns it by σ / S. Both are of order 1 for
the forecast "nothing changes", and λ is a ratio of like things.

Source: FastNet, arXiv:2509.17601, equation 10 as others give it, λ = 5.
"""

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.losses.measure import Measure
from sciml.globe.losses.pointwise import MSE
from sciml.globe.losses.precision import in_full
from sciml.globe.wind import CALM, polar


@final
class Wind(nn.Module):
    """A loss of direction and speed: `(prediction, target) [B, K, C, *grid]` → scalar.

    Args:
        measure: with `pairs` and `std`; states are in physical units.
        inner: `measure -> loss` of directions and speeds, such as `MSE` or `MSH`.
        speed: λ.
        calm: ε, in the units of the wind.

    Raises:
        UserError: no pair of wind components, or no standard deviations in the measure.
    """

    def __init__(
        self,
        measure: Measure,
        inner: Callable[[Measure], nn.Module] = MSE,
        speed: float = 5.0,
        calm: float = CALM,
    ) -> None:
        super().__init__()
        if not measure.pairs:
            raise UserError(
                "Wind: expected channels (u, v) of a wind, got no pair; drop the term, or name the "
                "channels u500 and v500 alike"
            )
        if calm <= 0 or speed < 0:
            raise UserError(f"Wind: expected calm > 0 and speed >= 0, got {calm} and {speed}")
        u, v = torch.tensor(measure.pairs).unbind(1)
        self.register_buffer("u", u, persistent=False)
        self.register_buffer("v", v, persistent=False)
        scale = _root_mean_square(measure.scale[u], measure.scale[v])
        size = _root_mean_square(measure.amplitude[u], measure.amplitude[v]) * 2**0.5
        weight = (measure.weight[u] + measure.weight[v]) / 2
        grid, lead = measure.grid, measure.lead
        twice = (scale / size).repeat(2), weight.repeat(2)
        self.of_direction = inner(Measure(grid, *twice, lead))
        self.of_speed = inner(Measure(grid, scale, weight, lead, mean=size))
        self.speed, self.calm = speed, calm

    @in_full
    def forward(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, ""]:
        (speed_f, direction_f), (speed_t, direction_t) = map(self._polar, (prediction, target))
        return self.of_direction(direction_f, direction_t) + self.speed * self.of_speed(
            speed_f, speed_t
        )

    def _polar(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Speeds `[B, K, P, *grid]` and directions `[B, K, 2P, *grid]`."""
        u, v = state.index_select(2, self.u), state.index_select(2, self.v)
        speed, east, north = polar(u, v, self.calm)
        return speed, torch.cat([east, north], dim=2)


def _root_mean_square(a: Tensor, b: Tensor) -> Tensor:
    return ((a.square() + b.square()) / 2).sqrt()

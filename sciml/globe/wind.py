"""A vector as its size and its direction: s = √(u² + v² + ε²), d = (u, v) / s, in physical units.

Separate means of u and v taken off would destroy both. ε keeps their slopes finite where there is
no wind: ∂d/∂u <= 1/ε. The way back is exact for every ε and renormalises whatever a network says:

    (u, v) = s q / √(|q|² + ε²),   q = s d

Source: FastNet, arXiv:2509.17601 (speed and unit direction); the form of ε is ours.
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError

#: m s⁻¹, far below what winds are known to.
CALM = 0.1


def polar(
    u: Float[Tensor, "*n"], v: Float[Tensor, "*n"], calm: float = CALM
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """(s, d_x, d_y) of a wind (u, v); `calm` is ε."""
    speed = (u.square() + v.square() + calm**2).sqrt()
    return speed, u / speed, v / speed


def cartesian(
    speed: Float[Tensor, "*n"],
    east: Float[Tensor, "*n"],
    north: Float[Tensor, "*n"],
    calm: float = CALM,
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """(u, v) of a speed and a direction of any length; undoes `polar`."""
    east, north = speed * east, speed * north
    factor = speed / (east.square() + north.square() + calm**2).sqrt()
    return factor * east, factor * north


@final
class WindOutput(nn.Module):
    """Speed and direction as a network's own variables, in the channels' order.

    `encode` puts d_x and d_y in the places of u and v and appends the speeds: `[B, C, *grid]` →
    `[B, C + pairs, *grid]`. The module itself is the way back.

    Args:
        pairs: channels (u, v).
        calm: ε, in the units of the wind.

    Raises:
        UserError: a channel that stands in two pairs, ε that is not positive.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]], calm: float = CALM) -> None:
        super().__init__()
        flat = [channel for pair in pairs for channel in pair]
        if not flat or len(set(flat)) < len(flat):
            raise UserError(f"wind: expected pairs of different channels (u, v), got {pairs}")
        if calm <= 0:
            raise UserError(f"wind: expected calm > 0, got {calm}")
        self.pairs, self.calm = tuple(pairs), calm
        self.register_buffer("u", torch.tensor([u for u, _ in pairs]), persistent=False)
        self.register_buffer("v", torch.tensor([v for _, v in pairs]), persistent=False)

    def encode(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b wide *grid"]:
        """The state with directions for components, and speeds behind."""
        u, v = state.index_select(1, self.u), state.index_select(1, self.v)
        speed, east, north = polar(u, v, self.calm)
        put = state.index_copy(1, self.u, east).index_copy(1, self.v, north)
        return torch.cat([put, speed], dim=1)

    def forward(self, output: Float[Tensor, "b wide *grid"]) -> Float[Tensor, "b c *grid"]:
        """The state in components."""
        state, speed = output[:, : -len(self.pairs)], output[:, -len(self.pairs) :]
        east, north = state.index_select(1, self.u), state.index_select(1, self.v)
        u, v = cartesian(speed, east, north, self.calm)
        return state.index_copy(1, self.u, u).index_copy(1, self.v, v)

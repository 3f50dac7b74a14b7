"""What is wrong with a forecast's winds: their speed, and their direction."""

from collections.abc import Mapping, Sequence
from math import degrees, pi
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.metrics import definitions
from sciml.globe.metrics.statistics import Statistics, by_channel, named


@final
class Winds(nn.Module):
    """Biases of speed and direction by pair of channels (u500, v500), named `wind500`.

    speed_bias, speed_rmse: in the winds' units.   direction_bias, direction_error: degrees, mean of
    the angle from truth to forecast, counter-clockwise, and of its size.

    Args:
        area: `[*grid]` shares of the cells.
        names: of the channels, in order.
        pairs: channels (u, v).
    """

    def __init__(self, area: Any, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        if not pairs:
            raise UserError("winds: expected channels (u, v) of a wind, got none; drop the score")
        self.names = tuple(f"wind{names[u].removeprefix('u')}" for u, _ in pairs)
        self.register_buffer("area", torch.as_tensor(area).double(), persistent=False)
        self.register_buffer("pairs", torch.tensor(pairs), persistent=False)

    def statistics(self, forecast: Tensor, truth: Tensor, initial: Tensor) -> Statistics:
        """Sums over the forecasts of one lead time, each `[B, C, *grid]`."""
        (u, v), (a, b) = self._components(forecast), self._components(truth)
        area = self.area.to(forecast)
        speed, true_speed = torch.hypot(u, v), torch.hypot(a, b)
        angle = turn(u, v, a, b)
        return by_channel(
            {
                "speed_error": definitions.error(speed, true_speed, area),
                "speed_squared_error": definitions.squared_error(speed, true_speed, area),
                "angle": definitions.area_mean(angle, area),
                "angle_size": definitions.area_mean(angle.abs(), area),
            },
            self.names,
        )

    def _components(self, state: Tensor) -> tuple[Tensor, Tensor]:
        u, v = self.pairs.unbind(1)
        return state.index_select(1, u), state.index_select(1, v)

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The biases of one lead time, from the means of `statistics`."""
        found = {f"speed_bias/{name}": mean for name, mean in named(means, "speed_error").items()}
        squared = named(means, "speed_squared_error")
        found |= {f"speed_rmse/{name}": mean**0.5 for name, mean in squared.items()}
        for kind, statistic in (("direction_bias", "angle"), ("direction_error", "angle_size")):
            found |= {f"{kind}/{k}": degrees(mean) for k, mean in named(means, statistic).items()}
        return found


def turn(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The angle from (a, b) to (u, v) within ±π, counter-clockwise; 0 where one of them is calm."""
    return torch.atan2(a * v - b * u, a * u + b * v).clamp(-pi, pi)

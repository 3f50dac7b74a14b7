"""Errors of a forecast by channel, beside those of "nothing changes" and of the climatology."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.globe.metrics import definitions
from sciml.globe.metrics.statistics import Statistics, by_channel, divided, named


@final
class Errors(nn.Module):
    """RMSE, bias, and their ratios to persistence; with a climatology also ACC and activity.

    rmse, bias: in the channel's units.      rmse_over_persistence, rmse_over_climatology: ratios.
    acc: mean over forecasts.                activity, activity_over_truth: st.dev. of the anomaly.

    Args:
        area: `[*grid]` shares of the cells.
        names: of the channels, in order.
        climatology: `[C, *grid]` mean state.
    """

    def __init__(self, area: Any, names: Sequence[str], climatology: Any = None) -> None:
        super().__init__()
        self.names = tuple(names)
        known = climatology is not None
        self.register_buffer("area", torch.as_tensor(area).double(), persistent=False)
        held = torch.as_tensor(climatology) if known else None
        self.register_buffer("climatology", held, persistent=False)

    def statistics(self, forecast: Tensor, truth: Tensor, initial: Tensor) -> Statistics:
        """Sums over the forecasts of one lead time, each `[B, C, *grid]`."""
        area = self.area.to(forecast)
        scores = {
            "squared_error": definitions.squared_error(forecast, truth, area),
            "error": definitions.error(forecast, truth, area),
            "persistence": definitions.squared_error(initial, truth, area),
        }
        if self.climatology is not None:
            scores |= self._anomalies(forecast, truth, area)
        return by_channel(scores, self.names)

    def _anomalies(self, forecast: Tensor, truth: Tensor, area: Tensor) -> dict[str, Tensor]:
        climatology = self.climatology.to(forecast)
        return {
            "climatology": definitions.squared_error(climatology, truth, area),
            "acc": definitions.anomaly_correlation(forecast, truth, climatology, area),
            "activity": definitions.activity(forecast, climatology, area),
            "truth_activity": definitions.activity(truth, climatology, area),
        }

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The scores of one lead time, from the means of `statistics`."""
        squared = named(means, "squared_error")
        found = {f"rmse/{name}": mean**0.5 for name, mean in squared.items()}
        found |= {f"bias/{name}": mean for name, mean in named(means, "error").items()}
        found |= divided("rmse_over_persistence", squared, named(means, "persistence"))
        found |= divided("rmse_over_climatology", squared, named(means, "climatology"))
        found |= {f"acc/{name}": mean for name, mean in named(means, "acc").items()}
        activity = named(means, "activity")
        found |= {f"activity/{name}": mean**0.5 for name, mean in activity.items()}
        return found | divided("activity_over_truth", activity, named(means, "truth_activity"))

"""The scores of an ensemble: its distribution, its mean, and whether its spread is honest.

    crps    mean over forecasts of the fair score
    rmse    of the ensemble mean
    spread  √ of the mean variance of the members about their mean, (M-1) in the denominator
    spread_over_error   √((M+1)/M) spread / rmse, 1 for an ensemble that tells its own error

Source: V. Fortin et al., J. Hydrometeorol. 15 (2014) 1708-1713, for the last.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.metrics import definitions
from sciml.globe.metrics.forecast import by_lead, forecasts, lead, wanted
from sciml.globe.metrics.statistics import Statistics, by_channel, divided, named
from sciml.globe.objective import Boundary, Noise, judged, repeated


@final
class EnsembleMetric(nn.Module):
    """`contracts.Metric` on `globe.data.Window`: M forecasts from one state, each with its noise.

    crps/z500/24h, rmse/z500/24h, rmse_over_persistence/…, spread/…, spread_over_error/…

    Args:
        area: `[*grid]` shares of the cells.
        names: of the channels, in order.
        noise: `(state, generator) -> state`; of a sample the same at every validation.
        members: M >= 2.
        steps: numbers of the steps that are scored, from 1 on.
        hours: length of a step.
        boundary: gives what is applied to every new state, as in training.
    """

    def __init__(
        self,
        area: Any,
        names: Sequence[str],
        noise: Noise,
        members: int,
        steps: Sequence[int],
        hours: float = 6,
        boundary: Boundary | None = None,
    ) -> None:
        super().__init__()
        if members < 2:
            raise UserError(f"members: expected an ensemble of at least 2, got {members}")
        self.names, self.noise, self.members = tuple(names), noise, members
        self.steps, self.hours, self.boundary = wanted(steps), hours, boundary
        self.register_buffer("area", torch.as_tensor(area).double(), persistent=False)

    def statistics(self, model: nn.Module, batch: Any) -> Statistics:
        """Sums over the batch, by lead."""
        self.to(batch.state.device)
        many, start = repeated(batch, self.members), judged(batch, self.members, self.noise)
        found: Statistics = {}
        for step, state in forecasts(model, many, start, self.steps, self.boundary):
            members = state.unflatten(0, (-1, self.members))
            scores = self._scores(members, batch.state[:, step], batch.state[:, 0])
            for name, pair in by_channel(scores, self.names).items():
                found[f"{name}/{lead(step, self.hours)}"] = pair
        return found

    def _scores(self, members: Tensor, truth: Tensor, initial: Tensor) -> dict[str, Tensor]:
        area, first = self.area.to(truth), members.movedim(1, 0)
        return {
            "crps": definitions.fair_crps(first, truth, area),
            "squared_error": definitions.squared_error(members.mean(1), truth, area),
            "persistence": definitions.squared_error(initial, truth, area),
            "variance": definitions.area_mean(members.var(1), area),
        }

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The scores, from the means of the statistics."""
        return by_lead(means, self.steps, self.hours, [self._value])

    def _value(self, means: Mapping[str, float]) -> dict[str, float]:
        squared, variance = named(means, "squared_error"), named(means, "variance")
        honest = {k: mean * (1 + 1 / self.members) for k, mean in variance.items()}
        found = {f"crps/{name}": mean for name, mean in named(means, "crps").items()}
        found |= {f"rmse/{name}": mean**0.5 for name, mean in squared.items()}
        found |= divided("rmse_over_persistence", squared, named(means, "persistence"))
        found |= {f"spread/{name}": mean**0.5 for name, mean in variance.items()}
        return found | divided("spread_over_error", honest, squared)

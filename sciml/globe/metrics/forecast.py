"""The scores of a model's forecasts by lead time, exact over batches and ranks.

Names are flat: kind/channel/lead, such as `rmse/z500/24h` or `power_ratio/v/l21/120h`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.metrics.statistics import Statistics
from sciml.globe.rollout import After, require_length, trajectory


class Score(Protocol):
    """A module that judges the forecasts of one lead time: `Errors`, `Spectra`, `Winds`."""

    def statistics(self, forecast: Tensor, truth: Tensor, initial: Tensor) -> Statistics: ...

    def value(self, means: Mapping[str, float]) -> dict[str, float]: ...


@final
class ForecastMetric(nn.Module):
    """`contracts.Metric` on `globe.data.Window`: one rollout, every score at every wanted lead.

    Args:
        scores: what is reported.
        steps: numbers of the steps that are scored, from 1 on.
        hours: length of a step.
        boundary: gives what is applied to every new state, as in training.
        headlines: names of the values that are printed; all of them where None.
    """

    def __init__(
        self,
        scores: Sequence[Score],
        steps: Sequence[int],
        hours: float = 6,
        boundary: Callable[[Any], After] | None = None,
        headlines: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.headlines = None if headlines is None else tuple(headlines)
        self.scores, self.steps = nn.ModuleList(scores), wanted(steps)
        self.hours, self.boundary = hours, boundary

    def statistics(self, model: nn.Module, batch: Any) -> Statistics:
        """Sums over the batch, by lead; the state of one step is held at a time."""
        self.to(batch.state.device)
        found: Statistics = {}
        for step, state in forecasts(model, batch, batch.state[:, 0], self.steps, self.boundary):
            truth, initial = batch.state[:, step], batch.state[:, 0]
            for score in self.scores:
                for name, pair in score.statistics(state, truth, initial).items():
                    found[f"{name}/{lead(step, self.hours)}"] = pair
        return found

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The scores, from the means of the statistics."""
        return by_lead(means, self.steps, self.hours, [score.value for score in self.scores])


def forecasts(
    model: nn.Module,
    window: Any,
    start: Tensor,
    steps: Sequence[int],
    boundary: Callable[[Any], After] | None,
) -> Iterator[tuple[int, Tensor]]:
    """(step, forecast) at the wanted steps, from `start`, without a graph.

    Raises:
        UserError: the window is shorter than the forecast.
    """
    require_length(window, steps[-1])
    after = None if boundary is None else boundary(window)
    with torch.no_grad():
        states = trajectory(model, start, window.forcing, steps[-1], after)
        for step, state in enumerate(states, start=1):
            if step in steps:
                yield step, state


def by_lead(
    means: Mapping[str, float],
    steps: Sequence[int],
    hours: float,
    values: Sequence[Callable[[Mapping[str, float]], dict[str, float]]],
) -> dict[str, float]:
    """Values of every lead time, from the means whose names end in it."""
    found: dict[str, float] = {}
    for step in steps:
        ending = f"/{lead(step, hours)}"
        own = {k.removesuffix(ending): mean for k, mean in means.items() if k.endswith(ending)}
        for value in values:
            found |= {f"{name}{ending}": number for name, number in value(own).items()}
    return found


def lead(step: int, hours: float) -> str:
    """`24h`."""
    return f"{step * hours:g}h"


def wanted(steps: Sequence[int]) -> tuple[int, ...]:
    """Numbers of steps in order.

    Raises:
        UserError: there is none, or one below 1.
    """
    chosen = tuple(sorted({int(step) for step in steps}))
    if not chosen or chosen[0] < 1:
        raise UserError(f"metric: expected steps >= 1 to score, got {list(steps)}")
    return chosen

"""The scores of an ensemble: its distribution, its mean, and whether its spread is honest.

    crps    mean over forecasts of the fair score
    rmse    of the ensemble mean, as bias, acc, activity and the ratios to other forecasts
    spread  √ of the mean variance of the members about their mean, (M-1) in the denominator
    spread_over_error   √((M+1)/M) spread / rmse, 1 for an ensemble that tells its own error

Source: V. Fortin et al., J. Hydrometeorol. 15 (2014) 1708-1713, for the last.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.losses.ensemble import fair_crps
from sciml.globe.metrics import definitions
from sciml.globe.metrics.errors import Errors
from sciml.globe.metrics.forecast import Score, by_lead, forecasts, lead, wanted
from sciml.globe.metrics.statistics import Statistics, by_channel, divided, named
from sciml.globe.objective import Boundary, Noise, judged, repeated


@final
class Ensembles(nn.Module):
    """CRPS, spread, and what `Errors` says of the ensemble mean.

    Args:
        area: `[*grid]` shares of the cells.
        names: of the channels, in order.
        climatology: `[C, *grid]` mean state.
    """

    def __init__(self, area: Any, names: Sequence[str], climatology: Any = None) -> None:
        super().__init__()
        self.mean, self.names = Errors(area, names, climatology), tuple(names)

    def statistics(self, members: Tensor, truth: Tensor, initial: Tensor) -> Statistics:
        """Sums over the ensembles `[B, M, C, *grid]` of one lead time.

        Raises:
            UserError: fewer than two members.
        """
        area, count = self.mean.area.to(truth), members.shape[1]
        score = fair_crps(members, truth)
        variance = definitions.area_mean(members.var(1), area)
        found = by_channel(
            {
                "crps": definitions.area_mean(score, area),
                "variance": variance,
                "told": variance * (1 + 1 / count),
            },
            self.names,
        )
        return found | self.mean.statistics(members.mean(1), truth, initial)

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The scores of one lead time, from the means of `statistics`."""
        found = {f"crps/{name}": mean for name, mean in named(means, "crps").items()}
        found |= self.mean.value(means)
        found |= {f"spread/{name}": mean**0.5 for name, mean in named(means, "variance").items()}
        told, squared = named(means, "told"), named(means, "squared_error")
        return found | divided("spread_over_error", told, squared)


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
        climatology: `[C, *grid]` mean state.
        each: scores of the members one by one, such as `Spectra`: a mean has lost small scales.
        headlines: names of the values that are printed; all of them where None.
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
        climatology: Any = None,
        each: Sequence[Score] = (),
        headlines: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if members < 2:
            raise UserError(f"members: expected an ensemble of at least 2, got {members}")
        self.noise, self.members = noise, members
        self.steps, self.hours, self.boundary = wanted(steps), hours, boundary
        self.ensembles, self.each = Ensembles(area, names, climatology), nn.ModuleList(each)
        self.headlines = None if headlines is None else tuple(headlines)

    def statistics(self, model: nn.Module, batch: Any) -> Statistics:
        """Sums over the batch, by lead; the states of one step are held at a time."""
        self.to(batch.state.device)
        many, start = repeated(batch, self.members), judged(batch, self.members, self.noise)
        found: Statistics = {}
        for step, state in forecasts(model, many, start, self.steps, self.boundary):
            truth, initial = batch.state[:, step], batch.state[:, 0]
            members = state.unflatten(0, (-1, self.members))
            scores = self.ensembles.statistics(members, truth, initial)
            for score in self.each:
                scores |= score.statistics(state, many.state[:, step], many.state[:, 0])
            found |= {f"{name}/{lead(step, self.hours)}": pair for name, pair in scores.items()}
        return found

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The scores, from the means of the statistics."""
        values = [self.ensembles.value, *(score.value for score in self.each)]
        return by_lead(means, self.steps, self.hours, values)

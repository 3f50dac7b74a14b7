"""Where random features go: their scales, and a crowd of them, chosen by a held-out residual.

Each choice is tried with few features on a part of the batch and judged at points of the batch that
its fit has not seen; the true solution is never looked at. All choices share points and draws.

    trial        θ = argmin Σ_k mean |r_k(θ)|² / t_k,   t_k = mean |row of ∂r_k/∂θ|²
    judged by    Σ_k mean |r_k|² / t_k at the held-out points, with the t_k of the choice to beat

The division by t_k makes terms of different dimension comparable. Where the equations are not
linear, a trial is a few steps of Gauss–Newton.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from sciml.contracts import Linearised, UserError
from sciml.pinn.layers import require_positive
from sciml.pinn.point_weights import gathered
from sciml.pinn.points import Collocation
from sciml.pinn.problem import RESIDUAL
from sciml.pinn.trials import Outcome, Trial

#: Sweeps over the coordinates that the second search may add to its first.
SWEEPS = 3
#: Power of the ratio of a leap up where single steps do not help: small scales are a trap, since
#: their features are nearly dependent, which shows with many features only.
LEAP = 3


class Features(Protocol):
    """A module whose features can be drawn anew: scales `[d]`, centres `[m, d]` of the last m."""

    scale: Tensor

    def draw(self, scale: Tensor, centres: Tensor | None, steeper: float) -> None: ...


@final
@dataclass(frozen=True, eq=False)
class Place:
    """A choice.

    Args:
        scale: `[d]`, of all features.
        pool, chance: points `[n, d]` as the features see them, and weights `[n]` of the chance that
            a feature of the crowd goes through them; None for no crowd.
        steeper: factor on the scales in the crowd.
    """

    scale: Tensor
    pool: Tensor | None = None
    chance: Tensor | None = None
    steeper: float = 1.0

    def centres(self, features: int) -> Tensor | None:
        """`[features/2, d]`: one half of the features is the crowd."""
        if self.pool is None or self.chance is None:
            return None
        generator = torch.Generator().manual_seed(features)
        taken = torch.multinomial(self.chance, features // 2, True, generator=generator)
        return self.pool[taken]


@final
@dataclass(frozen=True)
class Placement:
    """The search: one scale for all coordinates, then one for each; the latter again with more
    features, which want other scales; at last a crowd.

    Args:
        shares: of the features, in the trials of the first and the second search.
        most: features of a trial at most, likewise.
        down, up: the search begins with 2^-down, …, 2^up times the features' own scale.
        ratios: steps along each coordinate in the first and the second search.
        crowd: factors on the scale tried for features crowded where the residual is large.
        steps: of Gauss–Newton in a trial where the equations are not linear.
        seed: of the split of the batch.

    Cost: some 30 trials, half of either kind.
    """

    shares: tuple[float, float] = (0.3, 0.6)
    most: tuple[int, int] = (150, 300)
    down: int = 2
    up: int = 4
    ratios: tuple[float, float] = (2.0, 1.5)
    crowd: tuple[float, ...] = ()
    steps: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, count in (("shares", 2), ("most", 2), ("ratios", 2)):
            if len(getattr(self, name)) != count:
                raise UserError(
                    f"placement: expected {name} of two searches, got {list(getattr(self, name))}"
                )
        require_positive("placement", first=self.most[0], second=self.most[1], steps=self.steps)
        if not all(0 < share <= 2 / 3 for share in self.shares):
            raise UserError(
                f"placement: expected shares of at most 2/3, as half as many points are held out, "
                f"got {list(self.shares)}"
            )
        if not all(ratio > 1 for ratio in self.ratios) or not all(f >= 1 for f in self.crowd):
            raise UserError(
                "placement: expected ratios > 1 and factors >= 1 of the crowd, "
                f"got {list(self.ratios)} and {list(self.crowd)}"
            )

    def __call__(
        self,
        narrowed: Callable[[int], tuple[nn.Module, Features]],
        features: int,
        objective: Any,
        batch: Collocation,
        average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> Place:
        """The best place found.

        Args:
            narrowed: number of features → a network of its own in double precision that has that
                many, and these.
            features: how many are to be placed.
            batch: points of a training step; a trial fits its share of them and half as many are
                held out.
            average: mean over ranks.
        """
        if not isinstance(objective, Linearised):
            raise UserError(
                "random features: expected an objective that linearises its residuals, got "
                f"{type(objective).__name__}; set network.placement=null and network.scale"
            )
        batch = batch.to("cpu", torch.float64)
        place, agreed = None, lambda tensor: average(tensor).cpu()
        for number, (share, most) in enumerate(zip(self.shares, self.most, strict=True)):
            width = max(1, min(most, round(share * features)))
            model, few = narrowed(width)
            fit, held_out = split(batch, width / features, self.seed)
            trial = Trial(model, objective, fit, held_out, self.steps, agreed)
            search = Search(trial, few, place or Place(few.scale.detach().clone()))
            if number == 0:
                search.octaves(self.down, self.up)
            search.climb(self.ratios[number], sweeps=1 + number * SWEEPS)
            place = search.place
        for steeper in self.crowd:
            search.offer(search.crowded(batch, steeper))
        return search.place


@final
class Search:
    """The best place so far, and the trial that it takes to compare another with it."""

    def __init__(self, trial: Trial, features: Features, place: Place) -> None:
        self.trial, self.features, self.place = trial, features, place
        self.best = self._outcome(place)

    def _draw(self, place: Place) -> None:
        width = len(self.features.weight)
        self.features.draw(place.scale, place.centres(width), place.steeper)

    def _outcome(self, place: Place) -> Outcome:
        self._draw(place)
        return self.trial()

    def offer(self, place: Place) -> bool:
        """Take a place if it is better than the best so far."""
        outcome = self._outcome(place)
        if not outcome.beats(self.best):
            return False
        self.place, self.best = place, outcome
        return True

    def octaves(self, down: int, up: int) -> None:
        """One scale for all coordinates: powers of 2 times the first place's."""
        start = self.place.scale
        for octave in range(-down, up + 1):
            if octave:
                self.offer(Place(start * 2.0**octave))

    def climb(self, ratio: float, sweeps: int) -> None:
        """Stretch the scales of one coordinate after the other, until no stretch is better."""
        for _ in range(sweeps):
            before = self.place
            for axis in range(len(before.scale)):
                any(self._climb(axis, factor) for factor in (ratio, 1 / ratio, ratio**LEAP))
            if self.place is before:
                return

    def _climb(self, axis: int, factor: float) -> bool:
        """Stretch as long as it pays; whether it did."""
        before = self.place
        while self.offer(self._stretched(axis, factor)):
            pass
        return self.place is not before

    def _stretched(self, axis: int, factor: float) -> Place:
        scale = self.place.scale.clone()
        scale[axis] *= factor
        return replace(self.place, scale=scale)

    def crowded(self, batch: Collocation, steeper: float) -> Place:
        """The best place with half of the features through points of large residual."""
        self._outcome(self.place)  # leaves the solution in the network
        points = batch.points[RESIDUAL]
        rows = self.trial.objective.equations(self.trial.model, points).values()
        size = sum(r.square() / r.square().mean().clamp_min(1e-300) for r in rows).sqrt()
        here = torch.cat([self._seen(points.x), size[:, None]], dim=1)
        summed = lambda tensor: batch.ranks * self.trial.average(tensor)  # noqa: E731
        both = gathered(here, *batch.place(RESIDUAL), summed)
        return replace(self.place, pool=both[:, :-1], chance=both[:, -1], steeper=steeper)

    def _seen(self, x: Tensor) -> Tensor:
        """The points as the features see them, behind standardisation and the like."""
        seen = []
        hook = self.features.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        with hook, torch.no_grad():
            self.trial.model(x)
        return seen[0]


def split(batch: Collocation, share: float, seed: int) -> tuple[Collocation, Collocation]:
    """Two random parts of every set of points: a share to fit, half as much to judge.

    They are disjoint, unless a set has one point only.
    """
    generator = torch.Generator().manual_seed(seed)
    fit, held_out = {}, {}
    for name, points in batch.points.items():
        order = torch.randperm(len(points), generator=generator)
        n = max(1, round(share * len(points)))
        fit[name], held_out[name] = points[order[:n]], points[order[-max(1, n // 2) :]]
    return Collocation(fit), Collocation(held_out)

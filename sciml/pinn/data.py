"""Collocation data: which points each step sees, a function of (seed, step) alone."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from sciml.contracts import UserError
from sciml.pinn import names, reference
from sciml.pinn.points import Block, Collocation, Points
from sciml.pinn.problem import RESIDUAL, TRUTH, Problem
from sciml.pinn.regions import At, Interior, Region
from sciml.pinn.samplers import UnitSampler, uniform

if TYPE_CHECKING:
    from torch import nn

    from sciml.contracts import Objective

__all__ = ["Collocation", "CollocationData", "Points", "Sampling"]

#: Fresh sets drawn at once: fewer where a set is large, so that a block stays below some 10 MB.
SETS, LARGEST = 64, 400_000
#: Grid of the evaluation along each coordinate, by the number of coordinates.
GRID = {1: 1001, 2: 101, 3: 41, 4: 17}
#: Keys of the streams of random numbers.
TRAINING, HELD_OUT = 0, 1


@final
@dataclass(frozen=True)
class Sampling:
    """How many points, drawn how and how often.

    Args:
        points: "residual" and the name of each condition → points per step; conditions at given
            points may be left out: then all of them are used.
        method: spreads points over the unit cube.
        every: steps that see the same points; None keeps one set for good.
        grid: points of the evaluation grid per coordinate, end points included.
    """

    points: Mapping[str, int]
    method: UnitSampler = uniform
    every: int | None = 1
    grid: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name, n in self.points.items():
            if isinstance(n, bool) or not isinstance(n, int) or n <= 0:
                raise UserError(
                    f"sampling: expected a whole number of points > 0 for {name!r}, got {n!r}; "
                    f"set sampling.points.{name}=128"
                )
        if not callable(self.method):
            raise UserError(
                f"sampling: expected method to be a function, got {self.method!r}; "
                "set sampling.method={_target_: sciml.pinn.samplers.sobol, _partial_: true}"
            )
        if self.every is not None and self.every < 1:
            raise UserError(
                f"sampling: expected every >= 1 or null, got {self.every}; "
                "null keeps one set of points"
            )


@final
class CollocationData:
    """Batches of a problem by step (`contracts.Data`).

    Points are drawn in float64 in blocks of consecutive sets, keyed by (seed, block): what a step
    sees does not depend on where a run started. Ranks get equal, contiguous shares of each set, so
    that the mean of their means is the mean of the set.

    `reference` is the reference solution, where it is the truth.
    """

    def __init__(self, problem: Problem, sampling: Sampling, seed: int) -> None:
        if seed < 0:
            raise UserError(f"sampling: expected seed >= 0, got {seed}")
        self.problem, self.sampling, self.seed = problem, sampling, seed
        self.regions: dict[str, Region] = {RESIDUAL: Interior()}
        self.regions |= {c.name: c.region for c in problem.conditions}
        self.sizes = self._sizes()
        problem.domain.axes(self.grid)
        path = problem.reference if problem.exact is None else None
        self.reference = None if path is None else self._read(path)
        self._truth = self._known()
        total = sum(self.sizes.values())
        fresh = max(1, min(SETS, LARGEST // total))
        self.sets = 1 if sampling.every is None else fresh

    def _sizes(self) -> dict[str, int]:
        sizes = dict(self.sampling.points)
        for name in sizes:
            if name not in self.regions:
                raise UserError(
                    f"sampling: expected points for {tuple(self.regions)}, got {name!r}; "
                    + names.nearest(name, self.regions)
                )
        for name, region in self.regions.items():
            if isinstance(region, At):
                sizes.setdefault(name, len(region))
                if sizes[name] > len(region):
                    raise UserError(
                        f"sampling: {name!r}: expected at most its {len(region)} given points, "
                        f"got {sizes[name]}"
                    )
            if name not in sizes:
                raise UserError(
                    f"sampling: expected a number of points for {name!r}, got none; "
                    f"set sampling.points.{name}=128"
                )
        return {name: sizes[name] for name in self.regions}

    def _draw(self, stream: int, block: int, sets: int) -> Block:
        points = {}
        for key, (name, region) in enumerate(self.regions.items()):
            entropy = np.random.SeedSequence([self.seed, stream, block, key])
            rng = np.random.Generator(np.random.Philox(entropy))
            points[name] = region.sample(
                self.problem.domain, self.sizes[name], self.sampling.method, rng, sets
            )
        return Block(points, self.sizes)

    def _set_of(self, step: int) -> int:
        return 0 if self.sampling.every is None else step // self.sampling.every

    def train_dataloader(
        self, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> Iterator[Collocation]:
        """The share of `rank` of the batches of the steps `start`, `start` + 1, … without end."""
        self._check_ranks(ranks)
        return self._batches(start, rank, ranks)

    def _check_ranks(self, ranks: int) -> None:
        for name, n in self.sizes.items():
            if n % ranks:
                given = isinstance(self.regions[name], At)
                equal = n // ranks * ranks if given else -(-n // ranks) * ranks
                remedy = f"set sampling.points.{name}={equal} or " if equal else ""
                raise UserError(
                    f"sampling: expected equal shares of every set for {ranks} ranks, got {n} "
                    f"points for {name!r}; {remedy}use another number of devices"
                )

    def _batches(self, start: int, rank: int, ranks: int) -> Iterator[Collocation]:
        shown = self._set_of(start)
        number = shown // self.sets
        block = self._draw(TRAINING, number, self.sets)
        batch = block.step(shown % self.sets, rank, ranks)
        for step in itertools.count(start):
            current = self._set_of(step)
            if current != shown:
                if current // self.sets != number:
                    number = current // self.sets
                    block = self._draw(TRAINING, number, self.sets)
                batch, shown = block.step(current % self.sets, rank, ranks), current
            yield batch

    def val_dataloader(self) -> list[Collocation]:
        """One batch: held-out points of every set and, where a solution is known, "truth"."""
        points = dict(self._draw(HELD_OUT, 0, 1).step(0).points)
        truth = self.truth()
        return [Collocation(points if truth is None else {**points, TRUTH: truth})]

    def truth(self) -> Points | None:
        """The evaluation grid in the domain, or the reference's, with the fields compared."""
        return self._truth

    def _known(self) -> Points | None:
        problem, known = self.problem, self.reference
        if problem.exact is not None:
            _, x, _ = problem.domain.grid(self.grid)
            truth = self._exact(torch.from_numpy(x))
        elif known is not None:
            values = {name: torch.from_numpy(value) for name, value in known.values.items()}
            truth = Points(torch.from_numpy(known.x), target=values)
        else:
            return None
        for name, value in (truth.target or {}).items():
            if not value.any():
                raise UserError(
                    f"{problem.name}: expected a truth that is not zero everywhere, got zero for "
                    f"{name!r}, which has no relative error; leave it out of compared="
                )
        return truth

    def _read(self, path: Path) -> reference.Reference:
        """The fields compared of a reference solution, where all of them have a value."""
        problem = self.problem
        fields = problem.compared or (*problem.unknowns, *problem.derived)
        known = reference.read(path, problem.coordinates, fields)
        missing = [name for name in problem.compared or () if name not in known.values]
        if missing:
            raise UserError(
                f"{problem.name}: expected {missing} in the reference {path.name}, which has "
                f"{tuple(known.values)} of what is compared; add to the file or shorten compared="
            )
        outside = ~problem.domain.contains(known.x)
        if outside.any():
            raise UserError(
                f"{problem.name}: expected the reference {path.name} inside the domain "
                f"({problem.domain.extent}), got {int(outside.sum())} points outside, the first at "
                f"{known.x[outside][0].tolist()}; give nan there, or check the units"
            )
        return known

    def _exact(self, x: torch.Tensor) -> Points:
        compared = self.problem.compared
        truth = self.problem.truth(x).items()
        values = {k: v.detach() for k, v in truth if compared is None or k in compared}
        for name, value in values.items():
            bad = ~torch.isfinite(value)
            if bad.any():
                raise UserError(
                    f"{self.problem.name}: exact: expected finite values of {name} on the grid, "
                    f"got {value[bad][0]} at {x[bad][0].tolist()}; set sampling.grid or the domain "
                    "so that no point is singular"
                )
        return Points(x, target=values)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points of the evaluation grid per coordinate."""
        if self.sampling.grid is not None:
            return tuple(self.sampling.grid)
        d = self.problem.domain.dimension
        return (GRID[d],) * d

    def refresh(self, model: "nn.Module", objective: "Objective", step: int) -> None:
        """Points do not depend on the model."""

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "sets": self.sets, "sizes": dict(self.sizes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore, but another seed or size would be another sequence of batches."""
        if state != self.state_dict():
            raise UserError(
                f"resume: expected the points of the checkpoint, {state}, got {self.state_dict()}; "
                "use the seed and the sampling of the run"
            )

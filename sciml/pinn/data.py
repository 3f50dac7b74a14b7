"""Collocation data: which points each step sees, a function of (seed, step), and under an adaptive
rule of the residuals so far.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from sciml.contracts import UserError
from sciml.pinn import names, truth, windows
from sciml.pinn.adaptive import residual_size
from sciml.pinn.densities import Density
from sciml.pinn.points import Block, Collocation, Points
from sciml.pinn.problem import RESIDUAL, TRUTH, Problem
from sciml.pinn.regions import At, Interior, Region
from sciml.pinn.sampling import Sampling

if TYPE_CHECKING:
    from torch import nn

    from sciml.pinn.objective import CollocationLoss

__all__ = ["Collocation", "CollocationData", "Points", "Sampling"]

#: Fresh sets drawn at once: fewer where a set is large, so that a block stays below some 10 MB.
SETS, LARGEST = 64, 400_000
#: Grid of the evaluation along each coordinate, by the number of coordinates.
GRID = {1: 1001, 2: 101, 3: 41, 4: 17}
#: Keys of the streams of random numbers.
TRAINING, HELD_OUT, ADAPTIVE = 0, 1, 2


@final
class CollocationData:
    """Batches of a problem by step (`contracts.Data`).

    Points are drawn in float64 in blocks of consecutive sets, keyed by (seed, block): what a step
    sees does not depend on where a run started. Ranks get contiguous shares of each set, which
    differ by one point at most and count accordingly (`points.Block.step`): the mean of their means
    is the mean of the set. A condition with fewer points than ranks is seen whole by each of them.

    Points that follow the residual are state: every rank works out the same whole set, and a
    checkpoint holds it.

    `reference` is the reference solution, where it is the truth.
    """

    def __init__(self, problem: Problem, sampling: Sampling, seed: int) -> None:
        if seed < 0:
            raise UserError(f"sampling: expected seed >= 0, got {seed}")
        self.problem, self.sampling, self.seed = problem, sampling, seed
        self.regions: dict[str, Region] = {RESIDUAL: Interior()}
        self.regions |= {c.name: c.region for c in problem.conditions}
        self.sizes = self._sizes()
        for grading in sampling.density:
            grading.check(problem.coordinates, problem.domain.bounds)
        if sampling.density and problem.domain.cloud is not None:
            raise UserError("sampling: expected a shape for density=, got a cloud of points")
        if getattr(sampling.adaptive, "box_only", False):
            refuse_but_even_boxes(problem, sampling)
        self._within: windows.Window = {}
        self._adapted: _Adapted | None = None
        self.configure()
        problem.domain.axes(self.grid)
        path = problem.reference if problem.exact is None else None
        self.reference = None if path is None else truth.read(problem, path)
        self._truth = truth.known(problem, self.reference, self.grid)
        total = sum(self.sizes.values())
        fresh = max(1, min(SETS, LARGEST // total))
        alone = sampling.every is None or sampling.adaptive is not None
        self.sets = 1 if alone else fresh

    @property
    def fixed(self) -> bool:
        """Whether every step sees the same points."""
        return self.sampling.every is None

    @property
    def one_batch_a_step(self) -> str | None:
        """Why a step cannot accumulate batches of these points; None where it can."""
        every = self.sampling.every
        if every == 1 and self.sampling.adaptive is None:
            return None
        kept = "follow the residual" if every == 1 else f"stay (sampling.every={every or 'null'})"
        return (
            f"points that {kept} would make a step of batches with the same points, or of two "
            "sets; set sampling=uniform with sampling.every=1, or take more points in one batch"
        )

    def configure(self, within: Mapping[str, Sequence[float]] | None = None) -> None:
        """The part of the domain that a phase is about: `{"t": [0.0, 0.5]}`; all of it where None.

        Time can be cut in any domain, space in an interval, rectangle or box (`windows`). Held-out
        points are cut likewise, for they judge the training; the truth is not.
        """
        domain = self.problem.domain
        self._within = windows.window(within, domain)
        self._drawn = {
            name: windows.restricted(region, domain, self._within)
            for name, region in self.regions.items()
        }
        inside = self._drawn[RESIDUAL][1]
        self._density = Density(self.sampling.density, inside.coordinates, inside.bounds)
        if self._adapted is not None and self._adapted.within != self._within:
            self._adapted = None

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
        for key, (name, (region, domain)) in enumerate(self._drawn.items()):
            rng, n = self._generator(stream, block, key), self.sizes[name]
            if name == RESIDUAL:
                points[name] = self._weighted(self._inside(n, rng, sets), sets)
            else:
                points[name] = region.sample(domain, n, self.sampling.method, rng, sets)
        return Block(points, self.sizes)

    def _generator(self, *key: int) -> np.random.Generator:
        entropy = np.random.SeedSequence([self.seed, *key])
        return np.random.Generator(np.random.Philox(entropy))

    def _inside(self, n: int, rng: np.random.Generator, sets: int = 1) -> Points:
        """The equations' points `[sets·n, d]` of the base density."""
        region, domain = self._drawn[RESIDUAL]
        graded = bool(self.sampling.density)
        method = self._density.sampler(self.sampling.method) if graded else self.sampling.method
        return region.sample(domain, n, method, rng, sets)

    def _weighted(
        self, points: Points, sets: int = 1, factor: torch.Tensor | None = None
    ) -> Points:
        """With weights p^(−2 exponent) times `factor` `[n]`, 1 in the mean of each set."""
        if not self.sampling.density and factor is None:
            return points
        p = torch.from_numpy(self._density.relative(points.x.numpy()))
        weight = p ** (-2 * self.sampling.exponent)
        weight = (weight if factor is None else weight * factor).reshape(sets, -1)
        return replace(points, weight=(weight / weight.mean(1, keepdim=True)).flatten())

    def _training(self, block: int) -> Block:
        """Block number `block` of the training points, with the adapted ones where there are."""
        drawn = self._draw(TRAINING, block, self.sets)
        if self._adapted is None:
            return drawn
        x, factor = self._adapted.x, self._adapted.factor
        points = {**drawn.points, RESIDUAL: self._weighted(Points(x), factor=factor)}
        return Block(points, {**self.sizes, RESIDUAL: len(x)})

    def _set_of(self, step: int) -> int:
        return 0 if self.sampling.every is None else step // self.sampling.every

    def train_dataloader(
        self, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> Iterator[Collocation]:
        """The share of `rank` of the batches of the steps `start`, `start` + 1, … without end.

        Raises:
            UserError: more ranks than points of the equations.
        """
        if self.sizes[RESIDUAL] < ranks:
            raise UserError(
                f"sampling: expected a point of the equations for each of {ranks} ranks, got "
                f"{self.sizes[RESIDUAL]}; set sampling.points.{RESIDUAL}={ranks} or fewer devices"
            )
        return self._batches(start, rank, ranks)

    def _batches(self, start: int, rank: int, ranks: int) -> Iterator[Collocation]:
        shown, drawn, adapted = -1, -1, self._adapted
        for step in itertools.count(start):
            current = self._set_of(step)
            if current // self.sets != drawn or adapted is not self._adapted:
                drawn, adapted, shown = current // self.sets, self._adapted, -1
                block = self._training(drawn)
            if current != shown:
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

    @property
    def grid(self) -> tuple[int, ...]:
        """Points of the evaluation grid per coordinate."""
        if self.sampling.grid is not None:
            return tuple(self.sampling.grid)
        d = self.problem.domain.dimension
        return (GRID[d],) * d

    def refresh(self, model: "nn.Module", objective: "CollocationLoss", step: int) -> None:
        """Lets the adaptive rule act where optimiser step `step` begins another set."""
        rule, number = self.sampling.adaptive, self._set_of(step)
        if rule is None or (self._adapted is not None and self._adapted.number == number):
            return
        if self._adapted is None:
            rng = self._generator(TRAINING, number, 0)
            x = self._inside(self.sizes[RESIDUAL], rng).x
            self._adapted = _Adapted(number, x, None, dict(self._within))
            return
        rng = self._generator(ADAPTIVE, number, 0)
        x, factor = rule(
            self._adapted.x.numpy(),
            lambda n: self._inside(n, rng).x.numpy(),
            lambda x: residual_size(model, objective, x),
            rng,
        )
        self._adapted = _Adapted(
            number,
            torch.from_numpy(np.ascontiguousarray(x)),
            None if factor is None else torch.from_numpy(factor),
            dict(self._within),
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; the points where they follow the residual."""
        state = self._identity()
        return state if self._adapted is None else {**state, "adapted": asdict(self._adapted)}

    def _identity(self) -> dict[str, Any]:
        return {"seed": self.seed, "sets": self.sets, "sizes": dict(self.sizes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores adapted points; another seed or size would be another sequence of batches."""
        found = {key: value for key, value in state.items() if key != "adapted"}
        follows = self.sampling.adaptive is not None
        if found != self._identity() or ("adapted" in state and not follows):
            raise UserError(
                f"resume: expected the points of the checkpoint, {found}, got {self._identity()}; "
                "use the seed and the sampling of the run"
            )
        self._adapted = _Adapted(**state["adapted"]) if "adapted" in state else None


@final
@dataclass(frozen=True, eq=False)
class _Adapted:
    """Points `[n, d]` that follow the residual, and of which set and window they are."""

    number: int
    x: torch.Tensor
    factor: torch.Tensor | None
    within: windows.Window


def refuse_but_even_boxes(problem: Problem, sampling: Sampling) -> None:
    """Refuses what a rule cannot stretch: another shape, points that crowd already."""
    if not problem.domain.fills_box:
        raise UserError(
            "sampling: expected an interval, rectangle or box for this adaptive rule, got "
            "another shape; choose sampling=rad"
        )
    if sampling.density:
        raise UserError(
            "sampling: expected density=null for this adaptive rule, which stretches even points; "
            "choose sampling=graded or sampling=marginals"
        )

"""Windows of time by step: which ones a step sees is a function of (seed, step) alone."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.globe.archive import Archive
from sciml.globe.splits import TEST, TRAIN, VALIDATION, Split
from sciml.globe.staging import Staged, stage
from sciml.globe.statistics import Statistics, statistics
from sciml.globe.symmetries import Symmetries, move
from sciml.globe.windows import Window

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Forcing", "Forecasts", "Window"]

#: Seconds after which the interpreter passes from one thread to another that waits for it.
HANDOVER = sys.getswitchinterval()
#: Every so many batches one is made when it is asked for, to see how long it takes.
TRIED = 64
#: Streams of random numbers: the order of the windows, their symmetries, the noise on them.
_ORDER, _SYMMETRY, _NOISE = 0, 1, 2


class Forcing(Protocol):
    """What is known at all times: `(time [B, T] int64 s, grid) -> [B, T, F, *grid]`."""

    names: tuple[str, ...]

    def __call__(self, time: Tensor, grid: Any) -> Tensor: ...


@final
class Forecasts:
    """Windows of `rollout` + 1 states (`contracts.Data`).

    Every epoch is a permutation of all windows of the training split, keyed by (seed, epoch); batch
    n takes the next ones, across the end of an epoch if need be. Ranks get contiguous shares of the
    same batch, which count by their size where they differ by a window. No window crosses a gap in
    time. How a window is moved and what is random in it follow from its place in the sequence, so
    that several small batches are as one large one.

    Args:
        archive: all states; staged once (`globe.staging`).
        split: which times are for what.
        batch: windows of a step, over all ranks.
        seed: of the order.
        rollout: steps of a training window where a phase does not say otherwise.
        horizon: steps of a window for validation and test.
        spacing: times between the starts of those; `horizon` where None.
        forcing: what the model is told beside the state.
        symmetries: by which training windows are moved.
        fill: value in place of NaN where channels are masked; None leaves NaN.
        staged: folder of staged arrays; see `staging.stage`.
        memory: keep all states in memory instead.

    Raises:
        UserError: a split that is empty or shorter than a window.
    """

    def __init__(
        self,
        archive: Archive,
        split: Split,
        batch: int,
        seed: int = 0,
        rollout: int = 1,
        horizon: int = 20,
        spacing: int | None = None,
        forcing: Forcing | None = None,
        symmetries: Symmetries | None = None,
        fill: float | None = None,
        staged: str | Path | None = None,
        memory: bool = False,
    ) -> None:
        spacing = horizon if spacing is None else spacing
        sizes = {"batch": batch, "rollout": rollout, "horizon": horizon, "spacing": spacing}
        for name, value in sizes.items():
            if value < 1:
                raise UserError(f"data: expected {name} >= 1, got {value}")
        self.archive, self.batch, self.seed = archive, batch, seed
        self.horizon, self.spacing, self.forcing, self.fill = horizon, spacing, forcing, fill
        self.symmetries = symmetries
        if symmetries is not None:
            symmetries.check(archive.grid, (*archive.channels.names, *self.forcings))
        self.split = split(archive.times, archive.runs)
        self._stated = rollout
        self.configure()
        for name in (VALIDATION, TEST):
            self._starts(name, horizon, spacing)
        self._staged, self._memory = staged, memory

    @cached_property
    def states(self) -> Staged:
        """All states, staged when they are first asked for."""
        return stage(self.archive, self._staged, self._memory)

    @property
    def forcings(self) -> tuple[str, ...]:
        """Names of what the model is told beside the state."""
        return () if self.forcing is None else tuple(self.forcing.names)

    def forcing_at(self, time: Tensor) -> Tensor | None:
        """`[B, T, F, *grid]` at times `[B, T]`, int64 seconds since 1970-01-01."""
        return None if self.forcing is None else self.forcing(time, self.archive.grid)

    @cached_property
    def statistics(self) -> Statistics:
        """Of the training split; kept beside the staged array. The climatology is filled too."""
        stretches, names = self.split[TRAIN], self.archive.channels.names
        path = self.states.beside("statistics", stretches)
        if path is not None and path.exists():
            found = Statistics.load(path, names)
        else:
            found = statistics(self.states, stretches)
            if path is not None:
                found.save(path)
        if self.fill is None:
            return found
        return replace(found, climatology=np.nan_to_num(found.climatology, nan=self.fill))

    def increments(self, count: int) -> Tensor:
        """`[count, C, *grid]` changes over one step, spread evenly over the training split."""
        starts = self._starts(TRAIN, 1)
        chosen = starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(int)]
        pairs = self._read(chosen, 1)
        return torch.from_numpy(pairs[:, 1] - pairs[:, 0])

    def configure(self, rollout: int | None = None) -> None:
        """Steps of the training windows; as stated where a phase does not say."""
        self.rollout = self._stated if rollout is None else rollout
        self.starts = self._starts(TRAIN, self.rollout)

    def _starts(self, name: str, steps: int, spacing: int = 1) -> np.ndarray:
        """First indices of the windows of a split, which have `steps` + 1 states in a row."""
        stretches = self.split[name if name in self.split else VALIDATION]
        starts = np.concatenate([np.arange(a, b - steps, spacing) for a, b in stretches])
        if len(starts) == 0:
            longest = max(b - a for a, b in stretches)
            raise UserError(
                f"split {name!r}: expected {steps + 1} states in a row for {steps} steps, got "
                f"{longest} at most; lengthen it, or take fewer steps"
            )
        return starts

    def train_dataloader(self, start: int = 0, rank: int = 0, ranks: int = 1) -> Iterator[Window]:
        """The share of `rank` of the batches `start`, `start` + 1, … without end.

        Raises:
            UserError: more ranks than windows in a batch.
        """
        require_shares(self.batch, ranks)
        first, last = rank * self.batch // ranks, (rank + 1) * self.batch // ranks
        counts = ranks * (last - first) / self.batch
        drawn, steps = _Order(self.starts, self.batch, self.seed), self.rollout

        def share(n: int) -> Window:
            places = range(n * self.batch + first, n * self.batch + last)
            return replace(self._training(drawn(n)[first:last], steps, places), counts=counts)

        return _ahead(share, start)

    def _training(self, starts: np.ndarray, steps: int, places: Sequence[int]) -> Window:
        """Windows with their places in the sequence, moved by the symmetries."""
        seeds = tuple(int(_generator(self.seed, _NOISE, n).integers(2**63)) for n in places)
        window = replace(self.window(starts, steps), seeds=seeds)
        if self.symmetries is None:
            return window
        longitudes = self.archive.grid.shape[-1]
        moves = [
            self.symmetries.draw(_generator(self.seed, _SYMMETRY, n), 1, longitudes)[0]
            for n in places
        ]
        signs = self.symmetries.signs(self.archive.channels, ())
        state = _moved(window.state, signs, moves)
        forcing = window.forcing
        if forcing is not None:
            forcing = _moved(forcing, self.symmetries.signs(None, self.forcings), moves)
        return replace(window, state=state, forcing=forcing)

    def window(self, starts: np.ndarray, steps: int) -> Window:
        """The windows that begin at these indices; each state is read once."""
        time = torch.from_numpy(self.archive.times[starts[:, None] + np.arange(steps + 1)])
        forcing = self.forcing_at(time)
        forcing = None if forcing is None else forcing.to(torch.float32)
        return Window(torch.from_numpy(self._read(starts, steps)), forcing, time)

    def _read(self, starts: np.ndarray, steps: int) -> np.ndarray:
        """`[B, steps + 1, C, *grid]`."""
        fields = self.states.fields
        state = np.empty((len(starts), steps + 1, *fields.shape[1:]), np.float32)
        for b, first in enumerate(starts):
            state[b] = fields[first : first + steps + 1]
        return state if self.fill is None else np.nan_to_num(state, copy=False, nan=self.fill)

    def val_dataloader(self) -> Iterator[Window]:
        """Windows of the validation split, `horizon` steps long."""
        return self._evaluated(VALIDATION)

    def test_dataloader(self) -> Iterator[Window]:
        """Windows of the test split, or of the validation split where there is no other."""
        return self._evaluated(TEST)

    def _evaluated(self, name: str) -> Iterator[Window]:
        starts = self._starts(name, self.horizon, self.spacing)
        for first in range(0, len(starts), self.batch):
            yield self.window(starts[first : first + self.batch], self.horizon)

    def refresh(self, model: "nn.Module", objective: Any, step: int) -> None:
        """Nothing follows the model."""

    def state_dict(self) -> dict[str, Any]:
        """What the sequence of batches follows from, beside the data themselves."""
        return {"seed": self.seed, "batch": self.batch, "windows": len(self._starts(TRAIN, 1))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuses another sequence of batches than that of the checkpoint.

        Raises:
            UserError: another seed, batch or training split.
        """
        if state != self.state_dict():
            raise UserError(
                f"resume: expected the batches of the checkpoint, {state}, got "
                f"{self.state_dict()}; use the seed, batch and data of the run"
            )


def require_shares(batch: int, ranks: int) -> None:
    """Refuses more ranks than windows in a batch."""
    if batch < ranks:
        raise UserError(
            f"data: expected a window for each of {ranks} ranks in a batch, got {batch}; set "
            f"windows.batch={ranks} or fewer devices"
        )


@final
class _Order:
    """First indices `[batch]` of the windows of batch n."""

    def __init__(self, starts: np.ndarray, batch: int, seed: int) -> None:
        self.starts, self.batch, self.seed = starts, batch, seed
        self._epoch, self._permuted = -1, starts

    def __call__(self, n: int) -> np.ndarray:
        epochs, numbers = np.divmod(n * self.batch + np.arange(self.batch), len(self.starts))
        found = [self._of(int(e))[numbers[epochs == e]] for e in np.unique(epochs)]
        return np.concatenate(found)

    def _of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            rng = _generator(self.seed, _ORDER, epoch)
            self._epoch, self._permuted = epoch, rng.permutation(self.starts)
        return self._permuted


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def _moved(fields: Tensor, signs: np.ndarray, moves: list[tuple[int, bool]]) -> Tensor:
    there = torch.empty_like(fields)
    for sample, (turn, mirror), into in zip(fields, moves, there, strict=True):
        move(sample.numpy(), signs, turn, mirror, into.numpy())
    return there


def _ahead(make: Callable[[int], Window], start: int) -> Iterator[Window]:
    """Batches `start`, …: those that take long to make are made while the one before is used.

    The others are made when they are asked for: the interpreter takes `HANDOVER` to pass from one
    busy thread to another.
    """

    def timed(n: int) -> tuple[Window, float]:
        begin = time.perf_counter()
        return make(n), time.perf_counter() - begin

    with ThreadPoolExecutor(1, "windows") as executor:
        coming = None
        for n in itertools.count(start):
            batch, took = timed(n) if coming is None else coming.result()
            slow = took > HANDOVER and (n + 1) % TRIED
            coming = executor.submit(timed, n + 1) if slow else None
            yield batch

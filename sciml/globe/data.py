"""Windows of time by step: which ones a step sees is a function of (seed, step) alone."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from sciml.contracts import UserError
from sciml.globe.splits import Stretches
from sciml.globe.staging import Staged
from sciml.globe.windows import Window

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Forecasts", "Window"]

#: `(time [B, T] int64 s, grid) -> float32 [B, T, F, *grid]`: sun, clock, land mask …
Forcing = Callable[[np.ndarray, Any], np.ndarray]
TRAIN, VALIDATION, TEST = "train", "validation", "test"
#: Streams of random numbers.
_ORDER = 0


@final
class Forecasts:
    """Windows of `rollout` + 1 states (`contracts.Data`).

    Every epoch is a permutation of all windows of the training split, keyed by (seed, epoch); batch
    n takes the next ones, across the end of an epoch if need be. Ranks get equal, contiguous shares
    of the same batch. No window crosses a gap in time.

    Args:
        frames: all states.
        split: "train", "validation" and, if reported numbers are to be of a set of its own, "test"
            → stretches of times (`globe.splits`).
        batch: windows of a step, over all ranks.
        seed: of the order.
        rollout: steps of a training window where a phase does not say otherwise.
        evaluation: steps of a window for validation and test.
        spacing: times between the starts of those; `evaluation` where None.
        forcing: what forces the model at given times.

    Raises:
        UserError: a split that is empty or shorter than a window.
    """

    def __init__(
        self,
        frames: Staged,
        split: Mapping[str, Stretches],
        batch: int,
        seed: int = 0,
        rollout: int = 1,
        evaluation: int = 20,
        spacing: int | None = None,
        forcing: Forcing | None = None,
    ) -> None:
        for name, value in (("batch", batch), ("rollout", rollout), ("evaluation", evaluation)):
            if value < 1:
                raise UserError(f"data: expected {name} >= 1, got {value}")
        self.frames, self.split, self.batch, self.seed = frames, dict(split), batch, seed
        self.evaluation, self.forcing = evaluation, forcing
        self.spacing = evaluation if spacing is None else spacing
        self._stated = rollout
        self.configure()
        for name in self.split:
            self._starts(name, rollout if name == TRAIN else evaluation)

    def configure(self, rollout: int | None = None) -> None:
        """Steps of the training windows; as stated where a phase does not say."""
        self.rollout = self._stated if rollout is None else rollout
        self.starts = self._starts(TRAIN, self.rollout)

    def _starts(self, name: str, steps: int) -> np.ndarray:
        """First indices of all windows of a split that has `steps` + 1 states in a row."""
        if name not in self.split:
            raise UserError(f"data: expected a split {name!r}, got {', '.join(self.split)}")
        found = [np.arange(a, b - steps) for a, b in self.split[name]]
        starts = np.concatenate(found)
        if len(starts) == 0:
            longest = max(b - a for a, b in self.split[name])
            raise UserError(
                f"split {name!r}: expected {steps + 1} states in a row for {steps} steps, got "
                f"{longest} at most; lengthen it, or take fewer steps"
            )
        return starts

    def train_dataloader(self, start: int = 0, rank: int = 0, ranks: int = 1) -> Iterator[Window]:
        """The share of `rank` of the batches `start`, `start` + 1, … without end.

        Raises:
            UserError: the batch cannot be shared equally.
        """
        if self.batch % ranks:
            raise UserError(
                f"data: expected a batch that {ranks} ranks share equally, got {self.batch}; set "
                f"batch={-(-self.batch // ranks) * ranks}"
            )
        share = self.batch // ranks
        ours = slice(rank * share, (rank + 1) * share)
        return _ahead(lambda n: self.window(self._drawn(n)[ours], self.rollout), start)

    def _drawn(self, n: int) -> np.ndarray:
        """First indices of the windows of batch n."""
        places = n * self.batch + np.arange(self.batch)
        epochs, numbers = np.divmod(places, len(self.starts))
        orders = {epoch: self._order(int(epoch)) for epoch in np.unique(epochs)}
        return np.array([orders[e][i] for e, i in zip(epochs, numbers, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        entropy = np.random.SeedSequence([self.seed, _ORDER, epoch])
        return np.random.Generator(np.random.Philox(entropy)).permutation(self.starts)

    def window(self, starts: np.ndarray, steps: int) -> Window:
        """The windows that begin at these indices; each state is read once."""
        indices = starts[:, None] + np.arange(steps + 1)
        time = self.frames.times[indices]
        state = np.empty((*indices.shape, *self.frames.fields.shape[1:]), np.float32)
        for b, first in enumerate(starts):
            state[b] = self.frames.fields[first : first + steps + 1]
        forcing = None if self.forcing is None else self.forcing(time, self.frames.grid)
        return Window(
            torch.from_numpy(state),
            None if forcing is None else torch.from_numpy(np.asarray(forcing, np.float32)),
            torch.from_numpy(time),
        )

    def val_dataloader(self) -> Iterator[Window]:
        """Windows of the validation split, `evaluation` steps long."""
        return self._evaluated(VALIDATION)

    def test_dataloader(self) -> Iterator[Window]:
        """Windows of the test split, `evaluation` steps long."""
        return self._evaluated(TEST)

    def _evaluated(self, name: str) -> Iterator[Window]:
        chosen = np.concatenate(
            [np.arange(a, b - self.evaluation, self.spacing) for a, b in self.split[name]]
        )
        for first in range(0, len(chosen), self.batch):
            yield self.window(chosen[first : first + self.batch], self.evaluation)

    def refresh(self, model: "nn.Module", objective: Any, step: int) -> None:
        """Nothing follows the model."""

    def state_dict(self) -> dict[str, Any]:
        """What the order of the batches follows from."""
        return {"seed": self.seed, "batch": self.batch, "states": len(self.frames)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuses another order of batches than that of the checkpoint.

        Raises:
            UserError: another seed, batch or set.
        """
        if state != self.state_dict():
            raise UserError(
                f"resume: expected the batches of the checkpoint, {state}, got "
                f"{self.state_dict()}; use the seed, batch and data of the run"
            )


def _ahead(make: Callable[[int], Window], start: int) -> Iterator[Window]:
    """Batches `start`, …: the next one is made while the one before is used."""
    with ThreadPoolExecutor(1, "windows") as executor:
        coming = executor.submit(make, start)
        for n in itertools.count(start + 1):
            ready, coming = coming, executor.submit(make, n)
            yield ready.result()

"""What happens between steps: saving, averaging weights, keeping the best."""

from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sciml.contracts import Diverged, UserError
from sciml.training import sharded
from sciml.training.checkpoint import BEST, LAST
from sciml.training.fit import Fit
from sciml.training.validation import HELD_OUT, held_out


@final
class Save(pl.Callback):
    """Saves `last.ckpt` every `every` steps and at the end, `best.ckpt` at the least held-out loss.

    Held-out points decide, never the error against a known solution: nothing is tuned on what is
    reported. A phase with other settings (rollout length, Reynolds number) is another problem, so
    the search for the best begins again there.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise UserError(f"trainer: expected save_every >= 1, got {every}")
        self.folder, self.every = folder, every
        self.best, self.phase = float("inf"), 0
        self.saved_at = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step >= module.steps:
            self.now(trainer, module)

    def now(self, trainer: pl.Trainer, module: Fit) -> None:
        """Saves `last.ckpt` at this step, unless that is done."""
        if trainer.global_step != self.saved_at:
            self._save(trainer, module, LAST)
            self.saved_at = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, module: Fit) -> None:
        settings = [module.stretches[n].phase.settings for n in (self.phase, module.stretch.number)]
        best = self.best if settings[0] == settings[1] else float("inf")
        if module.validation[HELD_OUT] < best:
            self.best, self.phase = module.validation[HELD_OUT], module.stretch.number
            self._save(trainer, module, BEST)

    def _save(self, trainer: pl.Trainer, module: Fit, name: str) -> None:
        """Save, and raise on every rank where the one that writes could not.

        Raises:
            Diverged: a parameter is NaN or infinite; no checkpoint shall hold it.
            UserError: the file could not be written.
        """
        for key, parameter in module.model.named_parameters():
            strange = (~torch.isfinite(sharded.local(parameter))).sum()
            if module.sum_over_ranks(strange) if module.in_pieces else strange:
                raise Diverged(
                    f"the parameter {key!r} became NaN or infinite "
                    f"before step {trainer.global_step}"
                )
        failure = None
        try:
            trainer.save_checkpoint(self.folder / name)
        except UserError as error:  # on the rank that writes; the others wait at the barrier
            failure = str(error)
            trainer.strategy.barrier()
        failure = trainer.strategy.broadcast(failure)
        if failure is not None:
            raise UserError(failure)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "phase": self.phase}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.phase = state["best"], state.get("phase", 0)


@final
class Average(pl.Callback):
    """A running average of the weights, by which the run is judged.

    Args:
        decay: share of the old average per step in (0, 1): θ̄ ← decay θ̄ + (1 − decay) θ.
            None averages every step after `start` with equal shares (dense weight averaging).
        start: optimiser steps before the average begins, >= 0.

    Source: dense averaging, Cha et al., "SWAD", NeurIPS 2021.
    """

    def __init__(self, decay: float | None = 0.999, start: int = 0) -> None:
        if decay is not None and not 0 < decay < 1:
            raise UserError(f"average: expected 0 < decay < 1 or null, got {decay}")
        if start < 0:
            raise UserError(f"average: expected start >= 0, got {start}")
        self.decay, self.start = decay, start

    def setup(self, trainer: pl.Trainer, module: Fit, stage: str) -> None:
        if module.average is None:
            rule = None if self.decay is None else get_ema_multi_avg_fn(self.decay)
            module.average = AveragedModel(module.model, multi_avg_fn=rule)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if trainer.global_step > self.start:
            module.average.update_parameters(module.model)


@final
class KeepBest(pl.Callback):
    """The run is judged by the weights with the least held-out loss, the plain sum of the terms.

    Second-order steps on new points make spikes: the last weights may be a hundred times worse than
    those of some steps before. A phase with other settings is another problem, so the search begins
    again there.

    Args:
        every: steps between looks at the held-out points, >= 1.

    Cost: the terms at the held-out points, without a gradient.
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise UserError(f"average: expected every >= 1, got {every}")
        self.every = every
        self.best, self.phase = float("inf"), 0

    def setup(self, trainer: pl.Trainer, module: Fit, stage: str) -> None:
        if module.average is None:
            module.average = AveragedModel(module.model, avg_fn=newest)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        if step % self.every and step < module.stretch.end:
            return
        settings = [module.stretches[n].phase.settings for n in (self.phase, module.stretch.number)]
        best = self.best if settings[0] == settings[1] else float("inf")
        found = held_out(module.model, module.objective, module.held_out_batches())
        if found < best:
            self.best, self.phase = found, module.stretch.number
            module.average.update_parameters(module.model)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "phase": self.phase}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.phase = state["best"], state["phase"]


def newest(kept: Tensor, current: Tensor, count: Tensor) -> Tensor:
    """An average that is the last one given."""
    return current

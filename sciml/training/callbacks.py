"""What happens between steps: saving, averaging weights, watching gradients. One callback, one habit."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sciml.contracts import Diverged, UserError
from sciml.training.checkpoint import BEST, LAST


class Save(pl.Callback):
    """Saves `last.ckpt` every `every` steps and at the end, and `best.ckpt` where the held-out loss is lowest.

    Held-out points decide, never the error against a known solution: nothing is tuned on what is reported.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise UserError(f"trainer: expected save_every >= 1, got {every}")
        self.folder, self.every = folder, every
        self.best = float("inf")
        self.saved_at = -1

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        step = trainer.global_step
        if step != self.saved_at and (step % self.every == 0 or step >= module.steps):
            self._save(trainer, module, LAST)
            self.saved_at = step

    def on_validation_end(self, trainer, module) -> None:
        held_out = module.validation.get("held_out", float("inf"))
        if held_out < self.best:
            self.best = held_out
            self._save(trainer, module, BEST)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule, name: str) -> None:
        for key, parameter in module.model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise Diverged(
                    f"the parameter {key!r} became NaN or infinite before step {trainer.global_step}"
                )
        trainer.save_checkpoint(self.folder / name)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class Average(pl.Callback):
    """A running average of the weights, by which the run is judged: exponential (EMA) or dense (equal shares).

    Args:
        decay: share of the old average per step in (0, 1): θ̄ ← decay θ̄ + (1 − decay) θ.
            None averages every step from `start` on with equal shares (dense weight averaging).
        start: optimiser steps before the average begins, >= 0.

    Source: dense averaging, Cha et al., "SWAD", NeurIPS 2021.
    """

    def __init__(self, decay: float | None = 0.999, start: int = 0) -> None:
        if decay is not None and not 0 < decay < 1:
            raise UserError(f"average: expected 0 < decay < 1 or null, got {decay}")
        if start < 0:
            raise UserError(f"average: expected start >= 0, got {start}")
        self.decay, self.start = decay, start

    def setup(self, trainer, module, stage) -> None:
        if module.average is None:
            rule = None if self.decay is None else get_ema_multi_avg_fn(self.decay)
            module.average = AveragedModel(module.model, multi_avg_fn=rule)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:
        if trainer.global_step > self.start:
            module.average.update_parameters(module.model)

"""Ends a run in good order after a signal: all ranks agree, save and leave at the same step."""

import signal
import time
from collections.abc import Callable
from typing import Any, final

import pytorch_lightning as pl
import torch
import torch.distributed as dist

from sciml.contracts import Interrupted
from sciml.training.callbacks import Save
from sciml.training.fit import Fit

#: Seconds between two looks at the flag; a look of several ranks is one small all-reduce.
LOOK_EVERY = 1.0


@final
class Interruption(pl.Callback):
    """Saves `last.ckpt` and raises `Interrupted` once any rank has received a signal.

    The ranks look at the same steps: after the first, and then about once a second by the slowest
    of them. Nothing is done in the signal's handler, where a collective operation could hang.

    Args:
        received: the number of the signal that came; 0 where none did.
        install: sets the handlers; called once more when training begins, for Lightning puts a
            handler of its own in their place.
        save: saves on every rank.
    """

    def __init__(
        self, received: Callable[[], int], install: Callable[[], None], save: Save
    ) -> None:
        self.received, self.install, self.save = received, install, save
        self.next, self.looked = 0, (0, 0.0)

    def on_train_start(self, trainer: pl.Trainer, module: Fit) -> None:
        self.install()
        self.looked = (trainer.global_step, time.monotonic())

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        if step < self.next or step >= module.steps:
            return
        number, seconds = self._agreed(trainer, module, step)
        if number:
            self.save.now(trainer, module)
            raise Interrupted(
                f"stopped by {signal.Signals(number).name} after step {step} of {module.steps}, "
                f"which is saved; the same command goes on from there"
            )
        self.next = step + max(1, min(1000, round(LOOK_EVERY / max(seconds, 1e-6))))

    def _agreed(self, trainer: pl.Trainer, module: Fit, step: int) -> tuple[int, float]:
        """The signal that any rank received, and the slowest rank's seconds per step."""
        now = time.monotonic()
        steps = max(1, step - self.looked[0])
        found = [float(self.received()), (now - self.looked[1]) / steps]
        self.looked = (step, now)
        if trainer.world_size > 1:
            tensor = torch.tensor(found, dtype=torch.float32, device=module.device)
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
            found = tensor.tolist()
        return int(found[0]), found[1]

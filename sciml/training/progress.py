"""Progress of a run: terms, weights and the current error, live on a terminal or as plain lines."""

import shutil
import sys
import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any, TextIO, final

import pytorch_lightning as pl

from sciml.contracts import Direction
from sciml.training.fit import Fit


@final
class Progress(pl.Callback):
    """Prints step, terms, weights and the latest validation values at every validation.

    Args:
        stream: where to write; on a terminal one more line is written over five times a second.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.last = 0.0
        self.started: tuple[float, int] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if not trainer.is_global_zero or not self.live or time.monotonic() - self.last < 0.2:
            return
        step, self.last = trainer.global_step, time.monotonic()
        self.started = self.started or (self.last, step)
        rate = (step - self.started[1]) / max(self.last - self.started[0], 1e-9)
        width = shutil.get_terminal_size().columns - 1
        text = bar(step, module.steps, rate) + "  " + line(step, module)
        self.stream.write("\r\x1b[2K" + text[:width])
        self.stream.flush()

    def on_validation_end(self, trainer: pl.Trainer, module: Fit) -> None:
        if trainer.is_global_zero:
            self._print(line(trainer.global_step, module))

    def on_train_end(self, trainer: pl.Trainer, module: Fit) -> None:
        if trainer.is_global_zero and self.live:
            self._print(line(trainer.global_step, module))

    def _print(self, text: str) -> None:
        self.stream.write(("\r\x1b[2K" if self.live else "") + text + "\n")
        self.stream.flush()


def bar(step: int, steps: int, rate: float) -> str:
    """[####----------------] 0:01:40 left; `rate` is in steps per second."""
    full = 20 * step // steps
    left = timedelta(seconds=round((steps - step) / rate)) if rate > 0 else "…"
    return f"[{'#' * full}{'-' * (20 - full)}] {left} left"


def line(step: int, module: Fit) -> str:
    """step 1200/40001  residual 3.1e-02  walls 4.0e-05 ×61  rel_l2/u 2.5e-02"""
    parts = [f"step {step}/{module.steps}"]
    weights = {} if isinstance(module.latest_weights, Direction) else module.latest_weights
    for name, loss in module.latest.losses.items() if module.latest else ():
        weight = float(weights.get(name, 1.0))
        parts.append(f"{name} {float(loss):.2e}" + ("" if weight == 1 else f" ×{weight:.3g}"))
    headlines = getattr(module.metric, "headlines", None)
    parts += [
        f"{name} {value:.3e}"
        for name, value in module.validation.items()
        if not name.startswith("held_out/") and is_shown(name, headlines)
    ]
    return "  ".join(parts)


def is_shown(name: str, headlines: Collection[str] | None) -> bool:
    """Whether a value is for the eye: of a metric with headlines, these alone."""
    return headlines is None or "/" not in name or name in headlines

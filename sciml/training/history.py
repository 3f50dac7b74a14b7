"""`history.csv`: every logged scalar by step, kept whole across interruptions."""

import csv
import io
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
from jaxtyping import Float
from torch import Tensor, finfo

from sciml import atomic
from sciml.contracts import Direction, UserError
from sciml.training.fit import Fit

FIRST = ("step", "phase", "cpu_s", "wall_s", "lr")


def cpu_seconds() -> float:
    """CPU-seconds of this process, its threads and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@final
class Clock:
    """CPU- and wall-seconds spent on training, carried over a resume; still until started."""

    def __init__(self) -> None:
        self.cpu_before = self.wall_before = 0.0
        self._started: tuple[float, float] | None = None

    def start(self) -> None:
        self._started = cpu_seconds(), time.monotonic()

    @property
    def cpu_s(self) -> float:
        return self.cpu_before + (cpu_seconds() - self._started[0] if self._started else 0)

    @property
    def wall_s(self) -> float:
        return self.wall_before + (time.monotonic() - self._started[1] if self._started else 0)


@final
class History(pl.Callback):
    """Terms, weights, cosines and alignment of term gradients, metrics, rate, time, every `every`.

    Args:
        path: the CSV file; rows later than the step that a resumed run starts from are dropped.
        every: steps between rows, >= 1.

    Cost: a logged step has its gradient rows made (K backward passes more) where they are small
    enough (`fit.WATCHABLE`); the run itself does not change by it.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.rows: dict[int, dict[str, Any]] = {}
        self.writes = True
        self.on_residuals = False  # least squares have no rate to lower
        self.clock = Clock()

    def on_train_start(self, trainer: pl.Trainer, module: Fit) -> None:
        self.clock.start()
        self.writes = trainer.is_global_zero
        module.watchers.append(lambda index: self._is_due(index + 1, module))
        if self.path.exists() and trainer.global_step > 0:
            with self.path.open(newline="") as file:
                kept = [
                    row for row in csv.DictReader(file) if int(row["step"]) <= trainer.global_step
                ]
            self.rows = {
                int(row["step"]): {k: v for k, v in row.items() if v != ""} for row in kept
            }

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Fit, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        self.on_residuals = getattr(module.optimizer, "asks_for_residuals", False)
        if self._is_due(step, module):
            self.rows.setdefault(step, {}).update(self._row(module, step))

    def on_validation_end(self, trainer: pl.Trainer, module: Fit) -> None:
        step = trainer.global_step
        if step not in self.rows and module.latest is not None:
            self.rows[step] = self._row(module, step)
        self.rows.setdefault(step, {"step": step}).update(
            {f"metric/{name}": value for name, value in module.validation.items()}
        )
        with suppress(UserError):  # the next save says that the disk is full, and to all ranks
            self.flush()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: Fit, checkpoint: dict[str, Any]
    ) -> None:
        self.flush()  # what a run that is killed later goes on from has to be on the disk

    def on_exception(self, trainer: pl.Trainer, module: Fit, exception: BaseException) -> None:
        with suppress(UserError):  # what stopped the run is what the user has to hear
            self.flush()

    def on_train_end(self, trainer: pl.Trainer, module: Fit) -> None:
        self.flush()

    def growth(self) -> str:
        """A warning where the terms' sum ended above where its phase began it; else nothing.

        Another phase may have other terms, or longer forecasts: its sums are no comparison.
        """
        last_phase = self.rows[max(self.rows)].get("phase") if self.rows else None
        steps = [step for step, row in self.rows.items() if row.get("phase") == last_phase]
        if len(steps) < 2:
            return ""
        first, last = (
            sum(float(value) for name, value in self.rows[step].items() if name.startswith("loss/"))
            for step in (min(steps), max(steps))
        )
        if not last > first:
            return ""
        grew = f"warning: the loss grew from {first:.3g} to {last:.3g}"
        return grew if self.on_residuals else f"{grew}; try a lower optimizer.lr"

    def flush(self) -> None:
        """Write the whole table (on one rank): a few hundred rows, so cheap; never half-written."""
        if not self.writes or not self.rows:
            return
        names = {name for row in self.rows.values() for name in row}
        columns = [*FIRST, *sorted(names - set(FIRST))]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows[step] for step in sorted(self.rows))
        atomic.write(self.path, text.getvalue())

    def _is_due(self, step: int, module: Fit) -> bool:
        return step % self.every == 0 or step == 1 or step >= module.steps

    def _row(self, module: Fit, step: int) -> dict[str, Any]:
        row = {
            "step": step,
            "phase": module.stretch.name,
            "cpu_s": round(self.clock.cpu_s, 3),
            "wall_s": round(self.clock.wall_s, 3),
            "lr": module.optimizer.param_groups[0]["lr"],
        }
        row |= {f"loss/{name}": float(value) for name, value in module.latest.losses.items()}
        if not isinstance(module.latest_weights, Direction):
            row |= {f"weight/{name}": float(value) for name, value in module.latest_weights.items()}
        criteria = getattr(module.objective, "criteria", dict)()
        row |= {f"criterion/{name}": float(value) for name, value in criteria.items()}
        if module.latest.has_rows:
            rows = module.latest.rows()
            row |= cosines(list(module.latest.losses), rows)
            row |= {"alignment": alignment(rows)} if len(rows) > 1 else {}
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"cpu_s": self.clock.cpu_s, "wall_s": self.clock.wall_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clock.cpu_before, self.clock.wall_before = state["cpu_s"], state["wall_s"]


def cosines(names: list[str], rows: Float[Tensor, "terms parameters"]) -> dict[str, float]:
    """cos(g_a, g_b) for every pair of terms."""
    unit = units(rows)
    gram = unit @ unit.T
    return {
        f"cosine/{a}~{b}": float(gram[i, j])
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    }


def alignment(rows: Float[Tensor, "terms parameters"]) -> float:
    """2 |(1/K) Σ_k g_k/|g_k||² − 1: the cosine of two gradients, and its like for more of them.

    1 where all point the same way, −1 where they cancel.

    Source: S. Wang et al., "Gradient Alignment in Physics-informed Neural Networks" (2025).
    """
    return float(2 * units(rows).mean(0).square().sum() - 1)


def units(rows: Float[Tensor, "terms parameters"]) -> Float[Tensor, "terms parameters"]:
    """g_k/|g_k|, 0 for a gradient that vanishes."""
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(finfo(rows.dtype).tiny)

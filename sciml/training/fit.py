"""The one training loop: `(model, objective, balancer, phases)` and nothing about physics.

step    = Step(objective, model, batch, index)     lazy: terms, gradient rows, residual rows
weights = balancer(step)                            or a Direction
.grad   = Σ_k w_k g_k                               from the rows where they exist
optimizer.step()                                    one optimiser step = one training step
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sciml.contracts import Balancer, Data, Direction, Diverged, Metric, Objective, Phase, Weights
from sciml.training.means import Means
from sciml.training.phases import Stretch, batches_before, lay_out, stretch_at, trained
from sciml.training.step import Step, unflatten


class Fit(pl.LightningModule):
    """Trains a model on the terms of an objective, phase by phase; final.

    Args:
        model: any `nn.Module`.
        objective: turns `(model, batch)` into loss terms.
        balancer: turns a `Step` into weights or a direction.
        phases: name → `Phase`, in order.
        data: batches by step.
        metric: what validation reports beside the held-out terms; None where no truth is known.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        balancer: Balancer,
        phases: Mapping[str, Phase],
        data: Data,
        metric: Metric | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.objective, self.balancer = model, objective, balancer
        self.average: nn.Module | None = None
        self.data, self.metric = data, metric
        self.stretches = lay_out(phases)
        self.watched: set[int] = set()
        self.latest: Step | None = None
        self.latest_weights: Weights | Direction = {}
        self.validation: dict[str, float] = {}
        self._stretch: Stretch | None = None
        self._parameters_trained: dict[str, nn.Parameter] = {}
        self._gradient_sum: Tensor | None = None
        self._micro = 0
        self._means = Means()

    # ---- phases ---------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases."""
        return self.stretches[-1].end

    @property
    def evaluated(self) -> nn.Module:
        """The weights to be judged: the running average where one is kept, else the model."""
        if self.average is not None and self.average.n_averaged > 0:
            return self.average.module
        return self.model

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optimizers = []
        for stretch in self.stretches:
            optimizer = stretch.phase.optimizer(trained(self.model, stretch).values())
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
            optimizers.append(optimizer)
        return optimizers

    def enter(self, stretch: Stretch) -> None:
        """Begin a phase: precision, trained parameters, settings of objective and data."""
        self._stretch = stretch
        self.cast(stretch.dtype)
        self._parameters_trained = trained(self.model, stretch)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self._parameters_trained)
        for part in (self.objective, self.data):
            if hasattr(part, "configure"):
                part.configure(**stretch.phase.settings)

    def cast(self, dtype: torch.dtype) -> None:
        """Bring model, objective and average to `dtype`, in place."""
        for part in (self.model, self.objective, self.average):
            if isinstance(part, nn.Module):
                part.to(dtype=dtype)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.cast(stretch_at(self.stretches, checkpoint["global_step"]).dtype)
        self.data.load_state_dict(checkpoint.get("data", {}))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["data"] = self.data.state_dict()

    # ---- batches --------------------------------------------------------------------------------

    def train_dataloader(self) -> Any:
        start = batches_before(self.stretches, self.trainer.global_step)
        return Batches(self.data.train_dataloader(start, self.global_rank, self.trainer.world_size))

    def val_dataloader(self) -> Any:
        return Batches(self.data.val_dataloader())

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return batch  # moved by the step, which knows the precision of its phase

    # ---- one step -------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_index: int) -> None:
        index = self.trainer.global_step
        stretch = stretch_at(self.stretches, index)
        if stretch is not self._stretch:
            self.enter(stretch)
        step = Step(
            self.objective, self.model, batch.to(self.device, stretch.dtype), index, self._parameters_trained,
            self.mean_over_ranks, self._autocast,
        )  # fmt: skip
        refuse_nonfinite(step)
        if self._gradient_sum is None:
            self.latest_weights = self.balancer(step)
        gradient = self._gradient_of(step)
        if index in self.watched:
            step.rows()  # after the gradient: watching must not change a single bit of the run
        self.latest = step
        gradient = self._accumulated(gradient, stretch.phase.accumulate)
        if gradient is not None:
            self._take(step, gradient)

    def _accumulated(self, gradient: Tensor, batches: int) -> Tensor | None:
        """The mean gradient of `batches` batches; None until the last of them has come."""
        if batches == 1:
            return gradient
        self._micro += 1
        share = gradient / batches
        self._gradient_sum = share if self._gradient_sum is None else self._gradient_sum + share
        if self._micro < batches:
            return None
        gradient, self._gradient_sum, self._micro = self._gradient_sum, None, 0
        return gradient

    def _gradient_of(self, step: Step) -> Tensor:
        answer = self.latest_weights
        return answer.gradient if isinstance(answer, Direction) else step.gradient(answer)

    def _take(self, step: Step, gradient: Tensor) -> None:
        stretch = self._stretch
        optimizers = self.optimizers()
        optimizer = optimizers[stretch.number] if isinstance(optimizers, list) else optimizers
        if stretch.phase.schedule is not None:
            factor = stretch.phase.schedule(step.index - stretch.first)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        self._write(gradient)
        optimizer.step(closure=self._closure(step))

    def _write(self, gradient: Tensor) -> None:
        """Write a gradient row `[P]` into `.grad`, clipped to the phase's largest norm."""
        for name, piece in unflatten(gradient, self._parameters_trained).items():
            self._parameters_trained[name].grad = piece
        if self._stretch.phase.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters_trained.values(), self._stretch.phase.clip)

    def _closure(self, step: Step) -> Callable[[], Tensor]:
        """For optimisers that evaluate more than once: the first call is the gradient already written."""
        weights, calls = self.latest_weights, iter(range(10**9))

        def closure() -> Tensor:
            if isinstance(weights, Direction) or next(calls) == 0:
                return (
                    sum(step.losses.values())
                    if isinstance(weights, Direction)
                    else total(step, weights)
                )
            again = Step(
                step.objective, step.model, step.batch, step.index, step.parameters,
                self.mean_over_ranks, self._autocast,
            )  # fmt: skip
            self._write(again.gradient(weights))
            return total(again, weights)

        return closure

    def mean_over_ranks(self, tensor: Tensor) -> Tensor:
        """Mean of `tensor` over all ranks; the tensor itself on one process."""
        if self.trainer.world_size == 1:
            return tensor
        return self.sum_over_ranks(tensor) / self.trainer.world_size

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        """Sum of `tensor` over all ranks."""
        if self.trainer.world_size == 1:
            return tensor
        tensor = tensor.contiguous()
        dist.all_reduce(tensor)
        return tensor

    def _autocast(self) -> AbstractContextManager:
        if self._stretch is not None and self._stretch.phase.precision == "bf16-mixed":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    # ---- validation -----------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self._means = Means()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        batch = batch.to(self.device, next(self.model.parameters()).dtype)
        self._means.add(validation_statistics(self.evaluated, self.objective, self.metric, batch))

    def on_validation_epoch_end(self) -> None:
        self.validation = validation_values(self._means, self.metric, self.sum_over_ranks)


class Batches:
    """An iterable of batches that Lightning takes for one loader (a list would be several)."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def validation_statistics(
    model: nn.Module, objective: Objective, metric: Metric | None, batch: Any
) -> dict[str, tuple[Tensor, Tensor]]:
    """Sums and weights of one held-out batch: its terms (`held_out/…`) and the metric's statistics."""
    with torch.enable_grad():
        terms = objective(model, batch)
        one = torch.ones(())
        statistics = {f"held_out/{name}": (term.detach(), one) for name, term in terms.items()}
        if metric is not None:
            statistics |= metric.statistics(model, batch)
    return statistics


def validation_values(
    means: Means, metric: Metric | None, add_over_ranks: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """The held-out terms, their sum `held_out`, and the metric's values."""
    values = means.value(add_over_ranks)
    held_out = {name: value for name, value in values.items() if name.startswith("held_out/")}
    found = {} if metric is None else metric.value(values)
    return {"held_out": sum(held_out.values()), **held_out, **found}


def refuse_nonfinite(step: Step) -> None:
    """Raise `Diverged` naming the first term that is NaN or infinite."""
    losses = step.losses
    if torch.isfinite(torch.stack(list(losses.values()))).all():
        return
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise Diverged(f"the loss term {name!r} became {float(value)} at step {step.index}")


def total(step: Step, weights: Weights) -> Tensor:
    """Σ w_k L_k averaged over ranks, detached."""
    return sum(weights[name] * loss for name, loss in step.losses.items())

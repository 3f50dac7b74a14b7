"""The one training loop: `(model, objective, balancer, phases)` and nothing about physics.

step    = Step(objective, model, batches, index)   lazy: terms, gradient rows, residual rows
weights = balancer(step)                           or a Direction
.grad   = Σ_k w_k g_k                              from the rows where they exist
optimizer.step()                                   one optimiser step = one training step
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sciml.contracts import (
    Balancer,
    Data,
    Direction,
    Metric,
    Objective,
    Phase,
    Placed,
    UserError,
    Weighing,
    Weights,
)
from sciml.training import descent, ranks, refusals, sharded, validation
from sciml.training.batches import Drawn, dealt, several
from sciml.training.means import Means
from sciml.training.phases import Stretch, batches_before, hand_over, lay_out, stretch_at, trained
from sciml.training.step import Step, needs_rows_every_step

#: Entries of the matrix of gradient rows up to which it is made only to be looked at (0.4-0.8 GB).
WATCHABLE = 10**8


@final
class Fit(pl.LightningModule):
    """Trains a model on the terms of an objective, phase by phase; final.

    Args:
        model: any `nn.Module`.
        objective: turns `(model, batch)` into loss terms.
        balancer: turns a `Step` into weights or a direction.
        phases: name → `Phase`, in order.
        data: batches by step.
        metric: what validation reports beside the held-out terms; None where no truth is known.

    For callbacks: `stretch`, `optimizer`, `latest` (the step last taken), `latest_weights` (the
    balancer's answer to it), `validation` (the values last found), `watchers`.
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
        self.stretch: Stretch | None = None
        self.in_pieces = False
        self.seed = torch.initial_seed()
        self.watchers: list[Callable[[int], bool]] = []
        self.latest: Step | None = None
        self.latest_weights: Weights | Direction = {}
        self.validation: dict[str, float] = {}
        self._parameters_trained: dict[str, nn.Parameter] = {}
        self._terms: tuple[str, ...] = ()
        self._batches: Iterator[Any] = iter(())
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

    @property
    def optimizer(self) -> Any:
        """The optimiser of this phase, as Lightning wraps it."""
        optimizers = self.optimizers()
        return optimizers[self.stretch.number] if isinstance(optimizers, list) else optimizers

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optimizers = []
        for stretch in self.stretches:
            optimizer = stretch.phase.optimizer(trained(self.model, stretch).values())
            refusals.require_match(optimizer, stretch, [self.objective], self.trainer.world_size)
            refusals.require_one_batch(stretch, (self.objective, self.data))
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
            optimizers.append(optimizer)
        return optimizers

    def enter(self, stretch: Stretch, index: int) -> None:
        """Begin a phase, or go on in it at step `index`: precision, parameters, settings, data."""
        self.stretch, self._terms = stretch, ()
        for finished in self.trainer.optimizers[: stretch.number]:
            finished.state.clear()  # an inverse Hessian is not carried through the phases after it
        self.cast(stretch.dtype)
        self._parameters_trained = trained(self.model, stretch)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self._parameters_trained)
            parameter.grad = None
        hand_over(stretch.phase.settings, (self.objective, self.data), stretch.name)
        start = batches_before(self.stretches, index)
        world = self.trainer.world_size
        self._batches = iter(self.data.train_dataloader(start, self.global_rank, world))

    def cast(self, dtype: torch.dtype) -> None:
        """Bring model, objective and average to `dtype`, in place."""
        for part in (self.model, self.objective, self.average):
            if isinstance(part, nn.Module) and not sharded.is_sharded(part):
                part.to(dtype=dtype)

    def configure_model(self) -> None:
        """Cuts the parameters over the ranks, where that is the strategy."""
        self.in_pieces = isinstance(self.trainer.strategy, sharded.Sharded)
        if self.in_pieces:
            self.cast(self.stretches[0].dtype)  # which is that of all phases
            average = [] if self.average is None else [self.average.module]
            for module in (self.model, *average):
                sharded.shard(module, self.trainer.strategy.device_mesh["data_parallel"])

    # ---- checkpoints ----------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["data"] = self.data.state_dict()
        checkpoint["seed"] = self.seed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.cast(stretch_at(self.stretches, checkpoint["global_step"]).dtype)
        self.data.load_state_dict(checkpoint.get("data", {}))
        self.seed = checkpoint.get("seed", self.seed)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **keys: Any) -> Any:
        """As ever, but a balancer or average that is not the checkpoint's is the user's mistake."""
        try:
            return super().load_state_dict(state_dict, *args, **keys)
        except RuntimeError as error:
            reason = " ".join(str(error).split()).removeprefix("Error(s) in loading state_dict for")
            raise UserError(
                f"the checkpoint is of another balancer, objective or average:{reason[:200]}; "
                "use the run's own config.yaml"
            ) from error

    # ---- batches --------------------------------------------------------------------------------

    def train_dataloader(self) -> "Drawn":
        """Lightning only counts; a step draws its own batches, after its phase has begun."""
        return Drawn(itertools.count)

    def val_dataloader(self) -> "Drawn":
        """This rank's share of the batches, each with whether it counts."""
        place = self.global_rank, self.trainer.world_size
        return Drawn(lambda: dealt(self.data.val_dataloader(), *place, self.in_pieces))

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return batch  # moved by the step, which knows the precision of its phase

    def _draw(self, index: int) -> list[Any]:
        """The batches of step `index`."""
        self.data.refresh(self.model, self.objective, index)
        stretch = self.stretch
        batches = several(self._batches, stretch.phase.accumulate, index)
        batches = [batch.to(self.device, stretch.dtype) for batch in batches]
        if isinstance(self.objective, Weighing):
            return self.objective.weigh(self.model, batches, self.sum_over_ranks)
        return batches

    def _place(self, batches: Sequence[Any]) -> None:
        """Lets parts of the model with frozen features choose them, before a phase's first step."""
        for module in list(self.model.modules()):
            if isinstance(module, Placed):
                module.place(self.model, self.objective, batches, self.mean_over_ranks)

    # ---- one step -------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_index: int) -> None:
        index = self.trainer.global_step
        stretch = stretch_at(self.stretches, index)
        if stretch is not self.stretch:
            self.enter(stretch, index)
        self.latest = None  # frees the rows of the last step before this one makes its own
        batches = self._draw(index)
        if index == stretch.first:
            self._place(batches)
        step = Step(
            self.objective, self.model, batches, index, self._parameters_trained,
            self.mean_over_ranks, lambda number: self._forward(index, number),
            together=needs_rows_every_step(self.balancer),
        )  # fmt: skip
        self._set_rate(index)
        answer = self._take(step)
        self._terms = refusals.require_same_terms(self._terms, step, self.stretch)
        self.latest, self.latest_weights = step, answer
        step.release()

    def _is_watched(self, index: int) -> bool:
        """True where a callback wants the rows of this step, and they are affordable."""
        if self.in_pieces or not any(wants(index) for wants in self.watchers):
            return False
        entries = sum(parameter.numel() for parameter in self._parameters_trained.values())
        return entries * len(self.objective.terms) <= WATCHABLE

    def _set_rate(self, index: int) -> None:
        schedule = self.stretch.phase.schedule
        if schedule is not None:
            factor = schedule(index - self.stretch.first)
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def _take(self, step: Step) -> Weights | Direction:
        """One optimiser step; returns the balancer's answer."""
        if self._asks_for_step:
            return self._take_step(step)
        if self.in_pieces:
            clip = self.stretch.phase.clip
            answer = self.balancer(step)
            descent.in_pieces(step, answer, self._parameters_trained, clip, self.optimizer)
            return answer
        return self._take_gradient(step)

    def _take_gradient(self, step: Step) -> Weights | Direction:
        """A step along a gradient; returns the balancer's answer."""
        parameters, clip = self._parameters_trained, self.stretch.phase.clip
        answer = self.balancer(step)
        watched = self._is_watched(step.index)
        if isinstance(answer, Direction):
            gradient = answer.gradient
        else:
            gradient = step.gradient(answer, last=not watched)
        refusals.refuse_nonfinite(step, gradient)
        if watched:
            step.rows()  # after the gradient: watching must not change a single bit of the run
        descent.write(gradient, parameters, clip)
        self.optimizer.step(closure=descent.closure(step, answer, parameters, clip))
        return answer

    def _take_step(self, step: Step) -> Weights:
        """A step that the optimiser asks itself, for residual rows or losses alone; the weights."""
        self.optimizer.optimizer.look(step)  # so that terms and gradient rows cost nothing more
        answer = self.balancer(step)
        refusals.require_weights(answer)
        if self._is_watched(step.index) and step.has_jacobian:
            step.rows()
        self.optimizer.step(step=step, weights=answer)
        return answer

    @property
    def _asks_for_step(self) -> bool:
        asks = ("asks_for_residuals", "asks_for_losses")
        return any(getattr(self.optimizer, kind, False) for kind in asks)

    @contextmanager
    def _forward(self, index: int, number: int) -> Iterator[None]:
        """Context of a forward pass: what is random in it depends on (seed, step, batch, rank)."""
        place = (index * self.stretch.phase.accumulate + number) * self.trainer.world_size
        seed = (self.seed + 0x9E3779B97F4A7C15 * (place + self.global_rank)) % 2**63
        torch.default_generator.manual_seed(seed)  # torch.manual_seed costs half a millisecond
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        mixed = self.stretch.phase.precision == "bf16-mixed"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            yield

    # ---- ranks ----------------------------------------------------------------------------------

    def mean_over_ranks(self, tensor: Tensor) -> Tensor:
        """Mean of `tensor` over all ranks; the tensor itself on one process."""
        return ranks.mean(tensor, self.trainer.world_size, self.device)

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        """Sum of `tensor` over all ranks, on this module's device."""
        return ranks.total(tensor, self.trainer.world_size, self.device)

    # ---- validation -----------------------------------------------------------------------------

    def held_out_batches(self) -> Iterator[Any]:
        """The validation batches in this phase's precision."""
        for batch in self.data.val_dataloader():
            yield batch.to(self.device, next(self.model.parameters()).dtype)

    def on_validation_epoch_start(self) -> None:
        self._means = Means()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        batch, counts = batch
        batch = batch.to(self.device, next(self.model.parameters()).dtype)
        found = validation.statistics(self.evaluated, self.objective, self.metric, batch)
        if counts:
            self._means.add(found)

    def on_validation_epoch_end(self) -> None:
        self.validation = validation.values(
            self._means, self.metric, self.sum_over_ranks,
            lambda names: ranks.names(names, self.trainer.world_size),
        )  # fmt: skip

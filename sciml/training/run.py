"""One training run in a run folder: resume, train, hand the weights over; or restore them."""

import copy
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from torch import nn

from sciml import atomic
from sciml.contracts import Balancer, Diverged, Phase, System, UserError
from sciml.training import checkpoint, sharded, validation
from sciml.training.callbacks import Save
from sciml.training.fit import Fit
from sciml.training.gradients import GradientHistograms
from sciml.training.history import History
from sciml.training.interruption import Interruption
from sciml.training.means import Means
from sciml.training.phases import hand_over, stretch_at
from sciml.training.progress import Progress

#: Which signal came (0 for none), and a function that sets the handlers.
Signals = tuple[Callable[[], int], Callable[[], None]]


@final
@dataclass(frozen=True)
class Settings:
    """Where and how a run is carried out; nothing here changes what is computed.

    Args:
        accelerator: "cpu", "gpu" or "auto".
        devices: processes on this node.
        nodes: nodes.
        strategy: "auto" (one device, or DDP on several), "ddp", or "fsdp": every rank holds a piece
            of each parameter, for models that do not fit on one device.
        threads: torch threads per process.
        save_every: steps between checkpoints.
        validate_every: steps between validations.
        log_every: steps between rows of `history.csv`.
        callbacks: further Lightning callbacks (weight averaging …).
    """

    accelerator: str = "cpu"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    threads: int = 1
    save_every: int = 1000
    validate_every: int = 1000
    log_every: int = 100
    callbacks: Sequence[pl.Callback] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        for name in ("devices", "nodes", "threads", "save_every", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"expected {name} >= 1, got {getattr(self, name)}")
        if self.accelerator not in ("cpu", "gpu", "auto"):
            raise UserError(
                f"expected accelerator to be cpu, gpu or auto, got {self.accelerator!r}"
            )
        if self.strategy not in ("auto", "ddp", "fsdp"):
            raise UserError(f"expected strategy to be auto, ddp or fsdp, got {self.strategy!r}")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise UserError("expected a GPU, none is visible; use trainer=cpu")


@final
@dataclass(frozen=True)
class Outcome:
    """What a run leaves: the weights to be judged, what it cost, where it went on.

    Under FSDP rank 0 alone has the trained weights; the others' model is that of the start.
    """

    model: nn.Module
    steps: int
    cpu_s: float
    wall_s: float
    resumed_from: int


def train(
    system: System,
    balancer: Balancer,
    phases: Mapping[str, Phase],
    settings: Settings,
    run: Path,
    signals: Signals | None = None,
) -> Outcome:
    """Train in the run folder `run`, going on from its newest checkpoint where there is one.

    Args:
        signals: of the end of a job: which came (0 for none), and how their handlers are set.

    Raises:
        UserError: the folder's checkpoints are of another network, or none of them loads.
        Diverged: a term, gradient or weight became NaN or infinite; names the last good checkpoint.
        Interrupted: a signal came; the step it came in is saved.
    """
    if not phases:  # a simulation of which nothing is unknown
        return Outcome(system.model.eval(), 0, 0.0, 0.0, 0)
    quiet()
    fit = Fit(system.model, system.objective, balancer, phases, system.data, system.metric)
    folder = run / "checkpoints"
    for written in (run, folder):
        atomic.remove_stale(written)
    found = checkpoint.newest(folder)
    start = 0
    if found is not None:
        content = checkpoint.load(found)
        checkpoint.require_same_network(content, fit, found)
        start = content["global_step"]
    plain = copy.deepcopy(system.model) if settings.strategy == "fsdp" else None
    history = History(run / "history.csv", settings.log_every)
    trainer = make_trainer(fit, settings, run, history, signals)
    if trainer.is_global_zero:
        say(going_on(start, fit.steps))
    try:
        with atomic.held(run, _patience()) if trainer.is_global_zero else nullcontext():
            trainer.fit(fit, ckpt_path=found, weights_only=True)
    except Diverged as error:
        kept = checkpoint.newest(folder)
        where = (
            f"the last good checkpoint is {kept}" if kept else "no checkpoint had been saved yet"
        )
        raise Diverged(f"{error}; {where}") from error
    if trainer.is_global_zero:
        say(history.growth())
    clock = history.clock
    return Outcome(_judged(fit, plain), trainer.global_step, clock.cpu_s, clock.wall_s, start)


def _judged(fit: Fit, plain: nn.Module | None) -> nn.Module:
    """The weights to be judged; put together from pieces on rank 0, where they are cut."""
    if plain is None:
        return fit.evaluated.eval()
    dtype = next(fit.model.parameters()).dtype
    state = sharded.whole(fit.evaluated.state_dict(), fit.global_rank == 0)
    if fit.global_rank == 0:
        plain.to(dtype=dtype).load_state_dict(state)
    return plain.eval()


def going_on(start: int, steps: int) -> str:
    """What a run that is started again is told; nothing at a first start."""
    if start >= steps:
        return f"already finished after {steps} steps: nothing is trained"
    return f"going on from step {start} of {steps}" if start else ""


def say(text: str) -> None:
    """A line to the user, beside the progress."""
    if text:
        print(text, file=sys.stderr)


def make_trainer(
    fit: Fit, settings: Settings, run: Path, history: History, signals: Signals | None = None
) -> pl.Trainer:
    """Lightning's trainer with everything of its own that we do better switched off."""
    save = Save(run / "checkpoints", settings.save_every)
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=_strategy(settings),
        max_steps=fit.steps,
        val_check_interval=settings.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[
            *settings.callbacks,
            GradientHistograms(run / "gradients.npz"),
            history,
            Progress(),
            save,
            *([Interruption(*signals, save)] if signals else []),
        ],
        plugins=[checkpoint.AtomicCheckpointIO(), *_placement()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        use_distributed_sampler=False,
        default_root_dir=run,
    )


def _strategy(settings: Settings) -> Any:
    if settings.strategy == "fsdp":
        return sharded.Sharded(settings.devices * settings.nodes)
    return settings.strategy


def _patience() -> float:
    """Seconds to wait for the lock: that of a lost node lives on for a while after a requeue."""
    return 120.0 if "SLURM_RESTART_COUNT" in os.environ else 0.0


def _placement() -> list[SLURMEnvironment]:
    """Where srun has placed this process; requeueing is the job script's business."""
    placed = "SLURM_STEP_NUM_TASKS" in os.environ and SLURMEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if placed else []


def restore(
    system: System, balancer: Balancer, phases: Mapping[str, Phase], run: Path
) -> nn.Module:
    """The trained weights of a run folder, from its newest checkpoint.

    Raises:
        UserError: there is no checkpoint, it does not load, or it is of another network.
    """
    if not phases:
        return system.model.eval()
    found = checkpoint.newest(run / "checkpoints")
    if found is None:
        raise UserError(f"{run} holds no checkpoint; train first: sciml run CASE run_dir={run}")
    content = checkpoint.load(found)
    fit = Fit(system.model, system.objective, balancer, phases, system.data, system.metric)
    checkpoint.require_same_network(content, fit, found)
    fit.on_load_checkpoint(content)
    at = stretch_at(fit.stretches, content["global_step"])
    hand_over(at.phase.settings, (fit.objective, fit.data), at.name)
    state = content["state_dict"]
    averaged = int(state.get("average.n_averaged", 0)) > 0  # as `Fit.evaluated`
    prefix = "average.module." if averaged else "model."
    fit.model.load_state_dict(
        {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    )
    return fit.model.eval()


def measure(system: System, model: nn.Module) -> dict[str, float]:
    """Held-out terms and the metric's values of a model, in its own precision, on one process.

    Where a system has batches for the test, the metric is of these alone.
    """
    if not system.objective.terms:
        return {}
    parameter = next(model.parameters())
    model.eval()
    system.objective.eval()
    means = Means()
    metric = None if system.tested else system.metric
    for batch in system.data.val_dataloader():
        moved = batch.to(parameter.device, parameter.dtype)
        means.add(validation.statistics(model, system.objective, metric, moved))
    for batch in system.tested() if system.tested and system.metric else ():
        means.add(system.metric.statistics(model, batch.to(parameter.device, parameter.dtype)))
    return validation.values(means, system.metric, lambda tensor: tensor)


def quiet() -> None:
    """Silence Lightning's advertisements and warnings that do not apply to step-addressed data."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*weights_only.*",
        ".*isn't resumable.*",
        ".*mid-epoch.*",
        ".*LeafSpec.*",
        ".*`srun` command is available.*",  # on a login node one process is meant
    ):
        warnings.filterwarnings("ignore", message=text)

"""What training refuses: parts that do not go together, each in one line."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.contracts import Direction, Diverged, Phase, Residuals, Step, UserError, Weights
from sciml.training.phases import Stretch, lay_out
from sciml.training.vectors import unflatten


def require_matches(phases: Mapping[str, Phase], objectives: Sequence[Any], processes: int) -> None:
    """Has every optimiser, made for one number, refuse its settings and the other parts: not when
    its phase begins, and before other processes are started.

    Args:
        objectives: that it will have, or their classes, where a system names them before it makes
            its data.
    """
    for stretch in lay_out(phases):
        try:
            optimizer = stretch.phase.optimizer([torch.nn.Parameter(torch.zeros(1))])
        except (TypeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise UserError(f"phases.{stretch.name}.optimizer: {said}") from error
        require_match(optimizer, stretch, objectives, processes)


def require_match(
    optimizer: torch.optim.Optimizer, stretch: Stretch, objectives: Iterable[Any], processes: int
) -> None:
    """Refuses an optimiser that a phase cannot have, before the first phase begins."""
    require_precision(optimizer, stretch)
    require_one_process(optimizer, stretch, processes)
    if getattr(optimizer, "asks_for_residuals", False):
        for objective in objectives:
            require_residuals(objective)
    if any(getattr(optimizer, f"asks_for_{what}", False) for what in ("residuals", "losses")):
        require_no_clip(stretch)


def require_sharding(objectives: Iterable[Any], balancer: Any, phases: Mapping[str, Phase]) -> None:
    """Refuses what needs whole gradients or parameters, where each rank has a piece of them.

    A layer is whole in its own forward and backward pass only: derivatives by the inputs of a
    network, whose backward pass reaches into the forward one, find nothing there.
    """
    for objective in objectives:
        kind = objective if isinstance(objective, type) else type(objective)
        if issubclass(kind, Residuals):
            raise UserError(
                "trainer.strategy: expected auto or ddp, as residuals need whole parameters and "
                f"{kind.__name__} is made of them, got fsdp; set trainer.strategy=auto"
            )
    if getattr(balancer, "needs", "") != "losses":
        raise UserError(
            "balancer: expected a rule of losses with trainer.strategy=fsdp, which has gradients "
            f"in pieces, got {type(balancer).__name__}; set balancer=fixed, relobralo, softadapt, "
            "dwa or uncertainty, or trainer.strategy=ddp"
        )
    if len({phase.precision == "float64" for phase in phases.values()}) > 1:
        raise UserError(
            "phases: expected parameters of one precision with trainer.strategy=fsdp, got float64 "
            "and float32; set all phases.*.precision alike"
        )
    for name, phase in phases.items():
        if tuple(phase.trainable) != ("*",):
            raise UserError(
                f"phases.{name}.trainable: expected all parameters with trainer.strategy=fsdp, got "
                f"{list(phase.trainable)}; set trainer.strategy=ddp"
            )
        optimizer = phase.optimizer([torch.nn.Parameter(torch.zeros(1))])
        if not type(optimizer).__module__.startswith("torch.optim."):
            raise UserError(
                f"phases.{name}.optimizer: expected one that takes entries one by one with "
                f"trainer.strategy=fsdp, got {type(optimizer).__name__}; set optimizer=adam or "
                "adamw, or trainer.strategy=ddp"
            )


def require_precision(optimizer: torch.optim.Optimizer, stretch: Stretch) -> None:
    """Refuses single precision for optimisers that need curvature (`needs_double`)."""
    if getattr(optimizer, "needs_double", False) and stretch.dtype != torch.float64:
        raise UserError(
            f"phases.{stretch.name}.precision: expected float64 for {type(optimizer).__name__}, "
            f"got {stretch.phase.precision}; set phases.{stretch.name}.precision=float64"
        )


def require_one_process(optimizer: torch.optim.Optimizer, stretch: Stretch, processes: int) -> None:
    """Refuses several ranks for optimisers that see one process's rows, or line search on them."""
    residuals = getattr(optimizer, "asks_for_residuals", False)
    alone = residuals or getattr(optimizer, "single_process", False)
    if alone and processes > 1:
        raise UserError(
            f"phases.{stretch.name}.optimizer: expected one process, got {processes}; "
            "set trainer.devices=1, or choose adam or soap"
        )


def require_one_batch(stretch: Stretch, parts: Iterable[Any]) -> None:
    """Refuses several batches a step where a part says why it needs one (`one_batch_a_step`)."""
    for part in parts:
        reason = getattr(part, "one_batch_a_step", None)
        if stretch.phase.accumulate > 1 and reason is not None:
            raise UserError(
                f"phases.{stretch.name}.accumulate: expected 1, got {stretch.phase.accumulate}; "
                f"{reason}"
            )


def require_no_clip(stretch: Stretch) -> None:
    """Refuses clipped gradients where none is taken."""
    if stretch.phase.clip is not None:
        raise UserError(
            f"phases.{stretch.name}: expected clip=null with an optimiser that is given no "
            f"gradient, got {stretch.phase.clip}"
        )


def require_same_terms(before: tuple[str, ...], step: Step, stretch: Stretch) -> tuple[str, ...]:
    """Refuses terms that come or go within a phase: weights and history are kept by name."""
    terms = tuple(step.losses)
    if before and terms != before:
        raise UserError(
            f"phases.{stretch.name}: expected the loss terms {before} throughout, got {terms} at "
            f"step {step.index}; begin a new phase where terms change"
        )
    return terms


def require_weights(answer: Weights | Direction) -> None:
    """Refuses what residual rows cannot be scaled by: a direction, weights with no root."""
    if isinstance(answer, Direction):
        raise UserError(
            "balancer: this optimiser needs weights, got a rule that answers with a direction; "
            "set balancer=fixed or balancer=ntk"
        )
    for name, weight in answer.items():
        if weight < 0:
            raise UserError(
                f"balancer: least squares needs weights >= 0, got {float(weight):.3g} for "
                f"{name!r}; set balancer=fixed or balancer=ntk"
            )


def require_residuals(objective: Any) -> None:
    """Refuses an objective without residuals, or its class."""
    kind = objective if isinstance(objective, type) else type(objective)
    if not issubclass(kind, Residuals):
        raise UserError(
            "this optimiser or balancer needs residual rows and the objective "
            f"{kind.__name__} has none; choose one that needs terms only"
        )


def refuse_nonfinite_norm(step: Step, norm: Tensor) -> None:
    """Refuse a step whose terms or whole gradient are NaN or infinite.

    Raises:
        Diverged: names the first term that is not finite.
    """
    for name, value in step.losses.items():
        if not torch.isfinite(value):
            raise Diverged(f"the loss term {name!r} became {float(value)} at step {step.index}")
    if not torch.isfinite(norm):
        raise Diverged(
            f"the gradient became NaN or infinite at step {step.index}, though every loss term is "
            "finite"
        )


def refuse_nonfinite(step: Step, gradient: Tensor, names: Collection[str] | None = None) -> None:
    """Refuse a step whose terms or gradient (row or rows) are NaN or infinite.

    Args:
        names: of the parameters that the gradient has columns of; all where None.

    Raises:
        Diverged: names the first term that is not finite; otherwise the first parameter.
    """
    values = torch.stack(tuple(step.losses.values()))
    if torch.isfinite(values).all() & torch.isfinite(gradient).all():
        return
    for name, value in step.losses.items():
        if not torch.isfinite(value):
            raise Diverged(f"the loss term {name!r} became {float(value)} at step {step.index}")
    row = gradient if gradient.ndim == 1 else gradient.sum(0)
    looked_at = {k: v for k, v in step.parameters.items() if names is None or k in names}
    for name, piece in unflatten(row, looked_at).items():
        if not torch.isfinite(piece).all():
            raise Diverged(
                f"the gradient by {name!r} became NaN or infinite at step {step.index}, "
                "though every loss term is finite"
            )

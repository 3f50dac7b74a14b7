"""Phases laid end to end: which one a step belongs to, and which parameters it trains."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, final

import torch
from torch import nn

from sciml.contracts import Phase, UserError


@final
@dataclass(frozen=True)
class Stretch:
    """A phase with its place: optimiser steps [first, end), batches counted from `first_batch`."""

    name: str
    number: int
    phase: Phase
    first: int
    end: int
    first_batch: int

    @property
    def dtype(self) -> torch.dtype:
        """dtype of the parameters; bf16 keeps float32 parameters and computes in bf16."""
        return torch.float64 if self.phase.precision == "float64" else torch.float32


def lay_out(phases: Mapping[str, Phase]) -> tuple[Stretch, ...]:
    """The phases one after another.

    Raises:
        UserError: there is none.
    """
    if not phases:
        raise UserError("phases: expected at least one phase, got none")
    stretches, step, batch = [], 0, 0
    for number, (name, phase) in enumerate(phases.items()):
        stretches.append(Stretch(name, number, phase, step, step + phase.steps, batch))
        step += phase.steps
        batch += phase.steps * phase.accumulate
    return tuple(stretches)


def stretch_at(stretches: tuple[Stretch, ...], step: int) -> Stretch:
    """The stretch that optimiser step `step` belongs to; the last one from its end on."""
    for stretch in stretches:
        if step < stretch.end:
            return stretch
    return stretches[-1]


def batches_before(stretches: tuple[Stretch, ...], step: int) -> int:
    """Batches consumed by the first `step` optimiser steps."""
    stretch = stretch_at(stretches, step)
    return stretch.first_batch + (step - stretch.first) * stretch.phase.accumulate


def trained(model: nn.Module, stretch: Stretch) -> dict[str, nn.Parameter]:
    """The parameters of `model` that match the phase's patterns, in the model's order.

    Raises:
        UserError: no parameter matches.
    """
    patterns = stretch.phase.trainable
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    if not chosen:
        names = ", ".join(name for name, _ in model.named_parameters())
        raise UserError(
            f"phases.{stretch.name}.trainable: {list(patterns)} matches no parameter; "
            f"there are {names}"
        )
    return chosen


def hand_over(settings: Mapping[str, Any], parts: Iterable[Any], phase: str) -> None:
    """Give a phase's settings to the parts whose `configure(key=…)` names them.

    Raises:
        UserError: a setting that no part takes.
    """
    taken: set[str] = set()
    for part in parts:
        if hasattr(part, "configure"):
            known = inspect.signature(part.configure).parameters
            own = {key: value for key, value in settings.items() if key in known}
            part.configure(**own)
            taken |= own.keys()
    left = [key for key in settings if key not in taken]
    if left:
        raise UserError(
            f"phases.{phase}.settings: neither the objective nor the data takes {', '.join(left)}"
        )

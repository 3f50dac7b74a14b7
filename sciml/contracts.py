"""The few words in which the rooms of `sciml` speak to one another. Reading this file is reading the architecture.

An `Objective` turns `(model, batch)` into `LossTerms`; a `Balancer` looks at the `Step` and answers
with weights or a direction; `training.fit.Fit` takes the step. Training knows no physics; physics
knows no training. A wing hands over everything it brings as one `System`.

This file imports the standard library only, so that the command line may read it for free.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    import xarray
    from torch import Tensor, nn

#: Named scalars: unweighted means, finite, differentiable; the names are constant within a phase.
LossTerms = dict[str, "Tensor"]

#: What a balancer answers: one detached scalar per term.
Weights = dict[str, "Tensor"]


class UserError(Exception):
    """A mistake of the user's: one line that says what was expected, what came, what to do (exit 2)."""

    exit_code = 2


class Diverged(Exception):
    """A loss term became NaN or infinite; the message names it and the last good checkpoint (exit 3)."""

    exit_code = 3


@dataclass(frozen=True)
class Direction:
    """A gradient instead of weights, for the few balancing rules that are not weights.

    Args:
        gradient: `[P]`, in the order of `Step.parameters`.
    """

    gradient: "Tensor"


class Objective(Protocol):
    """The only thing a system must supply to be trained: `(model, batch) -> LossTerms`.

    It is an `nn.Module`; its buffers (point weights, say) are in the checkpoint.
    """

    terms: tuple[str, ...]

    def __call__(self, model: "nn.Module", batch: Any) -> LossTerms: ...


@runtime_checkable
class Residuals(Protocol):
    """Optional on an objective: residual rows whose mean squares are the terms of the same names."""

    def residuals(self, model: "nn.Module", batch: Any) -> dict[str, "Tensor"]: ...


class Step(Protocol):
    """One optimisation step as a lazy question-and-answer; each answer is computed at most once.

    `terms` is local to this rank and differentiable; `losses` and `rows()` are averaged over ranks.
    `rows()` is the K×P matrix of gradients of the terms, in the order of `terms` and `parameters`.
    """

    index: int
    parameters: "dict[str, nn.Parameter]"

    @property
    def terms(self) -> LossTerms: ...

    @property
    def losses(self) -> LossTerms: ...

    def rows(self) -> "Tensor": ...

    def residuals(self) -> dict[str, "Tensor"]: ...

    def again(self, parameters: "dict[str, Tensor]") -> LossTerms: ...


class Balancer(Protocol):
    """An `nn.Module`: `(step) -> Weights | Direction`.

    At most one update per step; equal on every rank; state keyed by term name, in buffers, so that it
    resumes and survives a change of phase.
    """

    def __call__(self, step: Step) -> "Weights | Direction": ...


@dataclass(frozen=True)
class Phase:
    """One stretch of training; phases run one after another (Adam → LM, frozen → unfrozen, 1 → 7 steps).

    Args:
        steps: optimiser steps, > 0.
        optimizer: factory `(parameters) -> torch.optim.Optimizer`.
        schedule: factor on the learning rate by step within the phase; constant when None.
        trainable: patterns (`fnmatch`) of the names of the parameters trained in this phase.
        precision: "float32", "float64" or "bf16-mixed".
        clip: largest norm of the gradient; None leaves it alone.
        accumulate: batches whose gradients are averaged into one step, >= 1.
        settings: handed to objective and data at the start (rollout length, Rayleigh number …).
    """

    steps: int
    optimizer: "Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]"
    schedule: Callable[[int], float] | None = None
    trainable: tuple[str, ...] = ("*",)
    precision: str = "float32"
    clip: float | None = None
    accumulate: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steps <= 0:
            raise UserError(f"phase: expected steps > 0, got {self.steps}")
        if self.accumulate < 1:
            raise UserError(f"phase: expected accumulate >= 1, got {self.accumulate}")
        if self.clip is not None and self.clip <= 0:
            raise UserError(f"phase: expected clip > 0 or null, got {self.clip}")
        known = ("float32", "float64", "bf16-mixed")
        if self.precision not in known:
            raise UserError(f"phase: expected precision in {known}, got {self.precision!r}")


class Batch(Protocol):
    """The wing's own frozen dataclass; training only moves it."""

    def to(self, device: "torch.device", dtype: "torch.dtype") -> "Batch": ...


class Data(Protocol):
    """Batches addressed by step: the draw of step `n` depends on `(seed, n)` alone, so resume is exact.

    `rank` of `ranks` gets its share of the same global batch.
    """

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterable[Batch]: ...

    def val_dataloader(self) -> Iterable[Batch]: ...

    def refresh(self, model: "nn.Module", objective: Objective, step: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Metric(Protocol):
    """`statistics` add over batches and ranks; `value` is a function of their means: never an average of RMSEs."""

    def statistics(self, model: "nn.Module", batch: Any) -> "dict[str, tuple[Tensor, Tensor]]": ...

    def value(self, means: "Mapping[str, float]") -> dict[str, float]: ...


class Predictor(Protocol):
    """Datasets streamed along lead time or samples: names, units, coordinates, CF attributes, provenance."""

    def __call__(self, model: "nn.Module", request: Mapping[str, Any]) -> "Iterator[xarray.Dataset]": ...


class Figures(Protocol):
    """Draws the wing's figures of a finished run folder into `figures/` and returns `(path, caption)` pairs."""

    def __call__(self, run: Path) -> list[tuple[Path, str]]: ...


@dataclass(frozen=True)
class Surrogate:
    """What a wing hands to an exporter: a traceable module in physical units, a sample input and its description.

    Args:
        module: inputs and outputs are tensors in physical units.
        sample: example input `[n, …]`; the first axis is the batch and stays dynamic.
        inputs: name → {"units", "long_name", "range"} in column order.
        outputs: name → {"units", "long_name"} in column order.
        tolerance: largest absolute difference to the trained model that an export may show,
            relative to the largest magnitude of the output.
    """

    module: "nn.Module"
    sample: "Tensor"
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    tolerance: float = 1e-5


class Exporter(Protocol):
    """Writes a bundle after checking parity on the stored sample, else refuses; reads it back without `sciml`'s wings."""

    def export(self, surrogate: Surrogate, metadata: Mapping[str, Any], folder: Path) -> None: ...

    def load(self, folder: Path) -> "Callable[[Any], Any]": ...


@dataclass(frozen=True)
class System:
    """Everything a wing brings to the common spine, assembled from one config.

    Args:
        model: any `nn.Module`.
        objective: the loss terms.
        data: batches by step.
        metric: what the progress bar shows and `metrics.json` reports; None where no truth is known.
        predictor: turns the trained model into datasets (`result.nc`).
        figures: draws them.
        surrogate: `model -> Surrogate` for exporters; None where a system cannot be carried away.
    """

    model: "nn.Module"
    objective: Objective
    data: Data
    metric: Metric | None
    predictor: Predictor
    figures: Figures
    surrogate: "Callable[[nn.Module], Surrogate] | None" = None

"""The few words in which the rooms of `sciml` speak to one another: the architecture in one file.

An `Objective` turns `(model, batch)` into `LossTerms`; a `Balancer` looks at the `Step` and answers
with weights or a direction; `training.fit.Fit` takes the step. Training knows no physics; physics
knows no training. A wing hands over everything it brings as one `System`.

This file imports the standard library only, so that the command line may read it for free.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    """A mistake of the user's: one line: what was expected, what came, what to do (exit 2)."""

    exit_code = 2


class Diverged(Exception):
    """A term, gradient or weight became NaN or infinite; names it and the last good checkpoint.

    Exit code 3.
    """

    exit_code = 3


class Interrupted(Exception):
    """A signal ended the run in good order: its last step is saved, and it goes on from there.

    Exit code 75, which means: not now, try again.
    """

    exit_code = 75


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
    """Optional on an objective: residual rows whose mean squares are the terms of their names."""

    def residuals(self, model: "nn.Module", batch: Any) -> dict[str, "Tensor"]: ...


@runtime_checkable
class Signed(Protocol):
    """Optional on an objective with residuals: random signs v of the rows that ranks agree on.

    The mean over ranks of Jᵀ v / √n is then that of one process, for n rows of a term on a rank.
    """

    def signs(self, batch: Any, seed: int) -> "dict[str, Tensor]": ...


@runtime_checkable
class Placed(Protocol):
    """Optional on a part of a model: chooses its frozen features by the residual, once.

    Called before the first step of every phase, with its batches; what it has chosen is in its
    buffers.
    """

    def place(
        self,
        model: "nn.Module",
        objective: Objective,
        batches: "Sequence[Any]",
        average: "Callable[[Tensor], Tensor]",
    ) -> None: ...


@runtime_checkable
class Weighing(Protocol):
    """Optional on an objective: weights of points, renewed once per step, put into the batches.

    All state moves in this call, so that evaluating a step again changes nothing.
    """

    def weigh(
        self,
        model: "nn.Module",
        batches: "Sequence[Any]",
        add_over_ranks: "Callable[[Tensor], Tensor]",
    ) -> "list[Any]": ...


@runtime_checkable
class Linearised(Protocol):
    """Optional on an objective: residual rows with their Jacobian, faster than row by row.

    `parameters` by name may hold other values than the model's own; the answer is by term
    `(r [n], ∂r/∂θ [n, P])`, detached, columns in the order of `parameters`.
    """

    def linearised(
        self, model: "nn.Module", batch: Any, parameters: "Mapping[str, Tensor]"
    ) -> "dict[str, tuple[Tensor, Tensor]]": ...


@runtime_checkable
class GradientRows(Protocol):
    """Optional on an objective: all terms `[K]` and their gradients `[K, P]` in one call, detached.

    For rules that look at the gradients of the terms at every step.
    """

    def rows(
        self, model: "nn.Module", batch: Any, parameters: "Mapping[str, Tensor]"
    ) -> "tuple[Tensor, Tensor]": ...


class Step(Protocol):
    """One optimisation step as a lazy question-and-answer; each answer is computed at most once.

    `terms` and `residuals()` are local to this rank and differentiable; `losses` and `rows()` are
    averaged over ranks. `rows()` is the K×P matrix of gradients of the terms, in the order of
    `terms` and `parameters`. Where a step accumulates several batches, every answer is the mean
    over them; `losses` and `rows()` then hold the graph of one batch at a time, `terms` of all.
    `rows(within=names)` has the columns of those parameters alone (the last shared layer). Once
    somebody asked for `linearised()`, `has_jacobian` is true and rows and losses come from it.
    """

    index: int
    parameters: "Mapping[str, Tensor]"

    @property
    def terms(self) -> LossTerms: ...

    @property
    def losses(self) -> LossTerms: ...

    @property
    def has_jacobian(self) -> bool: ...

    def rows(self, within: "Collection[str] | None" = None) -> "Tensor": ...

    def average(self, tensor: "Tensor") -> "Tensor":
        """The mean over ranks, for what a rule finds of residuals itself."""
        ...

    def row(self, name: str, number: int) -> "Tensor":
        """The gradient of one term on batch `number` of the step alone."""
        ...

    def residuals(self) -> dict[str, "Tensor"]: ...

    def signs(self, seed: int) -> "dict[str, Tensor] | None":
        """Random signs of the residual rows that ranks agree on; None where nobody offers them."""
        ...

    def linearised(self) -> "dict[str, tuple[Tensor, Tensor]]":
        """Residual rows and their Jacobian by term, of this rank, detached."""
        ...

    def jacobian(self) -> dict[str, "Tensor"]: ...

    def again(self, parameters: "Mapping[str, Tensor]") -> "Step":
        """The same batches at other values of the trained parameters."""
        ...


class Balancer(Protocol):
    """An `nn.Module`: `(step) -> Weights | Direction`.

    At most one update per step; equal on every rank; state keyed by term name, in buffers, so that
    it resumes and survives a change of phase.
    """

    def __call__(self, step: Step) -> "Weights | Direction": ...


@dataclass(frozen=True)
class Phase:
    """One stretch of training; phases run one after another.

    Adam → L-BFGS, frozen → unfrozen, rollouts of 1 → 7 steps, a ladder of Rayleigh numbers.

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
            raise UserError(f"expected steps > 0, got {self.steps}")
        if isinstance(self.trainable, str):
            raise UserError(
                f"expected a list of patterns for trainable, got {self.trainable!r}; "
                f"write trainable=[{self.trainable!r}]"
            )
        if self.accumulate < 1:
            raise UserError(f"expected accumulate >= 1, got {self.accumulate}")
        if self.clip is not None and self.clip <= 0:
            raise UserError(f"expected clip > 0 or null, got {self.clip}")
        known = ("float32", "float64", "bf16-mixed")
        if self.precision not in known:
            raise UserError(f"expected precision in {known}, got {self.precision!r}")


class Batch(Protocol):
    """The wing's own frozen dataclass; training only moves it."""

    def to(self, device: "torch.device", dtype: "torch.dtype") -> "Batch": ...


class Data(Protocol):
    """Batches addressed by step: the draw of batch `n` depends on `(seed, n)`, so resume is exact.

    `train_dataloader` never ends; it begins with batch `start` and is asked for anew at the start
    of every phase, after `configure(**phase.settings)` where the data has that. `rank` of `ranks`
    gets its share of the same global batch; where shares differ in size, the batch has the terms
    count accordingly, so that their mean over ranks is that of the global batch. `refresh` comes
    before every step: where points follow the model (adaptive sampling), what it decides belongs
    into `state_dict`.
    """

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterable[Batch]: ...

    def val_dataloader(self) -> Iterable[Batch]: ...

    def refresh(self, model: "nn.Module", objective: Objective, step: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Metric(Protocol):
    """What validation reports: sums that add over batches and ranks, and a function of their means.

    So no root mean square is ever averaged over batches. A metric of very many numbers may have
    `headlines`, the names of those that are printed; all of them are written.
    """

    def statistics(self, model: "nn.Module", batch: Any) -> "dict[str, tuple[Tensor, Tensor]]":
        """Name → (sum, weight) over the validation batch; the metric lets the model predict."""
        ...

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The numbers to report, from the means Σ sum / Σ weight by name."""
        ...


class Predictor(Protocol):
    """Datasets streamed along lead time or samples.

    With names, units, coordinates, CF attributes and provenance.
    """

    def __call__(
        self, model: "nn.Module", request: Mapping[str, Any]
    ) -> "Iterator[xarray.Dataset]": ...


class Team(Protocol):
    """The processes that carry out one command together.

    Args:
        rank: number of this one.
        ranks: how many there are.
    """

    rank: int
    ranks: int

    def agree(self, told: Any = None, failure: str | None = None) -> list[Any]:
        """Waits for all; what each told, by rank.

        Raises:
            UserError: on all of them, where one has a failure.
        """
        ...


@runtime_checkable
class Forecaster(Protocol):
    """Optional on a predictor: forecasts from given times, written while they are made."""

    def forecast(
        self,
        model: "nn.Module",
        starts: Sequence[str],
        steps: int,
        out: Path,
        data: str | None,
        ensemble: Mapping[str, Any] | None = None,
        team: Team | None = None,
    ) -> Path:
        """Writes `out`, a Zarr store or netCDF file; initial states from `data`, or the run's own.

        Several members of each start where an ensemble is described, in the wing's own words. The
        ranks of a team make some each; what is written does not depend on how many there are.

        Raises:
            UserError: a time that the data do not hold, another list of channels.
        """
        ...


class Figures(Protocol):
    """Draws the wing's figures of a run into `figures/` and returns (path, caption) pairs."""

    def __call__(self, run: Path) -> list[tuple[Path, str]]: ...


@dataclass(frozen=True)
class Surrogate:
    """What a wing hands to an exporter: a traceable module, a sample input and their description.

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
    """Writes a bundle after checking parity on the stored sample, else refuses.

    Reads it back without `sciml`'s wings.
    """

    def export(self, surrogate: Surrogate, metadata: Mapping[str, Any], folder: Path) -> None: ...

    def load(self, folder: Path) -> "Callable[[Any], Any]": ...


@dataclass(frozen=True)
class System:
    """Everything a wing brings to the common spine, assembled from one config.

    Args:
        model: any `nn.Module`.
        objective: the loss terms.
        data: batches by step.
        metric: what progress lines show and `metrics.json` reports; None where no truth is known.
        predictor: turns the trained model into datasets (`result.nc`).
        figures: draws them.
        surrogate: `model -> Surrogate` for exporters; None where a system cannot be carried away.
        tested: batches that the reported metrics are of; None where they are the held-out ones, as
            for a problem whose truth takes no part in training.
        summary: numbers of the predicted dataset alone, reported beside the metric's; None where
            there are none.
    """

    model: "nn.Module"
    objective: Objective
    data: Data
    metric: Metric | None
    predictor: Predictor
    figures: Figures
    surrogate: "Callable[[nn.Module], Surrogate] | None" = None
    tested: Callable[[], Iterable[Batch]] | None = None
    summary: "Callable[[xarray.Dataset], dict[str, float]] | None" = None

"""Assembles a forecaster: archive + network + losses + windows → `contracts.System`."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch import nn

from sciml.calculus.sphere import Harmonics
from sciml.contracts import Metric, System, UserError
from sciml.globe import figures
from sciml.globe.archive import Archive
from sciml.globe.data import Forecasts, require_shares
from sciml.globe.losses import FairCRPS, Measure
from sciml.globe.losses.gradient import deviation
from sciml.globe.metrics import EnsembleMetric, Errors, ForecastMetric, Spectra, Winds
from sciml.globe.noise import InputNoise
from sciml.globe.objective import EnsembleLoss, ForecastLoss
from sciml.globe.predictor import ForecastPredictor
from sciml.globe.statistics import Statistics
from sciml.globe.surrogate import surrogate

#: Increments that the gradients' size is taken from.
INCREMENTS = 64
#: Channels whose errors are printed while training goes on.
PRINTED = 4


@final
@dataclass(frozen=True)
class Evaluation:
    """What forecasts are judged by.

    Args:
        steps: numbers of the steps that are scored, from 1 on.
        spectra: channels whose power is compared with the truth's.
        degrees: total wavenumbers reported of it.
        shown: forecasts in `result.nc`.
        members: that an ensemble is judged with, where one was trained.
    """

    steps: Sequence[int] = (1, 4, 12, 20)
    spectra: Sequence[str] = ()
    degrees: Sequence[int] = ()
    shown: int = 2
    members: int = 8

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1:
            raise UserError(f"evaluation: expected steps >= 1, got {list(self.steps)}")


def assemble(
    archive: Archive,
    network: Callable[..., nn.Module],
    losses: Mapping[str, Callable[[Measure], nn.Module]],
    windows: Callable[..., Forecasts],
    evaluation: Evaluation,
    truncation: int | None = None,
    radius: float = 6.371e6,
    noise: float = 0.0,
    noise_at_every_step: bool = False,
    members: int = 1,
    pressure: bool = True,
    checkpoint: bool = True,
    land: np.ndarray | None = None,
    seed: int = 0,
) -> System:
    """Everything a forecaster of fields on the globe brings.

    Args:
        archive: the states.
        network: called with those of `grid`, `channels`, `statistics`, `harmonics`, `forcings`
            and `time_step` that it takes.
        losses: name → partial of a loss, called with the measure of the training increments.
        windows: partial of `globe.data.Forecasts`.
        evaluation: what is reported.
        truncation: T of the harmonics; the largest that is exact on the grid where None.
        radius: of the sphere, m.
        noise: on the first state in training, in standard deviations of the increments.
        noise_at_every_step: on the input of every step of a rollout, for a single forecast.
        members: forecasts from one state in training, each with its own noise, that are judged as
            an ensemble, by the losses that can (`losses.FairCRPS`); 1 for a single forecast.
        pressure: whether losses weigh levels by pressure.
        checkpoint: hold the activations of one step of a rollout only, and compute the others
            again: a third slower, and as much memory for many steps as for one.
        land: `[*grid]` or `[1, *grid]` share of land, for the coasts on maps.
        seed: of the order of the windows.
    """
    _require_noise(noise, noise_at_every_step, members)
    data = windows(archive=archive, horizon=max(evaluation.steps), seed=seed)
    statistics, grid, channels = data.statistics, archive.grid, archive.channels
    spectral = grid.exact_degree > 0
    given = {
        "grid": grid,
        "channels": channels,
        "statistics": statistics,
        "harmonics": Harmonics(grid, truncation, radius) if spectral else None,
        "forcings": len(data.forcings),
        "time_step": float(archive.step),
    }
    model = network(**_taken(network, given))
    gradient = deviation(grid, data.increments(INCREMENTS)) if spectral else None
    measure = Measure.of(grid, channels, statistics, pressure, gradient=gradient)
    terms = _fitting({name: loss(measure) for name, loss in losses.items()}, members, noise)

    def noisy(amplitude: float) -> InputNoise:
        project = Harmonics(grid, truncation) if spectral else None
        return InputNoise(statistics.increment_std, amplitude, project)

    added = noisy(noise) if noise else None
    judged = added if members > 1 else None
    return System(
        model=model,
        objective=(
            ForecastLoss(terms, noise=added, checkpoint=checkpoint, every=noise_at_every_step)
            if judged is None
            else EnsembleLoss(terms, judged, members, checkpoint=checkpoint)
        ),
        data=data,
        metric=_metric(archive, statistics, evaluation, truncation, judged),
        predictor=ForecastPredictor(
            data,
            evaluation.shown,
            noisy,
            noise,
            members > 1,
            None if land is None else np.asarray(land).reshape(np.shape(land)[-len(grid.shape) :]),
        ),
        figures=figures.Figures({channel.name: channel.units for channel in channels}),
        surrogate=partial(surrogate, data),
        tested=data.test_dataloader,
    )


#: So that an optimiser that does not suit them is refused before an archive is opened or made.
assemble.objectives = (ForecastLoss, EnsembleLoss)  # type: ignore[attr-defined]


def rehearse(given: Mapping[str, Any], part: Callable[[str], Any], ranks: int) -> None:
    """Refuses what can be told without a state: the archive that has to be made is not.

    Args:
        given: the arguments of `assemble` as they are written.
        part: makes the one of this name.
        ranks: that share a batch.
    """
    noise, members = given.get("noise", 0.0), given.get("members", 1)
    _require_noise(noise, given.get("noise_at_every_step", False), members)
    windows, evaluation, _, _ = map(part, ("windows", "evaluation", "network", "losses"))
    batch = getattr(windows, "keywords", {}).get("batch")
    if batch is None:
        raise UserError("windows.batch: expected the windows of a step, got none; set a number")
    if given["archive"].get("make") is not None:
        require_shares(batch, ranks)
        return
    data = windows(archive=part("archive"), horizon=max(evaluation.steps))
    data.train_dataloader(0, ranks - 1, ranks)


assemble.rehearse = rehearse  # type: ignore[attr-defined]


def _taken(network: Callable[..., nn.Module], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a network names."""
    known = inspect.signature(network).parameters
    return {name: value for name, value in given.items() if name in known}


def _require_noise(noise: float, at_every_step: bool, members: int) -> None:
    """Refuses noise at every step where there is none, or where members differ by their first."""
    if at_every_step and (not noise or members > 1):
        got = "system.noise=0" if not noise else f"system.members={members}"
        raise UserError(
            "system.noise_at_every_step: expected noise and a single forecast, got "
            f"{got}; set system.noise_at_every_step=false"
        )


def _fitting(terms: Mapping[str, nn.Module], members: int, noise: float) -> dict[str, nn.Module]:
    """The losses that an ensemble can have, or a single forecast.

    Raises:
        UserError: none of an ensemble, one of an ensemble for a single forecast, no noise.
    """
    of_ensembles = {name: term for name, term in terms.items() if isinstance(term, FairCRPS)}
    if members < 1:
        raise UserError(f"system.members: expected a number >= 1, got {members}")
    if members == 1:
        for name in of_ensembles:
            raise UserError(f"losses.{name} is one of ensembles; set system.members=2")
        return dict(terms)
    if not noise:
        raise UserError(
            f"system.members={members}: expected noise, by which members differ; set system.noise"
        )
    if not of_ensembles:
        raise UserError(
            f"system.members={members}: expected a loss of ensembles, losses.FairCRPS, got "
            f"{', '.join(terms)}"
        )
    return of_ensembles


def _metric(
    archive: Archive,
    statistics: Statistics,
    evaluation: Evaluation,
    truncation: int | None,
    noise: InputNoise | None,
) -> Metric:
    """Scores of single forecasts; of ensembles where noise is given."""
    grid, channels, hours = archive.grid, archive.channels, archive.step / 3600
    each: list[nn.Module] = []
    if channels.pairs():
        each.append(Winds(grid.area, channels.names, channels.pairs()))
    if evaluation.spectra:
        mean = torch.as_tensor(statistics.mean)
        each.append(
            Spectra(
                grid, channels.names, evaluation.spectra, evaluation.degrees or None,
                truncation, mean,
            )
        )  # fmt: skip
    kinds = ["rmse_over_persistence"] + (["spread_over_error"] if noise else [])
    shown = [
        f"{kind}/{name}/{step * hours:g}h"
        for kind in kinds
        for step in evaluation.steps
        for name in channels.names[:PRINTED]
    ]
    if noise is None:
        errors = Errors(grid.area, channels.names, statistics.climatology)
        return ForecastMetric([errors, *each], evaluation.steps, hours, headlines=shown)
    return EnsembleMetric(
        grid.area, channels.names, noise, evaluation.members, evaluation.steps, hours,
        climatology=statistics.climatology, each=each, headlines=shown,
    )  # fmt: skip

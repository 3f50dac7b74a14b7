"""Objects → an outcome: runs that train, go on, are judged again, exported or run ahead."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sciml import catalogue, checks, evaluation, runs, withdrawal
from sciml.compose.configuration import checked, compose, prepared, see_cases, unwrapped
from sciml.compose.parts import build
from sciml.contracts import Forecaster, UserError
from sciml.evaluation import Parts, Result
from sciml.launch import signals

if TYPE_CHECKING:
    from sciml.training.run import Signals


def run(case: str, *overrides: str) -> Result:
    """Runs a case: `sciml.run("helmholtz_2d/m4", "balancer=fixed", "seed=1")`.

    Args:
        case: `folder/variant`, or `folder` for its default variant.
        overrides: `key=value`, as on the command line.

    Returns: an object with `metrics` (dict), `path` (the run folder) and `model`.
    """
    see_cases()
    name = catalogue.find_case(case).name
    overrides = tuple(prepared(name, overrides))
    return execute(compose(name, overrides), name, ["sciml", "run", name, *overrides])


def resume(folder: str | Path) -> Result:
    """Carries out the run that the `config.yaml` of a folder describes, or goes on with it."""
    see_cases()
    config = OmegaConf.create(runs.load_config(folder))
    config.run_dir = str(folder)
    command = ["sciml", "resume", str(folder)]
    return execute(config, str(config.get("case")), command, (signals.received, signals.install))


def execute(
    config: DictConfig, case: str, command: Sequence[str], signals: "Signals | None" = None
) -> Result:
    """Checks, trains, evaluates, writes; refuses mistakes before anything heavy loads if it can."""
    plain = checked(config, case)
    run_dir = None if config.run_dir is None else str(config.run_dir)  # run_dir=2026 is a number
    runs.check_run(run_dir, plain)
    parts = build(config)

    from sciml.training.run import train

    with withdrawal.opened(run_dir, plain, command) as folder, _processes():
        outcome = train(parts.system, parts.balancer, parts.phases, parts.settings, folder, signals)
    if runs.rank() > 0:
        return Result(folder, {}, outcome.model)
    costs: dict[str, Any] = {"steps": outcome.steps}
    if parts.phases:  # nobody clocks what is not trained
        costs |= {"cpu_s": outcome.cpu_s, "wall_s": outcome.wall_s}
    return evaluation.finish(parts, outcome.model, folder, costs)


@contextmanager
def _processes() -> Iterator[None]:
    """Leaves no process group and no rank in the environment behind, so that a sweep may go on."""
    import torch.distributed as dist

    before = dict(os.environ)
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        if runs.rank() == 0:
            os.environ.clear()
            os.environ.update(before)


def evaluate(folder: str | Path) -> dict[str, Any]:
    """Computes metrics, `result.nc`, figures and report of a run again, from its checkpoint."""
    return evaluation.evaluate_again(_reopened(folder), Path(folder))


def export(folder: str | Path, target: str, formats: Sequence[str], force: bool = False) -> None:
    """Writes the bundle of a run's trained model; `force` replaces an older bundle."""
    parts, model = restore(folder)
    evaluation.export(parts, model, Path(folder), target, formats, force)


def forecast(
    folder: str | Path,
    starts: Sequence[str],
    steps: int,
    out: str,
    data: str | None = None,
    ensemble: Mapping[str, Any] | None = None,
) -> Path:
    """Runs a trained model ahead from each of the times `starts` and writes the forecasts.

    Args:
        ensemble: what `sciml forecast` says of its members, such as `{"members": 8}`.
    """
    if steps < 1:
        raise UserError(f"forecast: expected steps >= 1, got {steps}")
    parts, model = restore(folder)
    if not isinstance(parts.system.predictor, Forecaster):
        raise UserError(f"forecast: {parts.case} has no time step that could be repeated")
    from sciml.training.team import joined

    with joined() as team:
        predictor = parts.system.predictor
        return predictor.forecast(model, starts, steps, Path(out), data, ensemble, team)


def restore(folder: str | Path) -> tuple[Parts, Any]:
    """The parts of a run folder and its trained model."""
    from sciml.training.run import restore as trained

    parts = _reopened(folder)
    return parts, trained(parts.system, parts.balancer, parts.phases, Path(folder))


def _reopened(folder: str | Path) -> Parts:
    """The parts of a run folder, on the CPU: it may have been trained on another machine."""
    see_cases()
    config = OmegaConf.create(runs.load_config(folder))
    checks.check_run(*reversed(unwrapped(config)))
    if "accelerator" in config.trainer:
        config.trainer.accelerator = "cpu"
    return build(config)

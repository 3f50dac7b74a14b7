"""What follows training: the prediction, the metrics, figures and report of a run folder."""

import csv
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml import atomic, runs, tables
from sciml.contracts import Balancer, Phase, System, UserError

if TYPE_CHECKING:
    import xarray
    from torch import nn

    from sciml.training.run import Settings

_COSTS = ("steps", "cpu_s", "wall_s", "peak_rss_mb")


@dataclass(frozen=True)
class Parts:
    """The objects of one run, as its configuration names them."""

    system: System
    balancer: Balancer
    phases: "Mapping[str, Phase]"
    settings: "Settings"
    published: Mapping[str, Any]
    case: str


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, what is in its `metrics.json`, the trained model."""

    path: Path
    metrics: dict[str, Any]
    model: "nn.Module"

    @property
    def objective(self) -> float | None:
        """What a sweeper minimises: the held-out loss, never the error that is reported."""
        return self.metrics.get("held_out")


def finish(parts: Parts, model: "nn.Module", run: Path, costs: Mapping[str, Any]) -> Result:
    """Writes `result.nc`, `metrics.json`, figures and report, and prints the numbers."""
    from sciml.training.run import measure

    dataset = next(iter(parts.system.predictor(model, {})))
    write_dataset(dataset, run / "result.nc")
    summary = parts.system.summary
    metrics = {
        **measure(parts.system, model),
        **(summary(dataset) if summary else {}),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "peak_rss_mb": peak_rss_mb(),
        **costs,
    }
    runs.write_json(run / "metrics.json", metrics)
    _illustrate(parts.system, run)
    print(tables.against_published(_headlines(parts, metrics), parts.published))
    print(f"run folder: {run}")
    return Result(run, metrics, model)


def _headlines(parts: Parts, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed of the metrics: all of them, or those that the metric calls its headlines."""
    chosen = getattr(parts.system.metric, "headlines", None)
    if chosen is None:
        return dict(metrics)
    wanted = {*chosen, *parts.published}
    return {k: v for k, v in metrics.items() if "/" not in k or k in wanted}


def _illustrate(system: System, run: Path) -> None:
    from sciml.report import page

    (run / "figures").mkdir(exist_ok=True)
    page.write(run, system.figures(run))


def export(
    parts: Parts, model: "nn.Module", run: Path, target: str, formats: Sequence[str], force: bool
) -> None:
    """Writes the bundle of a run's trained model and prints how far each format is from it."""
    from sciml.export import export as write

    if parts.system.surrogate is None:
        raise UserError(f"export: {parts.case} has no surrogate that could be carried away")
    left = unfinished(parts, run)
    if left and not force:
        raise UserError(f"export: {run} is {left}; finish it with the same command, or --force")
    made = {k: v for k, v in runs.provenance(run).items() if k not in ("host", "continued")}
    metadata = {"case": parts.case, "metrics": runs.read_metrics(run), **made}
    document = write(parts.system.surrogate(model), metadata, target, formats, force)
    rows = [(name, facts.get("difference")) for name, facts in document["files"].items()]
    print(tables.table([("file", "difference"), *rows]))
    print(f"bundle: {target}")


def evaluate_again(parts: Parts, run: Path) -> dict[str, Any]:
    """The same from a run folder's checkpoint; what the training cost is read from its records."""
    from sciml.training.run import restore

    model = restore(parts.system, parts.balancer, parts.phases, run)
    left = unfinished(parts, run)
    if left:
        print(left)
    return finish(parts, model, run, recorded_costs(run)).metrics


def unfinished(parts: Parts, run: Path) -> str:
    """`unfinished: 100 of 400 steps`, by the newest checkpoint; empty for a finished run."""
    from sciml.training import checkpoint

    newest = checkpoint.newest(run / "checkpoints")
    planned = sum(phase.steps for phase in parts.phases.values())
    done = planned if newest is None else checkpoint.load(newest)["global_step"]
    return f"unfinished: {done} of {planned} steps" if done < planned else ""


def recorded_costs(run: Path) -> dict[str, Any]:
    """What `metrics.json` says; where the run never got so far, the last row of `history.csv`."""
    if (run / "metrics.json").is_file():
        earlier = runs.read_metrics(run)
        return {name: earlier[name] for name in _COSTS if name in earlier}
    if not (run / "history.csv").is_file():
        return {}
    with (run / "history.csv").open(newline="", encoding="utf-8") as lines:
        last = (list(csv.DictReader(lines)) or [{}])[-1]
    kinds = {"steps": ("step", int), "cpu_s": ("cpu_s", float), "wall_s": ("wall_s", float)}
    return {name: kind(last[key]) for name, (key, kind) in kinds.items() if last.get(key)}


def write_dataset(dataset: "xarray.Dataset", target: Path) -> None:
    """Writes netCDF-4 atomically; coordinates get no `_FillValue`, which CF forbids there."""
    import sciml

    encoding = {name: {"_FillValue": None} for name in dataset.coords}
    attributes = {"Conventions": "CF-1.11", "source": f"sciml {sciml.__version__}"}
    dataset = dataset.assign_attrs({**attributes, **dataset.attrs})
    with atomic.replacing(target) as temporary:
        dataset.to_netcdf(temporary, encoding=encoding)


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)

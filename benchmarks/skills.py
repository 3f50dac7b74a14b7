"""Tactile skills: gradients by the adjoint against CMA-ES and finite differences, evenly paid.

    python benchmarks/skills.py                      both skills, three starts, then the table
    python benchmarks/skills.py --case reorient --seed 1
    python benchmarks/skills.py --table              the table and the picture of what has been run

All methods begin at the same motion, in the same variables, with the same loss. The account is in
evaluations, of which one is one simulation without gradient; a gradient by the adjoint counts as
one and the share of an evaluation that its backward passes took in CPU-seconds in the same run. The
others stop when they have spent what the adjoint's L-BFGS has, CMA-ES after a whole generation.
"""

import argparse
import fcntl
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

from sciml import atomic, compose
from sciml.training.optimizers.derivative_free import Evolution, FiniteDifferences
from sciml.training.step import Step

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/skills.json"
PICTURE = ROOT / "docs/pictures/tactile_skills_losses.png"
CASES = {"follow": "tactile_surface_follow/default", "reorient": "tactile_reorient/default"}
SEEDS = 3
#: Gradients that the adjoint's L-BFGS may take.
MOST = 18
#: First standard deviation of CMA-ES, in the units of the unknowns in which 1 matters.
SIGMA = 3.0


class Spent(Exception):
    """What may be spent is spent."""


class Counted(nn.Module):
    """The case's objective, with a record of every loss that it was asked for."""

    def __init__(self, parts: Any, most: float = float("inf")) -> None:
        super().__init__()
        self.inner, self.most, self.rows = parts.system.objective, most, []
        self.weights = dict.fromkeys(self.inner.terms, 1.0)
        self.weights |= dict(getattr(parts.balancer, "weights", {}))
        self.forward_s = 0.0

    def forward(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        if len(self.rows) >= self.most:
            raise Spent
        start = time.process_time()
        terms = self.inner(model, batch)
        self.forward_s += time.process_time() - start
        self.rows.append(float(self.total(terms).detach()))
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        return sum(self.weights[name] * term for name, term in terms.items())  # type: ignore[return-value]


def adjoint(parts: Any) -> dict[str, Any]:
    """L-BFGS as the case has it."""
    model, batch, counted = parts.system.model, next(_batches(parts)), Counted(parts, MOST)
    optimizer = parts.phases["fit"].optimizer(model.parameters())
    backward, best = 0.0, (float("inf"), model.state_dict())

    def closure() -> Tensor:
        nonlocal backward, best
        optimizer.zero_grad()
        loss = counted.total(counted(model, batch))
        if counted.rows[-1] < best[0]:
            best = counted.rows[-1], {k: v.clone() for k, v in model.state_dict().items()}
        start = time.process_time()
        loss.backward()
        backward += time.process_time() - start
        return loss

    with suppress(Spent):
        optimizer.step(closure)
    model.load_state_dict(best[1])
    gradient = 1 + backward / counted.forward_s
    return {
        "losses": counted.rows, "each": gradient,
        "cpu_s": counted.forward_s + backward, "spent": gradient * len(counted.rows),
    }  # fmt: skip


def evolution(parts: Any, most: float, seed: int) -> dict[str, Any]:
    counted = Counted(parts)

    def optimise(step: Step, parameters: list[nn.Parameter]) -> None:
        strategy = Evolution(parameters, sigma=SIGMA, seed=seed)
        while len(counted.rows) < most:
            strategy.step(step=step, weights=_tensors(counted))

    return _without(parts, counted, optimise)


def differences(parts: Any, most: float, seed: int) -> dict[str, Any]:
    counted = Counted(parts, most)

    def optimise(step: Step, parameters: list[nn.Parameter]) -> None:
        FiniteDifferences(parameters, parts.phases["fit"].optimizer, change=1e-3).step(
            step=step, weights=_tensors(counted)
        )

    return _without(parts, counted, optimise)


def _without(
    parts: Any, counted: Counted, optimise: Callable[[Step, list[nn.Parameter]], None]
) -> dict[str, Any]:
    model = parts.system.model
    step = Step(counted, model, [next(_batches(parts))], 0, dict(model.named_parameters()))
    with suppress(Spent):
        step.losses  # noqa: B018 - the start, of which a step keeps the losses
        optimise(step, list(model.parameters()))
    return {"losses": counted.rows, "each": 1.0, "spent": len(counted.rows)}


def _tensors(counted: Counted) -> dict[str, Tensor]:
    return {name: torch.tensor(w, dtype=torch.float64) for name, w in counted.weights.items()}


def _batches(parts: Any) -> Any:
    return iter(parts.system.data.val_dataloader())


def _built(case: str, seed: int, *words: str) -> Any:
    return compose.build(compose.compose(CASES[case], [f"seed={seed}", *words]))


def _measured(parts: Any) -> dict[str, float]:
    metric, batch = parts.system.metric, next(_batches(parts))
    with torch.no_grad():
        found = metric.statistics(parts.system.model, batch)
    return metric.value({name: float(a / b) for name, (a, b) in found.items()})


def compared(case: str, seed: int) -> None:
    """All three from one start; what is done is kept at once."""
    parts = _built(case, seed)
    first = adjoint(parts)
    keep(case, seed, adjoint={**first, "metrics": _measured(parts)})
    for name, method in (("cma", evolution), ("differences", differences)):
        parts = _built(case, seed, "finer=null")
        found = method(parts, first["spent"], seed)
        if name == "cma":
            found["metrics"] = _measured(parts)
        keep(case, seed, **{name: found})


# ---- results ------------------------------------------------------------------------------------


def recorded() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(case: str, seed: int, **parts: Any) -> None:
    with (RESULTS.parent / ".skills.lock").open("w") as lock:  # starts may run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = recorded()
        found.setdefault(case, {}).setdefault(str(seed), {}).update(parts)
        atomic.write(RESULTS, json.dumps(found, indent=1) + "\n")


def table(found: dict[str, Any]) -> str:
    lines = ["| skill, start | evaluations | adjoint | CMA-ES | finite differences |"]
    lines += ["|" + "---|" * 5]
    for case, seeds in found.items():
        for seed, runs in sorted(seeds.items()):
            if len(runs) < 3:
                continue
            least = [min(runs[name]["losses"]) for name in ("adjoint", "cma", "differences")]
            shown = " | ".join(f"{value:.3g}" for value in least)
            lines.append(f"| {case}, {seed} | {runs['adjoint']['spent']:.0f} | {shown} |")
        each = [runs["adjoint"]["each"] for runs in seeds.values() if "adjoint" in runs]
        if each:
            lines.append(f"\n{case}: a gradient counts {statistics.median(each):.2f}\n")
        for seed, runs in sorted(seeds.items()):
            for name in ("adjoint", "cma"):
                said = runs.get(name, {}).get("metrics", {})
                lines.append(f"* {case}, {seed}, {name}: " + _line(said))
    return "\n".join(lines)


def _line(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())


def picture(found: dict[str, Any]) -> None:
    from sciml.drawing.sheet import sheet

    names = {"adjoint": "adjoint", "cma": "CMA-ES", "differences": "finite differences"}
    with sheet(PICTURE.parent.parent, PICTURE.stem, (7.6, 3.0)) as (figure, _):
        panels = figure.subplots(1, max(len(found), 1), squeeze=False)[0]
        for axes, (case, seeds) in zip(panels, found.items(), strict=True):
            for number, (name, text) in enumerate(names.items()):
                for seed, runs in seeds.items():
                    if name not in runs:
                        continue
                    least = np.minimum.accumulate(runs[name]["losses"])
                    spent = runs[name]["each"] * np.arange(1, len(least) + 1)
                    label = text if seed == min(k for k in seeds if name in seeds[k]) else None
                    axes.semilogy(spent, least, color=f"C{number}", label=label, linewidth=1.2)
            axes.set(xlabel="evaluations", ylabel="least loss so far")
            axes.set_title(case, loc="left")
            axes.legend()
    drawn = PICTURE.parent.parent / "figures" / PICTURE.name
    atomic.write(PICTURE, drawn.read_bytes())
    drawn.unlink()
    drawn.parent.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=tuple(CASES), help="one skill alone")
    parser.add_argument("--seed", type=int, help="one start alone")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [options.case] if options.case else list(CASES)
    seeds = range(SEEDS) if options.seed is None else [options.seed]
    for seed in [] if options.table else seeds:
        for case in cases:
            compared(case, seed)
    print(table(recorded()))
    picture(recorded())


if __name__ == "__main__":
    main()

"""Constants of a gel from one press: adjoint gradients against CMA-ES, part of `tactile.py`."""

import statistics
import time
from typing import Any

import numpy as np
import torch

from sciml import compose
from sciml.tactile.model import Simulation
from sciml.tactile.objective import residuals

#: A coarser variant, in which hundreds of evaluations take minutes, and worse by its mesh.
COARSE = ["sensor.mesh.cells=[4,4,2]", "finer.mesh.cells=[6,6,3]"]
COARSE += ["sensor.degree=1", "finer.degree=1"]
#: Losses of CMA-ES within this factor of what the gradients end with count as the same.
ALIKE = 1.01


def identify(seed: int, words: list[str]) -> dict[str, Any]:
    """The case tactile_identify by L-BFGS: errors of the constants after every gradient."""
    parts = compose.build(compose.compose("tactile_identify/default", [f"seed={seed}", *words]))
    model, seen, truth = parts.system.model, parts.system.data.seen[0], parts.system.metric.truth
    optimizer = parts.phases["fit"].optimizer(model.parameters())
    rows: list[dict[str, float]] = []
    start = time.process_time()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum(r.square().mean() for r in residuals(model(), seen).values())
        loss.backward()
        errors = {k: float(v.detach()) / truth[k] - 1 for k, v in model.values().items()}
        rows.append({"loss": float(loss.detach()), **errors})
        return loss

    optimizer.step(closure)
    least = min(range(len(rows)), key=lambda i: rows[i]["loss"])
    return {
        "seed": seed, "gradients": len(rows), "cpu_s": time.process_time() - start,
        "loss": rows[least]["loss"], "errors": {k: rows[least][k] for k in truth}, "rows": rows,
    }  # fmt: skip


def evolution(seed: int, words: list[str], evaluations: int) -> dict[str, Any]:
    """The same misfit by CMA-ES, from the same start, in the same variables."""
    import cma

    parts = compose.build(compose.compose("tactile_identify/default", [f"seed={seed}", *words]))
    model, seen, truth = parts.system.model, parts.system.data.seen[0], parts.system.metric.truth
    assert isinstance(model, Simulation)
    unknowns, rows, spent = list(model.parameters()), [], [0]

    def loss(z: np.ndarray) -> float:
        with torch.no_grad():
            for parameter, value in zip(unknowns, z, strict=True):
                parameter.fill_(float(value))
            found = sum(r.square().mean() for r in residuals(model(), seen).values())
        spent[0] += 1
        if not rows or float(found) < rows[-1]["loss"]:
            errors = {k: float(v.detach()) / truth[k] - 1 for k, v in model.values().items()}
            rows.append({"evaluation": spent[0], "loss": float(found), **errors})
        return float(found)

    options = {"seed": seed + 1, "maxfevals": evaluations, "verbose": -9}
    cma.CMAEvolutionStrategy(np.zeros(len(unknowns)), 0.5, options).optimize(loss)
    return {
        "seed": seed, "evaluations": spent[0], "loss": rows[-1]["loss"],
        "errors": {k: rows[-1][k] for k in truth}, "rows": rows,
    }  # fmt: skip


def reached(rows: list[dict[str, float]], loss: float) -> int | None:
    """The evaluation that came within `ALIKE` of a loss, None if none did."""
    numbers = (
        row.get("evaluation", i) for i, row in enumerate(rows, 1) if row["loss"] <= ALIKE * loss
    )
    return next(numbers, None)


def table(found: dict[str, Any]) -> list[str]:
    lines = []
    if "identify" in found:
        runs = found["identify"]
        for name in runs[0]["errors"]:
            off = [100 * abs(run["errors"][name]) for run in runs]
            lines.append(
                f"* {name}: off by {statistics.median(off):.2f} % (worst {max(off):.2f} %) after "
                f"{max(run['gradients'] for run in runs)} gradients, {len(runs)} seeds"
            )
    pairs = list(zip(found.get("coarse", []), found.get("evolution", []), strict=False))
    for name, runs in (("gradients", [a for a, _ in pairs]), ("CMA-ES", [b for _, b in pairs])):
        for run, (gradients, _) in zip(runs, pairs, strict=True):
            off = ", ".join(f"{k} {100 * v:+.1f} %" for k, v in run["errors"].items())
            lines.append(
                f"* {name}, seed {run['seed']}: loss {run['loss']:.4f}, {off}; the gradients' loss "
                f"after {reached(run['rows'], gradients['loss'])} evaluations"
            )
    return lines

"""What a step of each balancing rule costs; `balancers.py --cost` writes it down.

A step of training (terms, rows, rule, Adam) of the plain 3×50 network on the Helmholtz case,
residual and four walls as five terms of 128 points, float32. Every rule takes its turn in every
round of one process; medians over rounds. Rules that update seldom are measured over whole periods,
and again with an update at every step.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from sciml.balance import conflict
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.gradients import Annealing
from sciml.balance.gradnorm import GradNorm
from sciml.balance.losses import DWA, ReLoBRaLo, SoftAdapt, Uncertainty
from sciml.balance.ntk import NTK
from sciml.balance.samgs import SAMGS
from sciml.balance.samo import SAMO
from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import Direction
from sciml.physics.helmholtz import residual, standing_wave, standing_wave_source
from sciml.pinn import Face, Problem, dirichlet, rectangle
from sciml.pinn.data import CollocationData, Sampling
from sciml.pinn.networks import MLP, Standardise
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.training import descent
from sciml.training.refusals import refuse_nonfinite
from sciml.training.step import Step, needs_rows_every_step

CONFLICT = ("PCGrad", "CAGrad", "MGDA", "IMTLG", "NashMTL", "AlignedMTL", "ConFIG", "UPGrad")
#: Name → (constructor, steps of a period).
RULES: dict[str, tuple[Callable, int]] = {
    "fixed": (Fixed, 1),
    "softadapt": (SoftAdapt, 1),
    "dwa": (DWA, 100),
    "relobralo": (ReLoBRaLo, 1),
    "uncertainty": (Uncertainty, 1),
    "annealing, every 10": (Annealing, 10),
    "annealing, every step": (partial(Annealing, every=1), 1),
    "ntk, every 100": (NTK, 100),
    "ntk, every step": (partial(NTK, every=1), 1),
    "gradnorm": (GradNorm, 1),
    "gradnorm, last layer": (partial(GradNorm, within="last"), 1),
    **{name.lower(): (getattr(conflict, name), 1) for name in CONFLICT},
    "nashmtl, every 10": (partial(conflict.NashMTL, every=10), 10),
    "mgda, last layer": (partial(conflict.MGDA, within="last"), 1),
    "gcond": (GCond, 1),
    "samgs": (SAMGS, 1),
    "samo": (lambda: SAMO(Fixed()), 1),
}
ENGINES = {
    "autograd": Engine(autograd.derivatives),
    "compiled": Engine(taylor.derivatives, compiled=True),
}
WALLS = {"left": ("x", -1.0), "right": ("x", 1.0), "bottom": ("y", -1.0), "top": ("y", 1.0)}
#: Steps between two looks at the clock, at least.
REPEATS = 10


def exact(f):
    return standing_wave(f.x, f.y, 1.0, 4.0)


def equations(f):
    source = standing_wave_source(f.x, f.y, 1.0, 4.0)
    return {"residual": residual(f.u, f.u_xx, f.u_yy, source)}


PROBLEM = Problem(
    name="Helmholtz 2D, a term for every wall",
    domain=rectangle((-1.0, -1.0), (1.0, 1.0)),
    unknowns=("u",),
    equations=equations,
    conditions=tuple(
        dirichlet("u", exact, on=Face(*place), name=name) for name, place in WALLS.items()
    ),
)


def helmholtz(engine: Engine) -> tuple:
    """Objective of five terms, network and batch."""
    generator = torch.Generator().manual_seed(0)
    model = Standardise(MLP(2, 1, 50, 3, generator), [0.0, 0.0], [0.577, 0.577]).float()
    data = CollocationData(PROBLEM, Sampling(dict.fromkeys(("residual", *WALLS), 128)), 0)
    batch = next(iter(data.train_dataloader(0, 0, 1))).to(torch.device("cpu"), torch.float32)
    return CollocationLoss(PROBLEM, engine).float().train(), model, batch


def period(make: Callable, steps: int, objective, model, batch) -> Callable[[], None]:
    """Training for one period of a rule, as `Fit` does it, on a copy of the network's values."""
    balancer, parameters = make(), dict(model.named_parameters())
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-6)  # stays near the same point
    together = needs_rows_every_step(balancer)
    taken = 0

    def run() -> None:
        nonlocal taken
        for _ in range(steps):
            step = Step(objective, model, [batch], taken, parameters, together=together)
            answer = balancer(step)
            given = isinstance(answer, Direction)
            gradient = answer.gradient if given else step.gradient(answer, last=True)
            refuse_nonfinite(step, gradient)
            descent.write(gradient, parameters, None)
            optimizer.step()
            taken += 1

    return run


def in_turn(runs: dict[str, tuple[Callable, int]], rounds: int) -> dict[str, list[float]]:
    """CPU-seconds of a step in every round, by rule; each is run once before."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run, _ in runs.values():
        run()
    for _ in range(rounds):
        for name, (run, steps) in runs.items():
            repeats = max(1, REPEATS // steps)
            start = time.process_time()
            for _ in range(repeats):
                run()
            seconds[name].append((time.process_time() - start) / (repeats * steps))
    return seconds


def cost(rounds: int, only: str = "") -> list[dict]:
    """CPU-milliseconds per step of every rule and engine, and the ratio to a plain step."""
    torch.set_num_threads(1)
    chosen = {k: v for k, v in RULES.items() if only in k or k == "fixed"}
    found = []
    for engine, derivatives in ENGINES.items():
        parts = helmholtz(derivatives)
        runs = {name: (period(make, n, *parts), n) for name, (make, n) in chosen.items()}
        seconds = in_turn(runs, rounds)
        for name, values in seconds.items():
            ratio = median(a / b for a, b in zip(values, seconds["fixed"], strict=True))
            row = {"engine": engine, "balancer": name, "cpu_ms": 1e3 * median(values)}
            found.append(row | {"ratio": ratio})
            print(f"{engine:9s} {name:24s} {row['cpu_ms']:7.2f} ms {ratio:6.2f}", flush=True)
    return found


if __name__ == "__main__":
    cost(rounds=15)

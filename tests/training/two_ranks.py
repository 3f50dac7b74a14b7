"""Run by `test_two_ranks.py` once per rank: trains the sine on gloo, saves what it ended with."""

import itertools
import os
import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sciml.balance.conflict import PCGrad
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.gradients import Annealing
from sciml.balance.gradnorm import GradNorm
from sciml.balance.losses import ReLoBRaLo
from sciml.balance.ntk import NTK
from sciml.balance.samo import SAMO
from sciml.contracts import Phase, System, UserError
from sciml.training.run import Settings, train
from tests.training.sine import Abscissae, SineData, SineMetric, sine_system


class RowsEveryStep(nn.Module):
    """Plain sum, but by way of gradient rows written to `.grad`."""

    def forward(self, step):
        step.rows()
        return Fixed()(step)


#: Variables of a process that is one of several, and what holds for one alone.
PLACE = (("RANK", "0"), ("WORLD_SIZE", "1"))
#: Cells of [0, 1], each with a value and a point of its own.
CELLS = 32


class Steps(nn.Module):
    """u constant in each cell, so that the gradients at points of two cells are orthogonal."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.linspace(1.0, 2.0, CELLS))

    def forward(self, x):
        return self.values[(CELLS * x[:, 0]).long().clamp(max=CELLS - 1), None]


class OnePointACell(SineData):
    """At random in every cell; a rank has the points of some cells."""

    def train_dataloader(self, start, rank, ranks):
        share = CELLS // ranks
        for step in itertools.count(start):
            generator = torch.Generator().manual_seed(step)
            x = torch.rand(CELLS, generator=generator, dtype=torch.float64)
            x = (torch.arange(CELLS) + x)[:, None] / CELLS
            yield Abscissae(x[rank * share : (rank + 1) * share])


class Sloping(nn.Module):
    """residual = u - sin 3x, walls = x u: the traces of the tangent kernels, 1 and the mean of x²,
    are exact under any signs, and the latter is another on every rank.
    """

    terms = ("residual", "walls")

    def residuals(self, model, batch):
        x, u = batch.x[:, 0], model(batch.x)[:, 0]
        return {"residual": u - torch.sin(3 * x), "walls": x * u}

    def forward(self, model, batch):
        return {name: r.square().mean() for name, r in self.residuals(model, batch).items()}


def steps_system() -> System:
    return System(Steps(), Sloping(), OnePointACell(), SineMetric(), None, None)


BALANCERS = {
    "fixed": Fixed,
    "rows": RowsEveryStep,
    "annealing": lambda: Annealing(every=2),
    "annealing_released_code": lambda: Annealing(
        every=2, denominator="weighted", reduce="layer_mean", params="weights"
    ),
    "pcgrad": PCGrad,
    "gcond": GCond,
    "relobralo": lambda: ReLoBRaLo(alpha=0.9, rho=0.5),
    "gradnorm": lambda: GradNorm(lr=0.1),
    "samo": lambda: SAMO(PCGrad()),
    "ntk": lambda: NTK(every=2),
}
#: What a rule is tried on, where that is not the sine.
SYSTEMS = {"ntk": steps_system}


def main(folder: Path, rank: int, ranks: int) -> None:
    """Every balancer in one process: a cold start costs more than the training."""
    torch.set_num_threads(1)
    for name, make in BALANCERS.items():
        balancer = make()
        phases = {
            "adam": Phase(
                steps=12, optimizer=partial(torch.optim.SGD, lr=0.05), precision="float64"
            )
        }
        settings = Settings(
            nodes=ranks, strategy="ddp" if ranks > 1 else "auto", save_every=5, validate_every=6
        )
        system = SYSTEMS.get(name, sine_system)()
        outcome = train(system, balancer, phases, settings, folder / name)
        state = {f"model.{k}": v for k, v in outcome.model.state_dict().items()}
        state |= {f"balancer.{k}": v for k, v in balancer.state_dict().items()}
        torch.save(state, folder / f"{name}_{ranks}_{rank}.pt")
    refused(folder, rank, ranks)


def refused(folder: Path, rank: int, ranks: int) -> None:
    """Only rank 0 writes checkpoints, and here it cannot: what each rank was told."""
    (folder / "full").mkdir(exist_ok=True)
    (folder / "full/checkpoints").touch()
    phases = {"adam": Phase(steps=4, optimizer=torch.optim.Adam)}
    settings = Settings(nodes=ranks, strategy="ddp" if ranks > 1 else "auto", save_every=2)
    try:
        train(sine_system(), Fixed(), phases, settings, folder / "full")
    except UserError as error:
        (folder / f"refused_{ranks}_{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    )

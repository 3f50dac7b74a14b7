"""Run by `test_two_ranks.py` once per rank: trains the sine on gloo, saves what it ended with."""

import sys
from functools import partial
from pathlib import Path

import torch

from sciml.balance.conflict import PCGrad
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.gradients import Annealing
from sciml.balance.losses import ReLoBRaLo
from sciml.contracts import Phase, UserError
from sciml.training.run import Settings, train
from tests.training.sine import sine_system


class RowsEveryStep(Fixed):
    """Plain sum, but by way of gradient rows written to `.grad`."""

    def forward(self, step):
        step.rows()
        return super().forward(step)


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
}


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
        outcome = train(sine_system(), balancer, phases, settings, folder / name)
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
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

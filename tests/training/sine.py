"""A small system for the tests of training: fit u = sin 3x with u(0) = 0, without any wing."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sciml.contracts import System


@dataclass(frozen=True)
class Abscissae:
    """Points `[n, 1]`."""

    x: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Abscissae":
        return Abscissae(self.x.to(device, dtype))


@dataclass(frozen=True)
class Draws:
    """The batches of steps start, start + 1, …, one rank's share."""

    start: int
    rank: int
    ranks: int
    n: int = 32

    def __iter__(self):
        step = self.start
        while True:
            generator = torch.Generator().manual_seed(step)
            x = torch.rand(self.n, 1, generator=generator, dtype=torch.float64)
            share = self.n // self.ranks
            yield Abscissae(x[self.rank * share : (self.rank + 1) * share])
            step += 1


class SineData:
    """`contracts.Data` of the sine."""

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Draws:
        return Draws(start, rank, ranks)

    def val_dataloader(self) -> list[Abscissae]:
        return [Abscissae(torch.linspace(0, 1, 50, dtype=torch.float64)[:, None])]

    def refresh(self, model, objective, step) -> None:
        pass

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


class SineObjective(nn.Module):
    """residual = mean (u - sin 3x)², walls = mean over the batch's points of (u(0) + x/1000)²."""

    terms = ("residual", "walls")

    def __init__(self, poison_at: int | None = None) -> None:
        super().__init__()
        self.poison_at, self.calls = poison_at, 0

    def forward(self, model: nn.Module, batch: Abscissae) -> dict[str, Tensor]:
        self.calls += self.training
        x = batch.x[:, 0]
        residual = model(batch.x)[:, 0] - torch.sin(3 * x)
        wall = model(0 * batch.x)[:, 0] + x / 1000
        poison = float("nan") if self.calls == self.poison_at else 1.0
        return {"residual": (residual**2).mean(), "walls": poison * (wall**2).mean()}


class SineMetric:
    """Root mean square error on the validation points."""

    def statistics(self, model: nn.Module, batch: Abscissae) -> dict[str, tuple[Tensor, Tensor]]:
        error = model(batch.x)[:, 0] - torch.sin(3 * batch.x[:, 0])
        return {"squared_error": ((error**2).sum(), torch.tensor(float(len(error))))}

    def value(self, means: dict[str, float]) -> dict[str, float]:
        return {"rmse/u": means["squared_error"] ** 0.5}


def sine_system(width: int = 10, poison_at: int | None = None) -> System:
    """The same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))
    return System(model, SineObjective(poison_at), SineData(), SineMetric(), None, None)

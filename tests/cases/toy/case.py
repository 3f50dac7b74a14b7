"""A line fitted to the line y = 2 x: the smallest system there is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray
from torch import Tensor, nn

from sciml.contracts import Surrogate, System, UserError


@dataclass(frozen=True)
class Line:
    x: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Line":
        return Line(self.x.to(device, dtype))


class Misfit(nn.Module):
    terms = ("misfit",)

    def forward(self, model: nn.Module, batch: Line) -> dict[str, Tensor]:
        return {"misfit": (model(batch.x) - 2 * batch.x).square().mean()}


class Draws:
    def __init__(self, points: int, seed: int) -> None:
        self.points, self.seed = points, seed

    def batch(self, step: int) -> Line:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        return Line(torch.rand(self.points, 1, generator=generator))

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterator[Line]:
        step = start
        while True:
            yield self.batch(step)
            step += 1

    def val_dataloader(self) -> list[Line]:
        return [self.batch(10**6)]

    def refresh(self, model: nn.Module, objective: nn.Module, step: int) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Error:
    def statistics(self, model: nn.Module, batch: Line) -> dict[str, tuple[Tensor, Tensor]]:
        miss = (model(batch.x) - 2 * batch.x).detach().square().sum()
        one = torch.ones(())
        return {"miss": (miss, one), "size": ((2 * batch.x).square().sum(), one)}

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        return {"rel_l2/y": (means["miss"] / means["size"]) ** 0.5}


def predict(model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
    x = torch.linspace(0, 1, 11)[:, None]
    y = model(x).detach().numpy()[:, 0]
    yield xarray.Dataset({"y": ("x", y, {"units": "1"})}, {"x": x.numpy()[:, 0]})


def figures(run: Path) -> list[tuple[Path, str]]:
    return []


def surrogate(model: nn.Module) -> Surrogate:
    return Surrogate(model, torch.rand(3, 1), {"x": {"units": "1"}}, {"y": {"units": "1"}})


def system(points: int, seed: int, bias: bool = False, scale: float = 1.0) -> System:
    if points <= 0:
        raise UserError(f"points: expected > 0, got {points}")
    torch.manual_seed(seed)
    draws = Draws(points, seed)
    return System(nn.Linear(1, 1, bias), Misfit(), draws, Error(), predict, figures, surrogate)

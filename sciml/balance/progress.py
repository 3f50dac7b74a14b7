"""How the terms progress: means over stretches of steps, ratios, and weights made of them."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.balance.base import NamedTensors


@final
class Stretches(nn.Module):
    """Means of the terms over stretches of `every` steps: the last two that are complete."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.sums, self.counts = NamedTensors(), NamedTensors()
        self.newest, self.before = NamedTensors(), NamedTensors()

    def add(self, names: list[str], losses: Float[Tensor, " terms"], index: int) -> bool:
        """Take in the terms of step `index`; True where a stretch ends with it."""
        sums = self.sums.stacked(names, torch.zeros_like(losses)) + losses
        counts = self.counts.stacked(names, torch.zeros_like(losses)) + 1
        ends = (index + 1) % self.every == 0
        if ends:
            mean = sums / counts
            self.before.put_all(names, self.newest.stacked(names, mean))
            self.newest.put_all(names, mean)
            sums, counts = torch.zeros_like(sums), torch.zeros_like(counts)
        self.sums.put_all(names, sums)
        self.counts.put_all(names, counts)
        return ends

    def last(self, names: list[str], losses: Float[Tensor, " terms"]) -> tuple[Tensor, Tensor]:
        """Means `[K]` of the newest complete stretch and of the one before it."""
        return self.newest.stacked(names, losses), self.before.stacked(names, losses)


def balanced(exponent: Float[Tensor, " terms"]) -> Float[Tensor, " terms"]:
    """K softmax: positive weights that sum to the number of terms."""
    return len(exponent) * torch.softmax(exponent, 0)


def ratio(new: Float[Tensor, " terms"], old: Float[Tensor, " terms"]) -> Float[Tensor, " terms"]:
    """new/old, finite: 1 where a term was zero before."""
    return torch.where(old > 0, new / old, torch.ones_like(new)).clamp_max(1e30)


def tiny(values: Tensor) -> float:
    """The least positive number of their type."""
    return torch.finfo(values.dtype).tiny

"""Unknown constants as free parameters of training: what is found stays in its range.

    Positive   value = start · exp(s z)
    Within     value = low + (high - low) / (1 + exp(-s z - z_0))        z = 0 at the start

z is what an optimiser sees, free of units. It goes faster where all z change what is seen alike: s
is large for a constant that changes it little.
"""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError


@final
class Positive(nn.Module):
    """A constant > 0, or a field of `cells` of them, that starts at `start`.

    Args:
        start: in its own unit, > 0.
        cells: None for one constant.
        scale: s, > 0.
    """

    def __init__(self, start: float, cells: int | None = None, scale: float = 1.0) -> None:
        super().__init__()
        if not start > 0 or not scale > 0:
            raise UserError(f"unknown: expected start and scale > 0, got {start!r}, {scale!r}")
        self.start, self.scale = start, scale
        shape = () if cells is None else (cells,)
        self.z = nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def forward(self) -> Float[Tensor, "*cells"]:
        return self.start * torch.exp(self.scale * self.z)


@final
class Within(nn.Module):
    """A constant between two bounds.

    Args:
        start: strictly between `low` and `high`.
        scale: s, > 0.
    """

    def __init__(self, start: float, low: float, high: float, scale: float = 1.0) -> None:
        super().__init__()
        if not low < start < high or not scale > 0:
            raise UserError(
                f"unknown: expected {low} < start < {high} and scale > 0, got {start!r}, {scale!r}"
            )
        self.low, self.high, self.scale = low, high, scale
        self.offset = math.log((start - low) / (high - start))
        self.z = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self) -> Float[Tensor, ""]:
        return self.low + (self.high - self.low) * torch.sigmoid(self.scale * self.z + self.offset)

"""The cavity with its two singular corners known: what a network is left to learn is smooth.

    ψ = φ(1 - y) (φ(x) ψ_c(x, 1 - y; Re) + φ(1 - x) ψ_c(1 - x, 1 - y; -Re)) + B² N(x, y)
    B = 16 x (1 - x) y (1 - y),    φ(s) = (1 - s)⁴ (1 + 4s + 10s² + 20s³)

ψ_c is the flow in a corner that the lid slides away from (left) or towards (right), by
`physics.scraping_flow`. φ falls from 1 to 0 on [0, 1], flat to the third order at both ends, and
φ(s) + φ(1 - s) = 1: so the first part alone meets all walls, (u, v) = (1, 0) on the lid
and 0 elsewhere, and the network N needs no conditions.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.physics import scraping_flow
from sciml.pinn.samplers import sobol


def walls(x: Tensor, y: Tensor) -> Tensor:
    """B, which vanishes on the walls and is 1 in the middle."""
    return 16.0 * x * (1.0 - x) * y * (1.0 - y)


def with_corners(x: Tensor, network: Tensor, Re: float = 100.0, terms: int = 3) -> Tensor:
    """ψ `[n, 1]` at `[n, 2]` from N `[n, 1]`.

    Args:
        Re: Reynolds number.
        terms: of the series in each corner; at Re = 100 the fourth does more harm than good.
    """
    x, y = x[:, :1], x[:, 1:]
    sides = torch.cat([x, 1.0 - x], dim=-1)
    signs = torch.tensor([[Re, -Re]], dtype=network.dtype, device=network.device)
    corner = scraping_flow.stream_function(sides, 1.0 - y, signs, terms)
    singular = fade(1.0 - y) * (fade(sides) * corner).sum(-1, keepdim=True)
    return singular + walls(x, y) ** 2 * network


def fade(s: Tensor) -> Tensor:
    """φ."""
    return (1.0 - s) ** 4 * (((20.0 * s + 10.0) * s + 4.0) * s + 1.0)


class LidCorners(nn.Module):
    """Coordinates stretched at the lid's corners, brought to [-√3, √3], as features expect.

        ξ ∝ log((x + d)/(1 - x + d)),    η ∝ -log(1 - y + d)

    Args:
        bounds: of the unit square.
        width: d, the scale below which they are even.
    """

    outputs = 2

    def __init__(self, bounds: Sequence[Sequence[float]], width: float = 0.08) -> None:
        super().__init__()
        if not np.array_equal(bounds, [[0, 0], [1, 1]]) or not width > 0:
            raise UserError(
                f"cavity: expected the unit square and width > 0, got {bounds} and {width}; "
                "set system.inputs.width=0.08"
            )
        self.width = float(width)
        self.range = math.log((1 + width) / width)

    def forward(self, x: Tensor) -> Tensor:
        x, y, d = x[:, :1], x[:, 1:], self.width
        xi = torch.log((x + d) / (1.0 - x + d))
        eta = -2.0 * torch.log((1.0 - y + d) / (1.0 + d)) - self.range
        return torch.cat([xi, eta], dim=-1) * (math.sqrt(3) / self.range)


def crowded(
    n: int, d: int, rng: np.random.Generator, sets: int = 1, width: float = 0.2
) -> np.ndarray:
    """Sobol points, uniform in the coordinates that `LidCorners` makes: a `samplers.UnitSampler`.

    Args:
        width: d of the coordinates.
    """
    a, b = sobol(n, d, rng, sets).T
    ratio = (1 + width) / width
    xi = ratio ** (2 * a - 1)
    x = ((1 + width) * xi - width) / (1 + xi)
    return np.stack([x, (1 + width) * (1 - ratio**-b)], axis=1)

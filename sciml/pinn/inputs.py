"""What a network sees in place of standardised coordinates: exact periods, stretched layers.

A map of inputs is built as `(bounds, …)`, the lowest and the highest value of each coordinate, has
an attribute `outputs`, and maps a tensor `[n, d]`, or a `calculus.pointwise.taylor.Jet`, to
`[n, outputs]`. Its numbers are Python's, and so exact whatever the precision of the network. The
coordinates that a map leaves alone are brought to [-1, 1].
"""

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.pinn.layers import require_positive

#: `[2, d]`: lowest and highest value of each coordinate, as `Domain.bounds` gives them.
Bounds = Sequence[Sequence[float]]


@final
class Periodic(nn.Module):
    """x ↦ cos(2π k x/L), sin(2π k x/L) for k = 1 … harmonics: every function of them has period L.

    L is the extent of the domain along that coordinate; values and all derivatives agree at its
    two ends, so no condition is needed there.

    Args:
        harmonics: number of wave numbers.
        axes: columns of the periodic coordinates.
        even: cosines alone, for functions even about the ends of the domain, and so its middle.

    Source: S. Dong, N. Ni, A method for representing periodic functions and enforcing exactly
    periodic boundary conditions with deep neural networks, J. Comput. Phys. 435 (2021) 110242.
    """

    k: Tensor

    def __init__(
        self, bounds: Bounds, harmonics: int = 1, axes: Sequence[int] = (0,), even: bool = False
    ) -> None:
        super().__init__()
        require_positive("periodic inputs", harmonics=harmonics)
        self.lower, self.upper = _ends("periodic inputs", bounds, axes)
        self.axes, self.even = tuple(axes), even
        self.register_buffer("k", torch.arange(1.0, harmonics + 1))
        self.outputs = len(self.lower) + len(self.axes) * ((1 if even else 2) * harmonics - 1)

    def forward(self, x: Tensor) -> Tensor:
        columns: list[Any] = []
        for i, (lower, upper) in enumerate(zip(self.lower, self.upper, strict=True)):
            if i in self.axes:
                phase = ((x[:, i : i + 1] - lower) * (2 * math.pi / (upper - lower))) * self.k
                columns += [torch.cos(phase)] if self.even else [torch.cos(phase), torch.sin(phase)]
            else:
                columns.append(_symmetric(x[:, i : i + 1], lower, upper))
        return torch.cat(columns, dim=-1)


@final
class Stretch(nn.Module):
    """ξ = asinh((x - about)/width), brought to [-1, 1]: a layer of that width fills much of it.

    The slope of ξ falls from 1/width in the layer to 1/|x - about| outside.

    Args:
        width: of the layer, in units of the coordinate.
        about: its place.
        axis: column of the coordinate; about may lie at an end of the domain.
    """

    def __init__(self, bounds: Bounds, width: float, about: float = 0.0, axis: int = 0) -> None:
        super().__init__()
        require_positive("stretched input", width=width)
        self.lower, self.upper = _ends("stretched input", bounds, (axis,))
        self.width, self.about, self.axis = float(width), float(about), axis
        self.outputs = len(self.lower)

    def forward(self, x: Tensor) -> Tensor:
        columns: list[Any] = []
        for i, ends in enumerate(zip(self.lower, self.upper, strict=True)):
            column = x[:, i : i + 1]
            if i == self.axis:
                column = torch.asinh((column - self.about) / self.width)
                ends = (math.asinh((end - self.about) / self.width) for end in ends)
            columns.append(_symmetric(column, *ends))
        return torch.cat(columns, dim=-1)


def _symmetric(x: Tensor, lower: float, upper: float) -> Tensor:
    """From [lower, upper] to [-1, 1]."""
    return (x - (lower + upper) / 2) * (2 / (upper - lower))


def _ends(
    owner: str, bounds: Bounds, axes: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lower, upper = (tuple(map(float, ends)) for ends in bounds)
    for axis in axes:
        if axis not in range(len(lower)):
            raise UserError(
                f"{owner}: expected a column of the {len(lower)} coordinates, got {axis!r}; "
                f"count from 0 to {len(lower) - 1}"
            )
    return lower, upper

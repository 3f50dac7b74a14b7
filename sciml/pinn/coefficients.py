"""Unknown numbers of an inverse problem, as λ in u_t + λ u u_x = 0: constant outputs of the model.

An unknown number is a field that does not vary, so that equations, derivatives and per-sample
Jacobians treat it like every other output. (A coefficient that varies is one more unknown.)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from sciml.contracts import UserError


@final
@dataclass(frozen=True)
class Coefficient:
    """A number to be found.

    Args:
        initial: where the search starts.
        true: its value, where it is known; the relative error is reported if that is not zero.
        scale: magnitude expected; what is trained is the number over `scale`, > 0.
    """

    initial: float
    true: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        given = {"initial": self.initial, "scale": self.scale}
        for name, value in (given if self.true is None else {**given, "true": self.true}).items():
            if not is_number(value) or (name == "scale" and value <= 0):
                expected = "a number > 0" if name == "scale" else "a finite number"
                raise UserError(f"coefficient: expected {name} to be {expected}, got {value!r}")


def is_number(value: Any) -> bool:
    """A finite real number."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)


@final
class Coefficients(nn.Module):
    """(network(x), c): the outputs of a network `[n, m]` and k trained numbers, `[n, m + k]`.

    The columns are a linear layer without input but the constant one, c = diag(scale) values 1, so
    that whoever records the linear layers finds the numbers' derivatives as well.

    Args:
        coefficients: name → `Coefficient`, or the number to start from; in column order.
    """

    scale: Tensor

    def __init__(self, network: nn.Module, coefficients: Mapping[str, Coefficient | float]) -> None:
        super().__init__()
        if not coefficients:
            raise UserError("coefficients: expected at least one unknown number, got none")
        each = [c if isinstance(c, Coefficient) else Coefficient(c) for c in coefficients.values()]
        self.network, self.names = network, tuple(coefficients)
        dtype = torch.get_default_dtype()
        scale = torch.tensor([c.scale for c in each], dtype=dtype)
        self.register_buffer("scale", scale)
        initial = torch.tensor([c.initial for c in each], dtype=dtype)
        self.values = nn.Parameter((initial / scale)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        one = x[:, :1] ** 0
        columns = functional.linear(one, self.values) * self.scale
        return torch.cat((self.network(x), columns), dim=-1)

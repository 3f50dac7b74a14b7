"""A surrogate whose derivative is written by hand: u = sum_k a_k tanh(w_k · x), and u_x."""

import torch
from torch import Tensor, nn

from sciml.contracts import Surrogate


class Wave(nn.Module):
    """u = sum_k a_k tanh(w_k · x), u_x by hand: a network whose derivative is known."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(width, 2, generator=generator))
        self.scale = nn.Parameter(torch.randn(width, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ self.weight.T)
        slope = (1 - hidden**2) * self.weight[:, 0]
        return torch.stack([hidden @ self.scale, slope @ self.scale], dim=1)


def make_surrogate(module: nn.Module | None = None, tolerance: float = 1e-5) -> Surrogate:
    """The surrogate of `Wave` in the dtype of the module, on 16 points of the unit square."""
    module = Wave().double() if module is None else module
    generator = torch.Generator().manual_seed(5)
    return Surrogate(
        module=module,
        sample=torch.rand(16, 2, generator=generator, dtype=torch.float64),
        inputs={
            "x": {"units": "m", "long_name": "distance", "range": (0.0, 1.0)},
            "t": {"units": "s", "long_name": "time", "range": (0.0, 1.0)},
        },
        outputs={
            "u": {"units": "m", "long_name": "displacement"},
            "u_x": {"units": "1", "long_name": "slope"},
        },
        tolerance=tolerance,
    )

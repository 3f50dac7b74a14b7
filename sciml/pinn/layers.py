"""Linear layers and input features of PINN networks, drawn in float64 from a given generator.

A layer factory is `(inputs, outputs, generator) -> nn.Module`; networks take one as `linear`.
Every layer maps a tensor, or a `calculus.pointwise.taylor.Jet`, along its last axis.
"""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from sciml.contracts import UserError

#: `(inputs, outputs, generator) -> layer`.
LinearFactory = Callable[[int, int, Generator | None], nn.Module]


def require_positive(owner: str, **values: float) -> None:
    """Refuse sizes and scales that are not positive numbers."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise UserError(f"{owner}: expected {name} > 0, got {value!r}; set {name} to 1 or more")


def normal(*shape: int, std: float, generator: Generator | None) -> Tensor:
    """Normal numbers, drawn in float64 so that the draw does not depend on the precision."""
    draw = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return (std * draw).to(torch.get_default_dtype())


def xavier_std(inputs: int, outputs: int) -> float:
    """Standard deviation 1/sqrt((inputs + outputs)/2) (Glorot and Bengio 2010)."""
    return 1.0 / math.sqrt((inputs + outputs) / 2.0)


def dense(inputs: int, outputs: int, generator: Generator | None = None) -> nn.Linear:
    """A linear layer with Xavier-normal weights and zero biases."""
    require_positive("dense", inputs=inputs, outputs=outputs)
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(
            normal(outputs, inputs, std=xavier_std(inputs, outputs), generator=generator)
        )
        layer.bias.zero_()
    return layer


def encoder(inputs: int, outputs: int, generator: Generator | None = None) -> nn.Linear:
    """A `dense` layer whose bias is Xavier-normal too, drawn as a matrix of shape [1, outputs].

    Source: the released code of Wang, Teng and Perdikaris (2021).
    """
    layer = dense(inputs, outputs, generator)
    with torch.no_grad():
        layer.bias.copy_(normal(outputs, std=xavier_std(1, outputs), generator=generator))
    return layer


def spread(
    inputs: int,
    outputs: int,
    generator: Generator | None = None,
    scale: float = 1.0,
    bias: float = 1.0,
) -> nn.Linear:
    """A `dense` layer with weights times `scale` and biases uniform in [-bias, bias].

    As the first layer: units that bend at different places, at once as sharply or as often as the
    solution does. Least squares then needs fewer steps to leave the start.
    """
    require_positive("spread layer", scale=scale, bias=bias)
    layer = dense(inputs, outputs, generator)
    with torch.no_grad():
        draw = 2 * torch.rand(outputs, dtype=torch.float64, generator=generator) - 1
        layer.weight.mul_(scale)
        layer.bias.copy_(bias * draw)
    return layer


@final
class Factorised(nn.Module):
    """Random weight factorisation: y = (diag(exp s) V) x + b with s and V trained.

    The product starts as a Xavier-normal matrix; s is drawn from a normal distribution.

    Args:
        mean, std: of the initial s; the source recommends 0.5 or 1 and 0.1.

    Source: Wang, Wang, Seidman, Perdikaris (2022), arXiv:2210.01274.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: Generator | None = None,
        mean: float = 1.0,
        std: float = 0.1,
    ) -> None:
        super().__init__()
        require_positive("factorised layer", inputs=inputs, outputs=outputs, std=std)
        weight = normal(outputs, inputs, std=xavier_std(inputs, outputs), generator=generator)
        s = mean + normal(outputs, std=std, generator=generator)
        self.s = nn.Parameter(s)
        self.v = nn.Parameter(weight / torch.exp(s)[:, None])
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def weight(self) -> Tensor:
        """`[outputs, inputs]`, the matrix that acts."""
        return torch.exp(self.s)[:, None] * self.v

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@final
class Fourier(nn.Module):
    """Random Fourier features: x ↦ (cos Bx, sin Bx), B fixed with entries of std sigma.

    Args:
        features: outputs, even: half cosines, half sines.
        sigma: standard deviation of the angular wave numbers, in radians per unit of x.

    Source: Tancik et al. (2020), arXiv:2006.10739, with the factor 2π taken into sigma; for PINNs
    Wang, Wang, Perdikaris (2021), arXiv:2012.10047.
    """

    b: Tensor

    def __init__(
        self, inputs: int, features: int, generator: Generator | None = None, sigma: float = 1.0
    ) -> None:
        super().__init__()
        require_positive("Fourier features", inputs=inputs, features=features, sigma=sigma)
        if features % 2:
            raise UserError(
                f"Fourier features: expected an even number of features, got {features}; "
                f"set features={features + 1}"
            )
        self.outputs = features
        self.register_buffer("b", normal(features // 2, inputs, std=sigma, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        phase = functional.linear(x, self.b)
        return torch.cat((torch.cos(phase), torch.sin(phase)), dim=-1)

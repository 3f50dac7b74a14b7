"""Networks from coordinates `[n, d]` to unknowns `[n, m]`.

Each is built as `(inputs, outputs, width, depth, generator)` with `depth` hidden layers, and maps a
tensor or a `calculus.pointwise.taylor.Jet`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, final

import torch
from torch import Generator, Tensor, nn

from sciml.contracts import UserError
from sciml.pinn.layers import Fourier, LinearFactory, dense, encoder, require_positive

#: A network still without its sizes: `(inputs, outputs, width, depth, generator) -> network`.
NetworkFactory = Callable[[int, int, int, int, Generator | None], nn.Module]


@final
class MLP(nn.Module):
    """H ← σ(W_l H + b_l) through `depth` hidden layers, then a linear output.

    Args:
        activation: σ, elementwise.
        linear: factory of the layers: `dense`, or `Factorised` for random weight factorisation.
        first: factory of the first layer, such as a partial `layers.spread`; `linear` where None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        generator: Generator | None = None,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        linear: LinearFactory = dense,
        first: LinearFactory | None = None,
    ) -> None:
        super().__init__()
        _check_sizes("MLP", inputs, outputs, width, depth)
        self.activation = activation
        self.hidden = _stack(inputs, width, depth, generator, linear, first)
        self.output = linear(width, outputs, generator)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.output(x)


@final
class Gated(nn.Module):
    """Multiplicative gates between two encodings of the input, in every hidden layer.

        U = σ(W_u x + b_u),  V = σ(W_v x + b_v)
        Z = σ(W_l H + b_l),  H ← Z ∘ U + (1 − Z) ∘ V,  starting from H = x

    Args:
        activation: σ, elementwise.
        linear: factory of the main stack; the two encoders are always `layers.encoder`.

    Source: Wang, Teng, Perdikaris (2021), doi:10.1137/20M1318043, in the form of the released code:
    the first hidden layer is gated like the others, and the encoders' biases are random.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        generator: Generator | None = None,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        linear: LinearFactory = dense,
    ) -> None:
        super().__init__()
        _check_sizes("gated network", inputs, outputs, width, depth)
        self.activation = activation
        self.hidden = _stack(inputs, width, depth, generator, linear)
        self.output = linear(width, outputs, generator)
        self.encoder_u = encoder(inputs, width, generator)
        self.encoder_v = encoder(inputs, width, generator)

    def forward(self, x: Tensor) -> Tensor:
        u, v = self.activation(self.encoder_u(x)), self.activation(self.encoder_v(x))
        difference = u - v  # Z∘U + (1 − Z)∘V = V + Z∘(U − V), one product fewer
        for layer in self.hidden:
            x = v + self.activation(layer(x)) * difference
        return self.output(x)


@final
class Embedded(nn.Module):
    """A network of features of the coordinates: network(embedding(x)).

    Args:
        embedding: `(inputs, generator) -> module` with an attribute `outputs`, such as a partial
            `layers.Fourier`; `2 * width` Fourier features when None.
        network: factory of the network behind it, such as `MLP` or `Gated`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        generator: Generator | None = None,
        embedding: Callable[..., Any] | None = None,
        network: NetworkFactory = MLP,
    ) -> None:
        super().__init__()
        build = embedding or partial(Fourier, features=2 * width)
        features = build(inputs, generator=generator)
        self.embedding: nn.Module = features
        self.network = network(features.outputs, outputs, width, depth, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.embedding(x))


@final
class Separate(nn.Module):
    """A network of its own for each output, of some of the coordinates: a(x, y) beside u(x, y, t).

    Args:
        of: for each output, the columns of the coordinates it is a function of.
        network: factory of each network, such as `MLP` or `Gated`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        generator: Generator | None = None,
        of: Sequence[Sequence[int]] = (),
        network: NetworkFactory = MLP,
    ) -> None:
        super().__init__()
        self.of = [list(columns) for columns in of]
        known = range(inputs)
        if len(self.of) != outputs or not all(c and {*c} <= {*known} for c in self.of):
            raise UserError(
                f"separate networks: expected for each of {outputs} outputs some of the columns "
                f"{list(known)}, got {self.of}; set network.of, e.g. [[0, 1, 2], [0, 1]]"
            )
        self.parts = nn.ModuleList(
            network(len(columns), 1, width, depth, generator) for columns in self.of
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.parts, self.of, strict=True)
        return torch.cat([part(x[:, columns]) for part, columns in parts], dim=-1)


@final
class Standardise(nn.Module):
    """network((x − mean)/std), so that the network sees coordinates of order one.

    Args:
        mean, std: one for each coordinate, std > 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
    ) -> None:
        super().__init__()
        self.network = network
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=dtype).clone())
        self.register_buffer("std", torch.as_tensor(std, dtype=dtype).clone())
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise UserError(
                f"standardisation: expected one mean and one std for each coordinate, got shapes "
                f"{tuple(self.mean.shape)} and {tuple(self.std.shape)}; give two lists of length d"
            )
        if not bool((self.std > 0).all()):
            raise UserError(
                f"standardisation: expected std > 0, got {self.std.tolist()}; "
                "use 1 for a coordinate that does not vary"
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


@final
class HardConstraint(nn.Module):
    """transform(x, network(x)): conditions that hold exactly, whatever the weights.

    Args:
        transform: `([n, d], [n, m]) -> [n, m]`, written with operators, torch's elementwise
            functions and slices of columns such as `x[:, :1]`, so that it maps jets too.

    Source: Lagaris, Likas, Fotiadis (1998), doi:10.1109/72.712178.
    """

    def __init__(self, network: nn.Module, transform: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.transform = transform

    def forward(self, x: Tensor) -> Tensor:
        return self.transform(x, self.network(x))


def _check_sizes(owner: str, inputs: int, outputs: int, width: int, depth: int) -> None:
    sizes = {"inputs": inputs, "outputs": outputs, "width": width, "depth": depth}
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(
                f"{owner}: expected a whole number for {name}, got {value!r}; set e.g. {name}=3"
            )
    require_positive(owner, **sizes)


def _stack(
    inputs: int,
    width: int,
    depth: int,
    generator: Generator | None,
    linear: LinearFactory,
    first: LinearFactory | None = None,
) -> nn.ModuleList:
    """`depth` layers: inputs → width → … → width."""
    factories = [first or linear, *[linear] * (depth - 1)]
    sizes = pairwise([inputs, *[width] * depth])
    return nn.ModuleList(f(*size, generator) for f, size in zip(factories, sizes, strict=True))

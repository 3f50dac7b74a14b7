"""Random features: a hidden layer drawn once and left alone, so that only the output is trained.

    u(x) = C φ(W (x − c)),   row j: w_j uniform in the box |w_ji| <= s_i, c_j uniform in the domain

Where the equations are linear, C is the solution of one least-squares problem; otherwise of a few
(`training.least_squares.GaussNewton`). How good it gets depends on the scales s alone, so they are
found from the residual before training starts: see `placement`.

Sources: G.-B. Huang, Q.-Y. Zhu, C.-K. Siew, Extreme learning machine, Neurocomputing 70 (2006) 489;
for partial differential equations S. Dong, Z. Li, Comput. Methods Appl. Mech. Eng. 387 (2021)
114129; sines for smooth solutions, A. Rahimi, B. Recht, NIPS (2007).
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from sciml.contracts import UserError
from sciml.pinn.layers import require_positive
from sciml.pinn.placement import Placement

#: Half the width of a box with standard deviation 1, in which standardised coordinates lie.
HALF = 3.0**0.5


@final
class RandomFeatures(nn.Module):
    """C φ(W x + b) with W and b frozen; built as the other networks are, of depth 1.

    The output starts at zero. Coordinates are expected standardised, in [−√3, √3].

    Args:
        inputs, outputs, width: coordinates, unknowns and features.
        depth: 1, the only one there is.
        generator: of the draw.
        activation: φ, elementwise: `torch.sin` for smooth solutions, where it needs far fewer
            features; `torch.tanh` where they have layers.
        scale: s, wave number (sine) or steepness (tanh) per standardised coordinate; one number
            or one for each. Where `placement` is given, the search starts here.
        placement: finds scales and centres at the first step; None keeps `scale`.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    placed: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int = 1,
        generator: Generator | None = None,
        activation: Callable[[Tensor], Tensor] = torch.sin,
        scale: float | Sequence[float] = 3.0,
        placement: Placement | None = None,
    ) -> None:
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "width": width}
        require_positive("random features", **sizes)
        if depth != 1:
            raise UserError(f"random features: expected depth=1, got {depth!r}; set depth: 1")
        if not callable(activation):
            raise UserError(
                f"random features: expected activation to be a function, got {activation!r}; "
                "set activation={_target_: torch.sin, _partial_: true}"
            )
        self.activation, self.placement = activation, placement
        self.seed = int(torch.randint(2**62, (), generator=generator))
        self.output = nn.utils.skip_init(nn.Linear, width, outputs, bias=False)
        nn.init.zeros_(self.output.weight)
        self.register_buffer("weight", torch.empty(width, inputs))
        self.register_buffer("bias", torch.empty(width))
        self.register_buffer("scale", torch.empty(inputs))
        self.register_buffer("placed", torch.tensor(placement is None))
        self.draw(scales(scale, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.activation(functional.linear(x, self.weight, self.bias)))

    @torch.no_grad()
    def draw(self, scale: Tensor, centres: Tensor | None = None, steeper: float = 1.0) -> None:
        """Draw W and b anew: the same numbers each time, stretched to the scales.

        Args:
            scale: `[inputs]`, s.
            centres: `[m, inputs]`, hyperplanes of the last m features go through these points.
            steeper: factor on the scales of these m.
        """
        width, inputs = self.weight.shape
        generator = torch.Generator().manual_seed(self.seed)
        unit = 2 * torch.rand(2, width, inputs, dtype=torch.float64, generator=generator) - 1
        weight, points = scale.double() * unit[0], HALF * unit[1]
        if centres is not None:
            weight[width - len(centres) :] *= steeper
            points[width - len(centres) :] = centres
        self.scale.copy_(scale)
        self.weight.copy_(weight)
        self.bias.copy_(-(weight * points).sum(1))

    def narrower(self, width: int) -> "RandomFeatures":
        """The same kind of features, fewer of them, in double precision on the processor."""
        inputs, outputs = self.weight.shape[1], self.output.out_features
        few = RandomFeatures(inputs, outputs, width, activation=self.activation)
        few.seed = self.seed
        few.double().draw(self.scale.cpu())
        return few

    def place(
        self,
        model: nn.Module,
        objective: Any,
        batches: Sequence[Any],
        average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    ) -> None:
        """Find scales and centres by the residual of `model`, which holds these features; once.

        Args:
            model: the whole network, wrappers included.
            objective: offers `contracts.Linearised`, as `objective.CollocationLoss` does.
            batches: points of one training step; the first will do.
            average: mean over ranks, so that all ranks draw the same features.
        """
        if self.placement is None or self.placed:
            return

        def narrowed(width: int) -> tuple[nn.Module, RandomFeatures]:
            few = {id(m): m.narrower(width) for m in model.modules() if isinstance(m, type(self))}
            return copy.deepcopy(model, dict(few)).double().cpu(), few[id(self)]

        place = self.placement(narrowed, len(self.weight), objective, batches[0], average)
        self.draw(place.scale, place.centres(len(self.weight)), place.steeper)
        self.placed.fill_(True)


def scales(scale: float | Sequence[float], inputs: int) -> Tensor:
    """`[inputs]`, one for each coordinate."""
    values = torch.as_tensor(scale, dtype=torch.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != inputs) or not (values > 0).all():
        raise UserError(
            f"random features: expected one scale > 0 or {inputs}, one for each coordinate, "
            f"got {scale!r}; set scale=3"
        )
    return values.expand(inputs).clone()

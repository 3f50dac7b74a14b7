"""DiffGrad: Adam whose step is braked where the gradient hardly changes.

    ξ = sigmoid(|g₋ - g|),   m = β1 m + (1 - β1) g,   v = β2 v + (1 - β2) g²
    x ← x - lr ξ m̂ / (√v̂ + ε),   m̂ = m / (1 - β1^t),  v̂ = v / (1 - β2^t),   g₋ = 0 at first

ξ lies in [1/2, 1): half of Adam's step where nothing changes, all of it where the gradient jumps.
ξ depends on the size of the gradients: for losses below 1e-4 or so it is 1/2 throughout.
Source: Dubey et al., IEEE Trans. Neural Netw. Learn. Syst. 31 (2020), equations 8-12.
"""

from collections.abc import Callable, Iterable
from typing import final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError


@final
class DiffGrad(torch.optim.Optimizer):
    """Adam with the friction ξ; Adam's cost and one more buffer.

    Args:
        parameters: any shape.
        lr: rate.
        betas: (β1, β2), each in [0, 1).
        eps: ε.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if lr < 0 or not all(0 <= beta < 1 for beta in betas):
            raise UserError(f"diffgrad: expected lr >= 0, betas in [0, 1), got {lr}, {betas}")
        super().__init__(parameters, {"lr": lr, "betas": tuple(betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, self.state[parameter], group)
        return loss


def move(parameter: nn.Parameter, state: dict, group: dict) -> None:
    """One step of one parameter."""
    if not state:
        state["step"] = 0
        for name in ("mean", "square", "before"):
            state[name] = torch.zeros_like(parameter)
    gradient, (beta1, beta2) = parameter.grad, group["betas"]
    state["step"] += 1
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    friction = (state["before"] - gradient).abs_().sigmoid_()
    state["before"].copy_(gradient)
    root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    parameter.addcdiv_(friction * mean, root, value=-group["lr"] / (1 - beta1 ** state["step"]))

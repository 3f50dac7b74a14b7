"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner.

For a weight matrix with gradient G [m, n]:

    L ← β L + (1 - β) G Gᵀ,   R ← β R + (1 - β) GᵀG,   L ≈ Q_L Λ Q_Lᵀ,   R ≈ Q_R Λ Q_Rᵀ
    G' = Q_Lᵀ G Q_R,   v ← β2 v + (1 - β2) G'²,   M ← β1 M + (1 - β1) G
    W ← W - lr (Q_L [ M̂' / (√v̂ + ε) ] Q_Rᵀ + λ W),   M' = Q_Lᵀ M Q_R,   β = β2

Q comes from an eigendecomposition at first, then every `every` steps from one power iteration and a
QR decomposition. Axes longer than `largest` keep the identity (one-sided SOAP), and so do vectors,
where SOAP is Adam. Tensors of more axes have one basis per axis.

Source: Vyas et al., SOAP: Improving and Stabilizing Shampoo using Adam, arXiv 2409.11321 (2024),
algorithm 3. There the first step only prepares the bases, and L, R and Q follow the step; here the
first one moves as well, and they come before it.
"""

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

from sciml.contracts import UserError


@final
class SOAP(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo.

    Memory 2 (m² + n²) beside Adam's 2 m n; arithmetic of the order m n (m + n) a step and
    m³ + n³ every `every` steps.

    Args:
        parameters: any shape.
        lr: rate.
        betas: (β1, β2), each in [0, 1).
        eps: ε.
        weight_decay: λ, decoupled from the gradient.
        every: steps between two turns of the bases, >= 1.
        largest: longest axis that gets a basis.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        every: int = 10,
        largest: int = 10_000,
    ) -> None:
        if lr < 0 or every < 1 or not all(0 <= beta < 1 for beta in betas):
            raise UserError(
                f"soap: expected lr >= 0, every >= 1, betas in [0, 1), got {lr}, {every}, {betas}"
            )
        numbers = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, numbers | {"every": every, "largest": largest})

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


def move(parameter: nn.Parameter, state: dict[str, Any], group: dict[str, Any]) -> None:
    """One step of one parameter."""
    gradient, (beta1, beta2) = parameter.grad, group["betas"]
    if not state:
        state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        sizes = gradient.shape if gradient.ndim > 1 else ()
        state["factors"] = [zero_factor(size, gradient, group["largest"]) for size in sizes]
        state["bases"] = [None] * len(sizes)
    state["step"] += 1
    turn(state, gradient, group)
    bases = state["bases"]
    mean = state["mean"].lerp_(gradient, 1 - beta1)
    turned = rotate(gradient, bases)
    square = state["square"].mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    wanted = rotate_back(rotate(mean, bases) / root, bases)
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(wanted, alpha=-group["lr"] / (1 - beta1 ** state["step"]))


def zero_factor(size: int, gradient: Tensor, largest: int) -> Tensor | None:
    """L or R before the first gradient; None for an axis that keeps the identity."""
    if size == 1 or size > largest:
        return None
    return torch.zeros(size, size, dtype=gradient.dtype, device=gradient.device)


def turn(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> None:
    """Update L and R, and the bases where it is time; √v follows the order of the axes."""
    beta, first = group["betas"][1], state["step"] == 1
    for axis, factor in enumerate(state["factors"]):
        if factor is not None:
            rows = gradient.movedim(axis, 0).flatten(1)
            factor.mul_(beta).addmm_(rows, rows.T, alpha=1 - beta)
    if not first and (state["step"] - 1) % group["every"] != 0:
        return
    for axis, factor in enumerate(state["factors"]):
        if factor is None:
            continue
        if first:
            state["bases"][axis] = torch.linalg.eigh(factor)[1].flip(1).contiguous()
            continue
        basis = state["bases"][axis]
        order = (basis * (factor @ basis)).sum(0).argsort(descending=True, stable=True)
        state["square"] = state["square"].index_select(axis, order)
        state["bases"][axis] = torch.linalg.qr(factor @ basis[:, order])[0].contiguous()


def rotate(tensor: Tensor, bases: list[Tensor | None]) -> Tensor:
    """Coordinates in the bases: Q_Lᵀ G Q_R for a matrix."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            tensor = (tensor.movedim(axis, -1) @ basis).movedim(-1, axis)
    return tensor


def rotate_back(tensor: Tensor, bases: list[Tensor | None]) -> Tensor:
    """The inverse of `rotate`."""
    return rotate(tensor, [None if basis is None else basis.T for basis in bases])

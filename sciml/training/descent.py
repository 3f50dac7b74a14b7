"""From a gradient row to the optimiser: clipping, `.grad`, the loss evaluated again (L-BFGS)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import Direction, UserError, Weights
from sciml.training import sharded
from sciml.training.refusals import refuse_nonfinite_norm
from sciml.training.step import Step
from sciml.training.vectors import unflatten, weighted


def write(
    gradient: Float[Tensor, " parameters"],
    parameters: Mapping[str, nn.Parameter],
    clip: float | None,
) -> None:
    """Write a gradient row into `.grad`, shortened to the norm `clip`; the row itself is kept."""
    if clip is not None:
        gradient = gradient * (clip / (gradient.norm() + 1e-6)).clamp(max=1)
    for name, piece in unflatten(gradient, parameters).items():
        parameters[name].grad = piece


def in_pieces(
    step: Step,
    weights: Weights,
    parameters: Mapping[str, nn.Parameter],
    clip: float | None,
    optimizer: Any,
) -> None:
    """A step along a gradient of which every rank has a piece; the backward pass averages it."""
    for parameter in parameters.values():
        parameter.grad = None
    step.backward(weights)
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    norm = sharded.norm(gradients)
    refuse_nonfinite_norm(step, norm)
    if clip is not None:
        factor = (clip / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor)
    optimizer.step(closure=closure(step, weights, parameters, None))


def closure(
    step: Step,
    answer: Weights | Direction,
    parameters: Mapping[str, nn.Parameter],
    clip: float | None,
) -> Callable[[], Tensor]:
    """The loss for the optimiser, which may ask for it more than once a step.

    `.grad` holds the gradient of the first evaluation already; later ones take the same batches
    and the same weights, as a balancer is asked once a step.

    Raises:
        UserError: a second evaluation under a direction, or under clipping: curvature is inferred
            from how the gradient changes, and two clipped gradients differ by next to nothing.
    """
    evaluations = 0

    def loss() -> Tensor:
        nonlocal evaluations
        evaluations += 1
        weights = unit_weights(step) if isinstance(answer, Direction) else answer
        if evaluations == 1:
            return weighted(step.losses, weights)
        if isinstance(answer, Direction):
            raise UserError(
                "this balancer answers with a direction, which no optimiser can follow that "
                "evaluates the loss more than once a step; use adam"
            )
        if clip is not None:
            raise UserError(
                f"phase: expected clip=null with an optimiser that infers curvature from its "
                f"gradients, got {clip}; limit its steps by its learning rate or line search"
            )
        now = step.fresh()
        write(now.gradient(weights, last=True), parameters, None)
        return weighted(now.losses, weights)

    return loss


def unit_weights(step: Step) -> Weights:
    """1 for every term."""
    return {name: torch.ones_like(loss) for name, loss in step.losses.items()}

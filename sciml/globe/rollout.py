"""A model applied to its own output: one state after the other, in memory that does not grow.

    x_{k+1} = after(M(x_k, forcing_k), k + 1)

In training every step but the last is a checkpoint: only its input is kept, and its activations are
made again when the backward pass comes to it, so that those of one step are held at any time.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor, device, is_grad_enabled, nn, stack
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint as recomputed

from sciml.contracts import UserError

#: `(state [B, C, *grid], number of the step) -> state`, such as a nudging towards a boundary.
After = Callable[[Tensor, int], Tensor]


def trajectory(
    model: Callable[..., Tensor],
    state: Tensor,
    forcing: Tensor | None,
    steps: int,
    after: After | None = None,
) -> Iterator[Tensor]:
    """The states of steps 1 … `steps`, one at a time.

    Args:
        model: `(state [B, C, *grid], forcing [B, F, *grid] | None) -> state`.
        state: `[B, C, *grid]` that the forecast starts from.
        forcing: `[B, >= steps, F, *grid]`; number k is valid at the time of the state k.
        after: applied to every new state, with the number of its step, from 1 on.
    """
    return _states([model] * steps, state, forcing, after)


def _states(
    models: Sequence[Callable[..., Tensor]],
    state: Tensor,
    forcing: Tensor | None,
    after: After | None,
    before: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """The states that the models make one after the other; `before` changes their inputs alone."""
    for step, model in enumerate(models):
        entering = state if before is None else before(state)
        state = model(entering, None if forcing is None else forcing[:, step])
        if after is not None:
            state = after(state, step + 1)
        yield state


def rollout(
    model: nn.Module,
    window: Any,
    steps: int,
    checkpoint: bool = True,
    noise: Callable[[Tensor], Tensor] | None = None,
    after: After | None = None,
    every: bool = False,
) -> Tensor:
    """The forecast `[B, steps, C, *grid]` from a window's first state.

    Args:
        model: `(state, forcing) -> state`.
        window: `globe.data.Window`.
        steps: length of the forecast.
        checkpoint: keep the activations of one step only, for one more forward pass of the others.
        noise: applied to the first state.
        after: applied to every new state.
        every: noise is applied to the state that every step starts from; what is compared with the
            truth has that of the steps before.

    Raises:
        UserError: the window is shorter than the forecast.
    """
    require_length(window, steps)
    state = window.state[:, 0] if noise is None or every else noise(window.state[:, 0])
    early = model
    if checkpoint and steps > 1 and is_grad_enabled():
        early = partial(recomputed, _at_these_parameters(model), use_reentrant=False)
    models = [early] * (steps - 1) + [model]  # the backward pass begins with the last: held at once
    before = noise if every else None
    return stack(list(_states(models, state, window.forcing, after, before)), dim=1)


def device_of(model: nn.Module) -> device:
    """Where a model's parameters are."""
    return next(model.parameters()).device


def require_length(window: Any, steps: int) -> None:
    """Refuses a window with fewer states than a forecast of `steps` and its start."""
    held = window.state.shape[1]
    if held < steps + 1:
        raise UserError(
            f"rollout: expected windows of at least {steps + 1} states for {steps} steps, "
            f"got {held}; set rollout={steps} in the same phase's settings for the data"
        )


def _at_these_parameters(model: nn.Module) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The model at the parameters it has now, also when it is asked again later.

    A step that is evaluated elsewhere (`Step.again`) lends the model other parameters for the
    forward pass; they are gone when the backward pass makes the activations again.
    """
    if hasattr(model, "unshard"):  # in pieces over ranks: no step is evaluated elsewhere
        return model
    held = dict(model.named_parameters())

    def step(state: Tensor, forcing: Tensor | None) -> Tensor:
        if all(value is held[name] for name, value in model.named_parameters()):
            return model(state, forcing)
        return functional_call(model, held, (state, forcing))

    return step

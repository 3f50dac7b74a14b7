"""Where Newton's method begins a step: extrapolated, by linear response, or where it was."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.simulator.adjoint import March
from sciml.tactile.simulator.balance import Balance
from sciml.tactile.simulator.schemes import State


def starts(
    balance: Balance,
    then: tuple[tuple[Tensor, ...], ...],
    state: State,
    motion: Tensor,
    march: March,
    duration: float,
) -> Iterator[np.ndarray]:
    """Where Newton's method may begin: extrapolated, by linear response, or where it was."""
    u, body = state.u.detach().numpy(), balance.body
    there = body.with_motion(u, motion.numpy())
    if state.last is not None:
        last, _, lasted = state.last
        further = u + (u - last.detach().numpy()) * (duration / lasted)
        yield body.with_motion(further, motion.numpy())
    moved = (there - u).reshape(-1)[body.pattern.held]
    yield u + _response(balance, then, u, moved, march)
    yield there


def _response(
    balance: Balance,
    then: tuple[tuple[Tensor, ...], ...],
    u: np.ndarray,
    moved: np.ndarray,
    march: March,
) -> np.ndarray:
    """The linear response `[n, 3]` to a further motion of held components and of the parameters.

    Args:
        balance: at the end of the step.
        then: parameters and memory of every term at its start.
        u: displacement there.
        moved: further motion of the held components.
        march: has the solver.
    """
    body, start = balance.body, replace(balance, parameters=then)
    blocks = start.tangent(u, body.elements.deformation(u))
    push = body.pattern.of_held(blocks).T @ moved + _pushed(balance, then, u).reshape(-1)
    found = np.zeros(u.size)
    found[body.pattern.held] = moved
    try:
        right = -push[body.pattern.free]
        found[body.pattern.free] = march.forward(body.pattern.among_free(blocks), right, 1e-3)
    except RuntimeError:  # not positive definite: the next start is tried
        found[:] = np.nan
    return found.reshape(u.shape)


def _pushed(
    balance: Balance, then: tuple[tuple[Tensor, ...], ...], u: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """∂r/∂θ Δθ of all terms, by differentiating the slope of the work λ·r along Δθ in λ."""
    at, found = torch.from_numpy(u), np.zeros_like(u)
    for term, old, new in zip(balance.body.terms, then, balance.parameters, strict=True):
        changed = [k for k, (a, b) in enumerate(zip(old, new, strict=True)) if not a.equal(b)]
        if not changed:
            continue
        with torch.enable_grad():
            values = [value.detach().requires_grad_(k in changed) for k, value in enumerate(old)]
            weight = torch.zeros_like(at).requires_grad_()
            work = (weight * term.force(at, balance.before, *values)).sum()
            inputs = [values[k] for k in changed]
            slopes = torch.autograd.grad(work, inputs, create_graph=True, allow_unused=True)
            along = [
                (slope * (new[k] - old[k]).detach()).sum()
                for slope, k in zip(slopes, changed, strict=True)
                if slope is not None and slope.requires_grad
            ]
            if along:
                found += torch.autograd.grad(sum(along), weight)[0].numpy()
    return found

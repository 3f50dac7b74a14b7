"""Where Newton's method begins a step: extrapolated, by linear response, or where it was."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.simulator.adjoint import March
from sciml.tactile.simulator.newton import AnyBalance
from sciml.tactile.simulator.schemes import State

#: Of a step, over which the slope along its path is taken.
PART = 1e-5


def starts(
    balance: AnyBalance,
    then: tuple[tuple[Tensor, ...], ...],
    state: State,
    motion: Tensor,
    march: March,
    duration: float,
) -> Iterator[np.ndarray]:
    """Where Newton's method may begin: extrapolated, by linear response, or where it was."""
    u, body = state.u.detach().numpy(), balance.body
    p = state.pressure.detach().numpy()
    there = body.with_motion(u, motion.numpy())
    if state.last is not None:
        last, _, lasted = state.last
        further = u + (u - last.detach().numpy()) * (duration / lasted)
        yield balance.joined(body.with_motion(further, motion.numpy()), p)
    yield responded(balance, then, balance.joined(u, p), motion.numpy(), march)
    yield balance.joined(there, p)


def responded(
    balance: AnyBalance,
    then: tuple[tuple[Tensor, ...], ...],
    at: np.ndarray,
    motion: np.ndarray,
    march: March,
) -> np.ndarray:
    """The linear response to a further motion of held components and of the parameters.

    Args:
        balance: at the end of the step.
        then: parameters and memory of every term before it.
        at: unknowns before it.
        motion: `[h, 3]` of the held nodes after it.
        march: has the solver.
    """
    body, start, u = balance.body, balance.with_parameters(then), balance.parts(at)[0]
    moved = (body.with_motion(u, motion) - u).reshape(-1)[body.pattern.held]
    tangent = start.tangent(at, body.elements.deformation(u), rounded=True)
    push = start.of_held(tangent).T @ moved if moved.any() else np.zeros(at.size)
    push[: u.size] += _pushed(balance, then, u).reshape(-1)
    found = np.zeros(at.size)
    found[body.pattern.held] = moved
    try:
        found[start.free] = march.forward(start.among_free(tangent), -push[start.free], 1e-3)
    except RuntimeError:  # not positive definite: the next start is tried
        found[:] = np.nan
    return at + found.reshape(at.shape)


def _pushed(
    balance: AnyBalance, then: tuple[tuple[Tensor, ...], ...], u: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """∂r/∂θ Δθ of all terms, by a quotient of differences over a small part of Δθ."""
    at, found = torch.from_numpy(u), np.zeros_like(u)
    for term, old, new in zip(balance.body.terms, then, balance.parameters, strict=True):
        pairs = list(zip(old, new, strict=True))
        on = [a if a.equal(b) else torch.lerp(a, b, PART) for a, b in pairs]
        if all(a is b for a, b in zip(old, on, strict=True)):
            continue
        gained = term.force(at, balance.before, *on) - term.force(at, balance.before, *old)
        found += gained.detach().numpy() / PART
    return found

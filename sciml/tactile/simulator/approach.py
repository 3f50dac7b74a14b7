"""Where a step begins if states are barred: bodies that must not pass each other.

What is given at the end of a step (poses of solids, held nodes) cannot be set at once: a solid
would stand inside a body that has not yet given way. From the state before, all go together along
a guess of the way (extrapolated, or the linear response) as far as it is free; there the body is
roughly balanced and the next guess is made, until the end is reached.

Nothing here is differentiated: where a solve starts decides which balance it finds, not what that
balance is.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sciml.tactile.simulator.adjoint import March
from sciml.tactile.simulator.balance import Parameters
from sciml.tactile.simulator.newton import AnyBalance, Newton, Unconverged
from sciml.tactile.simulator.schemes import State
from sciml.tactile.simulator.starts import responded

#: Guesses of the way within one step, at most.
STAGES = 40
#: Share of a free way that is gone, so that what comes near is pushed away before it is hit.
CARE = 0.9
#: Share of a step below which there is no progress.
LITTLE = 1e-6
#: How well the body is balanced on the way.
ROUGHLY = Newton(tolerance=0.2, iterations=30)


def approached(
    balance: AnyBalance,
    then: Parameters,
    state: State,
    motion: Tensor,
    march: March,
    duration: float,
) -> Iterator[np.ndarray]:
    """Unknowns that no term bars, with what is given at the end of the step.

    Args:
        balance: at the end of the step.
        then: parameters and memory of every term at its start.
        state: at its start.
        motion: `[h, 3]` of the held nodes at the end.
        march: has the solvers.
        duration: of the step.

    Raises:
        Unconverged: the way stays barred, or no balance was found on it.
    """
    then = tuple(tuple(value.detach() for value in values) for values in then)
    u, p = state.u.detach().numpy(), state.pressure.detach().numpy()
    at, gone = balance.joined(u, p), 0.0
    guesses = [_extrapolated(balance, state, motion, duration)] if state.last is not None else []
    for _ in range(STAGES):
        now = _between(then, balance.parameters, gone)
        guesses.append(responded(balance, now, at, motion.numpy(), march))
        guesses = [guess for guess in guesses if np.isfinite(guess).all()]
        free = [balance.free_share(at, guess, now) for guess in guesses]
        if not free or max(free) < LITTLE:
            break
        share = max(free)
        goal = guesses[free.index(share)]
        if share == 1.0:
            yield goal
            return
        at, gone = _gone(balance, then, at, goal, gone, CARE * share)
        on_way = balance.with_parameters(_between(then, balance.parameters, gone))
        found, iterations = ROUGHLY(on_way, [at], march.forward, march.force)
        march.iterations.append(iterations)
        at, guesses = found.u, []
    raise Unconverged("bodies that must not pass each other are in the way")


def _gone(
    balance: AnyBalance,
    then: Parameters,
    at: np.ndarray,
    goal: np.ndarray,
    gone: float,
    share: float,
) -> tuple[np.ndarray, float]:
    """The unknowns after a share of the way to the goal, and the share of the step gone by then.

    What is given need not go straight (a solid that turns), so the shorter way is looked at too.
    """
    now = _between(then, balance.parameters, gone)
    while share > LITTLE:
        further, to = gone + share * (1 - gone), at + share * (goal - at)
        there = balance.with_parameters(_between(then, balance.parameters, further))
        free = there.free_share(at, to, now)
        if free == 1.0:
            return to, further
        share *= CARE * free
    raise Unconverged("bodies that must not pass each other are in the way")


def _extrapolated(balance: AnyBalance, state: State, motion: Tensor, duration: float) -> np.ndarray:
    last, _, lasted = state.last
    u = state.u.detach().numpy()
    further = u + (u - last.detach().numpy()) * (duration / lasted)
    moved = balance.body.with_motion(further, motion.numpy())
    return balance.joined(moved, state.pressure.detach().numpy())


def _between(then: Parameters, end: Parameters, share: float) -> Parameters:
    """Parameters and memory at a share of the step; memory does not change in it."""
    return tuple(
        tuple(a if a.equal(b) else torch.lerp(a, b, share) for a, b in zip(old, new, strict=True))
        for old, new in zip(then, end, strict=True)
    )

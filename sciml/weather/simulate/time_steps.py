"""Time steps of a system with slow nonlinear and fast linear terms: x_t = N(x) + L x.

    x⁺ = x + Δt [ (23 N - 16 N' + 5 N'')/12 + (3 L x⁺ + L x')/4 ]

N is extrapolated by the third-order Adams-Bashforth scheme, L is taken implicitly and is stable for
all its waves and all its damping. Together they are stable for slow waves of ω Δt < 0.6 whatever
the fast ones do; the weights 9/16, 6/16, 1/16 lose that at 0.3. The first step is forward Euler
with a trapezoidal L, the second has second-order weights; the order of the whole is two.

Source: D. R. Durran, P. N. Blossey, Implicit-explicit multistep methods for fast-wave-slow-wave
problems, Mon. Wea. Rev. 140 (2012) 1307-1325 (AM2* with AB3).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from sciml.physics.earth import RADIUS

#: Weights of the newest N first, by how many are known.
EXPLICIT = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))
#: Weights of L x⁺, L x, L x', by how many are known.
IMPLICIT = ((1 / 2, 1 / 2), (3 / 4, 0.0, 1 / 4), (3 / 4, 0.0, 1 / 4))


#: ω Δt of slow waves up to which the scheme is stable.
LIMIT = 0.6


def longest_step(interval: float, truncation: int, wind: float) -> float:
    """The longest step, s, that divides `interval` and carries waves of degree T by this wind.

    ω = U T/a
    """
    limit = LIMIT * RADIUS / (wind * truncation)
    return interval / math.ceil(interval / limit)


class Split(Protocol):
    """A system in two parts: N explicit, L linear."""

    def nonlinear(self, x: Tensor) -> Tensor:
        """N(x)."""

    def linear(self, x: Tensor) -> Tensor:
        """L x."""

    def solve(self, r: Tensor, b: float) -> Tensor:
        """The x of (1 - b L) x = r."""


@final
@dataclass(frozen=True)
class Past:
    """A state with the tendencies of the steps before it, newest first."""

    x: Tensor
    N: tuple[Tensor, ...] = ()
    L: tuple[Tensor, ...] = ()


def step(system: Split, past: Past, dt: float) -> Past:
    """One step of `dt` seconds."""
    N = (system.nonlinear(past.x), *past.N)[:3]
    L = (system.linear(past.x), *past.L)[:2]
    b, *known = IMPLICIT[len(N) - 1]
    r = past.x
    for weight, term in (*zip(EXPLICIT[len(N) - 1], N, strict=True), *zip(known, L, strict=True)):
        r = torch.add(r, term, alpha=dt * weight)
    return Past(system.solve(r, dt * b), N, L)


def run(
    system: Split, past: Past, dt: float, steps: int, watch: Callable[[Past], None] | None = None
) -> Past:
    """`steps` steps of `dt` seconds without a gradient; `watch` sees the state after each."""
    with torch.no_grad():
        for _ in range(steps):
            past = step(system, past, dt)
            if watch is not None:
                watch(past)
    return past

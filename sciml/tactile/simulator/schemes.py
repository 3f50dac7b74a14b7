"""Time schemes: quasi-static increments, backward Euler, and BDF2 with steps of any length.

    v_new = (α u_new - b_u)/Δt,    a_new = (α v_new - b_v)/Δt = (α/Δt)² (u_new - û)

    û = b_u/α + Δt b_v/α²

    scheme           α                   b_x, of x = u or v
    backward Euler   1                   x_n
    BDF2             (1 + 2ω)/(1 + ω)    (1 + ω) x_n - ω²/(1 + ω) x_{n-1}       ω = Δt/Δt_last

BDF2 begins with one step of backward Euler, which leaves it second order. Both damp vibrations
that the steps do not resolve, backward Euler strongly.

Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, 2nd ed.
(1993), § III.5.
"""

from dataclasses import dataclass, field
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.prony import Past


@final
@dataclass(frozen=True, eq=False)
class State:
    """Displacement and velocity `[n, 3]`, m and m/s, now and one step ago (None at the start).

    `memory` is that of every external term (see `external`), None before the first step;
    `pressure` that of the corners, Pa, from which the next is sought, empty without one; `past`
    that of a viscoelastic material, None if it has been where it is for long.
    """

    u: Tensor
    v: Tensor
    last: "tuple[Tensor, Tensor, float] | None" = None
    memory: "tuple[tuple[Tensor, ...], ...] | None" = None
    pressure: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    past: "Past | None" = None


@final
@dataclass(frozen=True, eq=False)
class Velocity:
    """v = (α u - Σ share · earlier)/Δt when it is asked for: displacements are kept anyway."""

    alpha: float
    u: Tensor
    shares: tuple[float, ...]
    earlier: tuple[Tensor, ...]
    dt: float

    def __call__(self) -> Tensor:
        return (self.alpha * self.u - _sum(self.shares, self.earlier)) / self.dt


@final
@dataclass(frozen=True, eq=False)
class Rates:
    """α, b_u, b_v and Δt of one step; b_x = Σ share · earlier x."""

    alpha: float
    shares: tuple[float, ...]
    u: tuple[Tensor, ...]
    v: tuple[Tensor, ...]
    dt: float

    @property
    def stiffness(self) -> float:
        """(α/Δt)², s⁻²."""
        return (self.alpha / self.dt) ** 2

    def drift(self) -> Tensor:
        """û."""
        b_u, b_v = _sum(self.shares, self.u), _sum(self.shares, self.v)
        return b_u / self.alpha + (self.dt / self.alpha**2) * b_v

    def velocity(self, u: Tensor) -> Velocity:
        """v_new."""
        return Velocity(self.alpha, u, self.shares, self.u, self.dt)


def _sum(shares: tuple[float, ...], values: tuple[Tensor, ...]) -> Tensor:
    found = shares[0] * values[0]
    for share, value in zip(shares[1:], values[1:], strict=True):
        found = found + share * value
    return found


@runtime_checkable
class Scheme(Protocol):
    """How the state enters the next step of length `share` of a whole one."""

    def rates(self, state: State, share: float) -> Rates | None:
        """None without inertia."""

    def duration(self, share: float) -> float:
        """Of a part of a step, s, or in steps without inertia."""


@final
@dataclass(frozen=True)
class QuasiStatic:
    """No inertia: every step ends in balance. Right where loads change slowly against waves.

    Args:
        dt: length of a step, s, > 0, for materials that relax; the others have no time.
    """

    dt: float | None = None

    def __post_init__(self) -> None:
        if self.dt is not None:
            _refuse(self.dt)

    def rates(self, state: State, share: float) -> None:
        return None

    def duration(self, share: float) -> float:
        return share * (1.0 if self.dt is None else self.dt)


@final
@dataclass(frozen=True)
class BackwardEuler:
    """First order, strongly damped; steps of `dt` seconds, > 0."""

    dt: float

    def __post_init__(self) -> None:
        _refuse(self.dt)

    def rates(self, state: State, share: float) -> Rates:
        return _first_order(state, self.duration(share))

    def duration(self, share: float) -> float:
        return share * self.dt


@final
@dataclass(frozen=True)
class BDF2:
    """Second order, weakly damped; steps of `dt` seconds, > 0."""

    dt: float

    def __post_init__(self) -> None:
        _refuse(self.dt)

    def rates(self, state: State, share: float) -> Rates:
        dt = self.duration(share)
        if state.last is None:
            return _first_order(state, dt)
        u, v, dt_last = state.last
        omega = dt / dt_last
        alpha, shares = (1 + 2 * omega) / (1 + omega), (1 + omega, -(omega**2) / (1 + omega))
        return Rates(alpha, shares, (state.u, u), (state.v, v), dt)

    def duration(self, share: float) -> float:
        return share * self.dt


def _first_order(state: State, dt: float) -> Rates:
    return Rates(1.0, (1.0,), (state.u,), (state.v,), dt)


def _refuse(dt: float) -> None:
    if not dt > 0:
        raise UserError(f"time step: expected dt > 0 in seconds, got {dt!r}")


def at_rest(n: int) -> State:
    """The state without displacement and velocity of n nodes."""
    return State(torch.zeros(n, 3, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64))

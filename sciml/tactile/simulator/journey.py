"""One simulation under way: step after step, solved again for what lags, divided if too large."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.materials import Material
from sciml.tactile.prony import Past, after, during, relaxed
from sciml.tactile.simulator.adjoint import March, Step, advance
from sciml.tactile.simulator.approach import approached
from sciml.tactile.simulator.external import Remembering
from sciml.tactile.simulator.newton import AnyBalance, Unconverged
from sciml.tactile.simulator.schemes import Rates, Scheme, State
from sciml.tactile.simulator.starts import starts
from sciml.tactile.simulator.strain import deformation

#: Times that one step is halved before it is refused.
HALVINGS = 6
#: What each external term's functions take: u, the displacement before, parameters, memory.
Acting = tuple[tuple[Tensor, ...], ...]


@final
@dataclass(frozen=True, eq=False)
class Trajectory:
    """What came out of a simulation.

    Args:
        u, v: displacements, m, and velocities, m/s (zero in statics): the initial ones and those
            after every step, each `[n, 3]`.
        holding: forces of the held nodes after every step, each `[h, 3]`, N.
        iterations: Newton iterations of every balance solved.
        divided: steps that had to be divided.
        factors: factorisations made.
        acting: of every step and external term what its functions take in the state after it:
            u, the displacement before, parameters and memory; `term.force(*acting[step][i])`.
        p: pressures of the corners after every step, each `[c]`, Pa, positive in tension; empty
            for materials without a pressure field.
        end: the state after the last step, from which another simulation may go on.
    """

    u: tuple[Tensor, ...]
    v: tuple[Tensor, ...]
    holding: tuple[Tensor, ...]
    iterations: tuple[int, ...]
    divided: int
    factors: int
    acting: tuple[Acting, ...]
    p: tuple[Tensor, ...]
    end: State


class StepRefused(UserError):
    """A step that found no balance however divided; `trajectory` holds all good states before."""

    def __init__(self, text: str, trajectory: Trajectory) -> None:
        super().__init__(text)
        self.trajectory = trajectory


@final
@dataclass
class Journey:
    """One simulation under way."""

    scheme: Scheme
    march: March
    material: Material
    motion: Tensor
    parameters: Sequence[Sequence[Tensor]]
    divided: int = 0

    def __call__(self, state: State, steps: int) -> Trajectory:
        u, v = [state.u], [state.v]
        holding: list[Tensor] = []
        acting: list[Acting] = []
        p: list[Tensor] = []
        for step in range(steps):
            try:
                state, forces, terms = self._through(state, step, 0.0, 1.0)
            except Unconverged as reason:
                raise StepRefused(
                    f"step {step + 1} of {steps}: expected a balance of forces, got none in "
                    f"1/{2**HALVINGS} of the step: {reason}; take smaller steps, a finer mesh or "
                    "a softer load",
                    self._trajectory(u, v, holding, acting, p, state),
                ) from None
            u.append(state.u)
            v.append(state.v)
            holding.append(forces)
            acting.append(terms)
            p.append(state.pressure)
        return self._trajectory(u, v, holding, acting, p, state)

    def _trajectory(
        self,
        u: list[Tensor],
        v: list[Tensor],
        holding: list[Tensor],
        acting: list[Acting],
        p: list[Tensor],
        end: State,
    ) -> Trajectory:
        march = self.march
        return Trajectory(
            tuple(u),
            tuple(v),
            tuple(holding),
            tuple(march.iterations),
            self.divided,
            march.forward.factors,
            tuple(acting),
            tuple(p),
            end,
        )

    def _through(
        self, state: State, step: int, start: float, end: float, halvings: int = HALVINGS
    ) -> tuple[State, Tensor, Acting]:
        """The state after the part of a step from one share to another, divided if need be."""
        try:
            return self._directly(state, step, start, end)
        except Unconverged:
            if not halvings:
                raise
        self.divided += 1
        middle = (start + end) / 2
        self.march.forward.factor = None
        state, _, _ = self._through(state, step, start, middle, halvings - 1)
        return self._through(state, step, middle, end, halvings - 1)

    def _directly(
        self, state: State, step: int, start: float, end: float
    ) -> tuple[State, Tensor, Acting]:
        """The state, the holding forces and what the terms took, after one balance or more."""
        rates = self.scheme.rates(state, end - start)
        duration = self.scheme.duration(end - start)
        motion = _between(self.motion, step, end)
        parameters = self._parameters(step, end)
        past = None if self.material.series is None else state.past or self._relaxed(state.u)
        material = self.material if past is None else during(self.material, past, duration)
        began = self._parameters(step, start)
        memory = state.memory or self._memory_at(state.u, began)
        then = _with(began, memory)
        found, solves = None, 0
        while True:
            given = _with(parameters, memory)
            u, forces, p = advance(
                Step(
                    self.march,
                    material.law,
                    self._starts(state, found, duration, then),
                    len(material.parameters),
                    tuple(len(values) for values in given),
                ),
                material,
                state.u if rates is None else rates.drift(),
                _inertia(material, rates),
                motion,
                state.u,
                given,
            )
            solves += 1
            renewed = self._renewed(u, parameters, memory, solves)
            if renewed is None:
                break
            memory, found = renewed, (u, p)
        v = state.v if rates is None else rates.velocity(u)
        if past is not None:
            past = after(self.material, past, self._deformation(u), duration)
        remembered = tuple(
            term.after(u, state.u, own, kept) if isinstance(term, Remembering) else ()
            for term, own, kept in zip(self.march.body.terms, parameters, memory, strict=True)
        )
        acting = tuple((u, state.u, *values) for values in given)
        return State(u, v, (state.u, state.v, duration), remembered, p, past), forces, acting

    def _deformation(self, u: Tensor) -> Tensor:
        return deformation(self.march.body.elements, u)

    def _relaxed(self, u: Tensor) -> Past:
        return relaxed(self.material, self._deformation(u))

    def _parameters(self, step: int, share: float) -> tuple[tuple[Tensor, ...], ...]:
        return tuple(
            tuple(_between(value, step, share) for value in values) for values in self.parameters
        )

    def _memory_at(
        self, u: Tensor, parameters: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[tuple[Tensor, ...], ...]:
        return tuple(
            term.start(u, *own) if isinstance(term, Remembering) else ()
            for term, own in zip(self.march.body.terms, parameters, strict=True)
        )

    def _renewed(
        self,
        u: Tensor,
        parameters: tuple[tuple[Tensor, ...], ...],
        memory: tuple[tuple[Tensor, ...], ...],
        solves: int,
    ) -> tuple[tuple[Tensor, ...], ...] | None:
        """The memory of all terms for one more solve of the step, None if none asks for it."""
        found, asked = [], False
        for term, own, kept in zip(self.march.body.terms, parameters, memory, strict=True):
            new = term.again(u, own, kept, solves) if isinstance(term, Remembering) else None
            asked = asked or new is not None
            found.append(kept if new is None else new)
        return tuple(found) if asked else None

    def _starts(
        self,
        state: State,
        found: tuple[Tensor, Tensor] | None,
        duration: float,
        then: tuple[tuple[Tensor, ...], ...],
    ) -> Callable[[AnyBalance, Tensor], Iterator[np.ndarray]]:
        """Where Newton's method begins: at what the last solve found, if there was one."""
        if found is not None:
            u, p = (value.detach().numpy() for value in found)
            return lambda balance, moved: iter([balance.joined(u, p)])
        seek = approached if self.march.body.barring else starts
        return lambda balance, moved: seek(balance, then, state, moved, self.march, duration)


def _with(
    parameters: tuple[tuple[Tensor, ...], ...], memory: tuple[tuple[Tensor, ...], ...]
) -> tuple[tuple[Tensor, ...], ...]:
    """Parameters and memory of every term together."""
    return tuple((*own, *kept) for own, kept in zip(parameters, memory, strict=True))


def _inertia(material: Material, rates: Rates | None) -> Tensor:
    """c ρ, kg m⁻³ s⁻²."""
    found = 0.0 if rates is None else material.density * rates.stiffness
    return torch.as_tensor(found, dtype=torch.float64)


def _between(values: Tensor, step: int, share: float) -> Tensor:
    """The value at a share of a step, linear between its ends."""
    if share in (0.0, 1.0):
        return values[step + int(share)]
    return torch.lerp(values[step], values[step + 1], share)

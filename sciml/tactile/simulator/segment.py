"""Some steps in a row: one after the other, solved again for what lags, divided if too large."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from sciml.tactile.materials import Material
from sciml.tactile.prony import Past, after, during, relaxed
from sciml.tactile.simulator.adjoint import March, Starts, Step, advance
from sciml.tactile.simulator.approach import approached
from sciml.tactile.simulator.external import External, Remembering
from sciml.tactile.simulator.newton import Unconverged
from sciml.tactile.simulator.recomputed import recomputed, split
from sciml.tactile.simulator.schemes import Rates, Scheme, State
from sciml.tactile.simulator.starts import starts
from sciml.tactile.simulator.strain import deformation
from sciml.tactile.simulator.trajectory import Acting, Moment

#: Times that one step is halved before it is refused.
HALVINGS = 6


@final
@dataclass(frozen=True, eq=False)
class Course:
    """What is given of some steps in a row.

    Args:
        material: of the body.
        motion: `[steps + 1, h, 3]` of the held nodes, m.
        parameters: of every external term, each `[steps + 1, …]`.
    """

    material: Material
    motion: Tensor
    parameters: tuple[tuple[Tensor, ...], ...]

    def part(self, first: int, last: int) -> "Course":
        """From the time number `first` to `last`."""
        own = slice(first, last + 1)
        cut = tuple(tuple(value[own] for value in values) for values in self.parameters)
        return Course(self.material, self.motion[own], cut)


@final
@dataclass(frozen=True, eq=False)
class Passed:
    """What came of some steps in a row.

    Args:
        end: the state after the last good one.
        moments, observed, iterations, divided, factors: see `Trajectory`.
        force: the largest met, N.
        refused: why the step after the last good one found no balance; None if all did.
    """

    end: State
    moments: tuple[Moment, ...]
    observed: tuple[Any, ...]
    iterations: tuple[int, ...]
    divided: int
    factors: int
    force: float
    refused: str | None


@final
class Segment:
    """Some steps in a row, under way.

    Args:
        scheme: of time.
        march: what they share.
        course: what is given of them.
        observe: what is kept of a moment, if not all of it.
    """

    def __init__(
        self,
        scheme: Scheme,
        march: March,
        course: Course,
        observe: Callable[[Moment], Any] | None = None,
    ) -> None:
        self.scheme, self.march, self.observe = scheme, march, observe
        self.material = course.material
        #: By time: gradients of all times are put together once.
        self.motion = course.motion.unbind()
        self.parameters = tuple(
            tuple(value.unbind() for value in values) for values in course.parameters
        )
        self.divided = 0

    def __call__(self, state: State) -> Passed:
        moments: list[Moment] = []
        observed: list[Any] = []
        refused = None
        for step in range(len(self.motion) - 1):
            try:
                state, moment = self._through(state, step, 0.0, 1.0)
            except Unconverged as reason:
                refused = str(reason)
                break
            if self.observe is not None:
                observed.append(self.observe(moment))
                moments.clear()
            moments.append(moment)
        march = self.march
        return Passed(
            state,
            tuple(moments),
            tuple(observed),
            tuple(march.iterations),
            self.divided,
            march.forward.factors,
            march.force,
            refused,
        )

    def _through(
        self, state: State, step: int, start: float, end: float, halvings: int = HALVINGS
    ) -> tuple[State, Moment]:
        """The state after the part of a step from one share to another, divided if need be."""
        try:
            return self._directly(state, step, start, end)
        except Unconverged:
            if not halvings:
                raise
        self.divided += 1
        middle = (start + end) / 2
        self.march.forward.factor = None
        state, _ = self._through(state, step, start, middle, halvings - 1)
        return self._through(state, step, middle, end, halvings - 1)

    def _directly(self, state: State, step: int, start: float, end: float) -> tuple[State, Moment]:
        """The state and the moment after one balance or more."""
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
                    len(material.parameters),
                    tuple(len(values) for values in given),
                ),
                self._starts(state, found, duration, then),
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
        velocity = state.v if rates is None else rates.velocity(u)
        if past is not None:
            past = self._recomputed(self._after, self.material, past, u, duration)
        remembered = tuple(
            self._recomputed(term.after, u, state.u, own, kept)
            if isinstance(term, Remembering)
            else ()
            for term, own, kept in zip(self.march.body.terms, parameters, memory, strict=True)
        )
        acting: Acting = tuple((u, state.u, *values) for values in given)
        moment = Moment(u, velocity, forces, acting, p)
        last = state.u, state.v, duration
        return State(u, moment.v, last, remembered, p, past), moment

    def _recomputed(self, function: Callable[..., Any], *given: Any) -> Any:
        """What a state remembers, without what lies between."""
        return recomputed(function, *given, through=[self.march.body.elements.positions])

    def _after(self, material: Material, past: Past, u: Tensor, duration: float) -> Past:
        return after(material, past, self._deformation(u), duration)

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
            new = self._again(term, u, own, kept, solves)
            asked = asked or new is not None
            found.append(kept if new is None else new)
        return tuple(found) if asked else None

    def _again(
        self,
        term: External,
        u: Tensor,
        own: tuple[Tensor, ...],
        kept: tuple[Tensor, ...],
        solves: int,
    ) -> tuple[Tensor, ...] | None:
        if not isinstance(term, Remembering):
            return None
        given, build = split((u, own, kept))
        with torch.no_grad():  # of others than theirs, by which a term may know what it has found
            new = term.again(*build(value.detach() for value in given), solves)
        if new is None or not torch.is_grad_enabled():
            return new
        return self._recomputed(term.again, u, own, kept, solves)

    def _starts(
        self,
        state: State,
        found: tuple[Tensor, Tensor] | None,
        duration: float,
        then: tuple[tuple[Tensor, ...], ...],
    ) -> Starts:
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


def _between(values: tuple[Tensor, ...], step: int, share: float) -> Tensor:
    """The value at a share of a step, linear between its ends."""
    if share in (0.0, 1.0):
        return values[step + int(share)]
    return torch.lerp(values[step], values[step + 1], share)

"""What comes out of a simulation."""

from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.simulator.schemes import State, Velocity

#: What each external term's functions take: u, the displacement before, parameters, memory.
Acting = tuple[tuple[Tensor, ...], ...]


@final
@dataclass(frozen=True, eq=False)
class Moment:
    """What one step ends in.

    Args:
        u: displacements `[n, 3]`, m.
        velocity: v, or what it is made of.
        holding: forces of the held nodes `[h, 3]`, N.
        acting: of every external term what its functions take: u, the displacement before,
            parameters and memory; `term.force(*acting[i])`.
        p: pressures of the corners `[c]`, Pa, positive in tension; empty for materials without a
            pressure field.
    """

    u: Tensor
    velocity: Velocity | Tensor
    holding: Tensor
    acting: Acting
    p: Tensor

    @property
    def v(self) -> Tensor:
        """Velocities `[n, 3]`, m/s; zero in statics."""
        return self.velocity if isinstance(self.velocity, Tensor) else self.velocity()


@final
@dataclass(frozen=True, eq=False)
class Trajectory:
    """What came out of a simulation.

    Args:
        start: the initial state.
        moments: after every step; after the last alone, if the steps were observed.
        end: the state after the last step, from which another simulation may go on.
        observed: of every step what `observe` answered.
        iterations: Newton iterations of every balance solved.
        divided: steps that had to be divided.
        factors: factorisations made.
    """

    start: State
    moments: tuple[Moment, ...]
    end: State
    observed: tuple[Any, ...]
    iterations: tuple[int, ...]
    divided: int
    factors: int

    @property
    def u(self) -> tuple[Tensor, ...]:
        """Displacements `[n, 3]`, m: the initial ones and those of the moments."""
        return (self.start.u, *(moment.u for moment in self.moments))

    @property
    def v(self) -> tuple[Tensor, ...]:
        """Velocities, m/s, likewise."""
        return (self.start.v, *(moment.v for moment in self.moments))

    @property
    def holding(self) -> tuple[Tensor, ...]:
        """Forces of the held nodes `[h, 3]`, N, at the moments."""
        return tuple(moment.holding for moment in self.moments)

    @property
    def acting(self) -> tuple[Acting, ...]:
        """What acted at the moments; `term.force(*acting[step][i])` of the term i."""
        return tuple(moment.acting for moment in self.moments)

    @property
    def p(self) -> tuple[Tensor, ...]:
        """Pressures of the corners `[c]`, Pa, at the moments."""
        return tuple(moment.p for moment in self.moments)


class StepRefused(UserError):
    """A step that found no balance however divided; `trajectory` holds all good states before."""

    def __init__(self, text: str, trajectory: Trajectory) -> None:
        super().__init__(text)
        self.trajectory = trajectory

"""One simulation: all its steps in a row, or in segments of which only the ends are kept.

With checkpoints a gradient needs the states at the ends of segments and, one segment after the
other, what lies within: that is computed once more in the backward pass. Every segment begins with
fresh solvers, so that it comes out the same each time. With k segments of N/k steps about k + N/k
states are kept at a time, least for k = √N.

Source: A. Griewank, A. Walther, Evaluating Derivatives, 2nd ed. (2008), § 12.2 (checkpoints at two
levels).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from sciml.tactile.simulator.adjoint import Adjoint, March
from sciml.tactile.simulator.body import Body
from sciml.tactile.simulator.newton import AnySolver, Newton
from sciml.tactile.simulator.recomputed import recomputed
from sciml.tactile.simulator.schemes import Scheme, State
from sciml.tactile.simulator.segment import HALVINGS, Course, Passed, Segment
from sciml.tactile.simulator.trajectory import Moment, StepRefused, Trajectory


@final
@dataclass(frozen=True)
class Journey:
    """One simulation.

    Args:
        body: what moves.
        scheme: of time.
        newton: settings of the iteration.
        forward: makes a solver of the steps.
        adjoint: of all systems of the backward pass.
        observe: what is kept of a moment, if not all of it.
    """

    body: Body
    scheme: Scheme
    newton: Newton
    forward: Callable[[], AnySolver]
    adjoint: Adjoint
    observe: Callable[[Moment], Any] | None

    def __call__(self, start: State, course: Course, segments: int) -> Trajectory:
        """The trajectory.

        Args:
            start: the initial state.
            course: of all steps.
            segments: of which only the ends are kept; none if 0.

        Raises:
            StepRefused: a step without balance however divided.
        """
        steps, state, force = len(course.motion) - 1, start, 0.0
        passed: list[Passed] = []
        ends = np.linspace(0, steps, max(segments, 1) + 1).round().astype(int).tolist()
        for first, last in pairwise(ends):
            segment = self._segment(force)
            part = course.part(first, last)
            found = (
                recomputed(segment, state, part, through=[self.body.elements.positions])
                if segments
                else segment(state, part)
            )
            passed.append(found)
            state, force = found.end, found.force
            if found.refused is not None:
                done = sum(len(one.observed or one.moments) for one in passed)
                raise StepRefused(
                    f"step {done + 1} of {steps}: expected a balance of forces, got none in "
                    f"1/{2**HALVINGS} of the step: {found.refused}; take smaller steps, a finer "
                    "mesh or a softer load",
                    self._trajectory(start, passed),
                )
        return self._trajectory(start, passed)

    def _segment(self, force: float) -> Callable[[State, Course], Passed]:
        """Some steps, the same each time.

        Args:
            force: the largest met before, N.
        """

        def passed(state: State, course: Course) -> Passed:
            march = March(self.body, self.newton, self.forward(), self.adjoint, force=force)
            return Segment(self.scheme, march, course, self.observe)(state)

        return passed

    def _trajectory(self, start: State, passed: list[Passed]) -> Trajectory:
        moments = tuple(moment for one in passed for moment in one.moments)
        return Trajectory(
            start,
            moments if self.observe is None else moments[-1:],
            passed[-1].end,
            tuple(seen for one in passed for seen in one.observed),
            tuple(count for one in passed for count in one.iterations),
            sum(one.divided for one in passed),
            sum(one.factors for one in passed),
        )

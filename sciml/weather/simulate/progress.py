"""Lines on stderr: what a simulation will cost, before it is spent, and how far it is."""

import math
import resource
import sys
import time
from typing import TYPE_CHECKING, final

from sciml.globe.writer import BLOCK
from sciml.weather.simulate import time_steps
from sciml.weather.simulate.time_steps import Past

if TYPE_CHECKING:
    from sciml.weather.simulate.trajectories import Atmosphere, Plan

#: Steps from which the time of all others is foreseen.
SAMPLE = 6
#: Seconds between two lines, on a terminal and elsewhere.
TERMINAL, ELSEWHERE = 1, 30


@final
class Progress:
    """Tells the cost, and watches the steps.

    Args:
        left: trajectories that are still to be made.
    """

    def __init__(self, atmosphere: "Atmosphere", plan: "Plan", left: int) -> None:
        self.title, self.left = atmosphere.title, left
        self.total = left * plan.steps
        self.done, self.shown, self.begun = 0, 0.0, time.monotonic()
        if left:
            self._announce(atmosphere, plan)
            self.begun = time.monotonic()

    def _announce(self, atmosphere: "Atmosphere", plan: "Plan") -> None:
        """Time from a few steps that are thrown away, memory and disk from the shapes."""
        side = min(plan.batch, self.left)
        past = time_steps.run(atmosphere.system, Past(atmosphere.start(range(side))), plan.dt, 3)
        begun = time.monotonic()
        time_steps.run(atmosphere.system, past, plan.dt, SAMPLE)
        seconds = (time.monotonic() - begun) / SAMPLE * self.total / side
        state = 4 * len(atmosphere.channels) * math.prod(atmosphere.grid.shape)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        memory += side * plan.states * state + BLOCK
        disk = self.left * plan.states * state
        _say(
            f"{self.title}: {self.left} trajectories of {plan.spin_up:g} + {plan.days:g} days; "
            f"about {_clock(seconds)}, {memory / 1e9:.1f} GB of memory, {disk / 1e9:.2f} GB on the "
            "disk"
        )

    def __call__(self, past: Past) -> None:
        """After every step of a chunk."""
        self.done += past.x.shape[0]
        spent, terminal = time.monotonic() - self.begun, sys.stderr.isatty()
        end = self.done >= self.total
        if spent - self.shown < (TERMINAL if terminal else ELSEWHERE) and not end:
            return
        self.shown = spent
        left = spent * (self.total / self.done - 1)
        _say(
            f"{self.title}: {self.done / self.total:4.0%}, {_clock(left)} left  ",
            "\r" if terminal and not end else "\n",
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _say(line: str, end: str = "\n") -> None:
    print(line, file=sys.stderr, end=end, flush=True)

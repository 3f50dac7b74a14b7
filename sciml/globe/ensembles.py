"""Ensembles of forecasts: what the members of one start begin with.

    perturbed   x_0 = x,   x_m = x + a σ n_m       member 0 is the control; a σ as in `InputNoise`
    sampled     x_m = x + a σ n_m                  as an ensemble was trained: system.members, noise
    lagged      x_m = M^(m lag)[x(t - m lag)]      the forecast from m lags before, valid at t

Noise is a function of (start, member) alone, whatever else is computed beside it. Leads count from
the newest start, so that an older member's are its longer leads.

Source: C. Subich et al., arXiv:2501.19374, section 4.3, for 9 lagged members 12 hours apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Generator, Tensor, nn

from sciml.contracts import UserError
from sciml.globe.archive import Archive
from sciml.globe.archive import times as clock
from sciml.globe.data import Forecasts
from sciml.globe.noise import InputNoise
from sciml.globe.rollout import device_of, trajectory

#: Cells of all members that are stepped at once: 1.2 kB each, 0.3 GB together, were measured in the
#: filter network of width 64; it is in proportion to the width.
CELLS = 2**18
PERTURBED, SAMPLED, LAGGED = "perturbed", "sampled", "lagged"
#: Kind → what it may be told beside the number of members.
_OPTIONS = {PERTURBED: ("amplitude",), SAMPLED: (), LAGGED: ("lag",)}


@final
@dataclass(frozen=True)
class Ahead:
    """A trained model, the states it starts from, and what it is told of the times.

    Args:
        data: has the time step and the forcing.
    """

    model: nn.Module
    source: Archive
    data: Forecasts

    @property
    def step(self) -> int:
        """s."""
        return int(self.data.archive.step)

    def holds(self, time: int) -> bool:
        """Whether there is a state to start from."""
        at = int(np.searchsorted(self.source.times, time))
        return at < len(self.source.times) and int(self.source.times[at]) == time

    def state(self, time: int) -> Tensor:
        """`[1, C, *grid]` at a time that the source holds, on the processor."""
        return torch.from_numpy(self.source.read([int(np.searchsorted(self.source.times, time))]))

    def states(self, state: Tensor, time: int, steps: int) -> Iterator[Tensor]:
        """The states `[m, C, *grid]` of the next steps, one at a time, from states at one time."""
        device = device_of(self.model)
        times = torch.from_numpy(time + self.step * np.arange(steps))
        forcing = self.data.forcing_at(times[None])
        if forcing is not None:
            forcing = forcing.to(device, torch.float32).expand(len(state), *forcing.shape[1:])
        with torch.no_grad():
            yield from trajectory(self.model, state.to(device), forcing, steps)

    def after(self, state: Tensor, time: int, steps: int) -> Tensor:
        """The states after some steps, or none."""
        for state in self.states(state, time, steps):  # noqa: B007, B020
            pass
        return state


class Ensemble(Protocol):
    """How the members of a start come about."""

    @property
    def members(self) -> int: ...

    def check(self, ahead: Ahead, starts: Sequence[int]) -> None:
        """Refuses starts that it cannot be made for."""
        ...

    def first(self, ahead: Ahead, start: int, members: Sequence[int]) -> Tensor:
        """States `[len(members), C, *grid]` of some members, valid at the start."""
        ...


@final
@dataclass(frozen=True)
class Noisy:
    """Members from one state, each with noise of its own; member 0 without, if it is a control."""

    members: int
    noise: InputNoise
    control: bool

    def check(self, ahead: Ahead, starts: Sequence[int]) -> None:
        """Every start will do."""

    def first(self, ahead: Ahead, start: int, members: Sequence[int]) -> Tensor:
        """The state with noise."""
        state = ahead.state(start)
        plain = 0 if self.control else None
        return torch.cat(
            [state if m == plain else self.noise(state, drawn(start, m)) for m in members]
        )


@final
@dataclass(frozen=True)
class Lagged:
    """Forecasts from times that are `lag` seconds apart."""

    members: int
    lag: int

    def check(self, ahead: Ahead, starts: Sequence[int]) -> None:
        """Refuses a lag between steps, and one that reaches before the data or into a gap."""
        if self.lag % ahead.step:
            raise UserError(
                f"forecast: expected a lag in whole steps of {ahead.step / 3600:g} hours, got "
                f"{self.lag / 3600:g}"
            )
        for start in starts:
            for member in range(self.members):
                time = start - member * self.lag
                if not ahead.holds(time):
                    raise UserError(
                        f"forecast: member {member} of {clock.iso(start)} starts at "
                        f"{clock.iso(time)}, a time that the data do not hold; start later, or "
                        "take fewer members or a shorter lag"
                    )

    def first(self, ahead: Ahead, start: int, members: Sequence[int]) -> Tensor:
        """What the older forecasts have become; members join as their times come."""
        oldest_first = sorted(members, reverse=True)
        times = [start - member * self.lag for member in oldest_first]
        state = ahead.state(times[0])
        for time, then in pairwise(times):
            state = ahead.after(state, time, (then - time) // ahead.step)
            state = torch.cat([state, ahead.state(then).to(state)])
        state = ahead.after(state, times[-1], (start - times[-1]) // ahead.step)
        return state[[oldest_first.index(member) for member in members]]


def drawn(start: int, member: int) -> Generator:
    """The random numbers of one member of one start."""
    seed = np.random.SeedSequence([start % 2**63, member]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(seed[0]))


def ensemble(
    asked: Mapping[str, Any],
    noise: Callable[[float], InputNoise],
    amplitude: float = 0.0,
    trained: bool = False,
) -> Ensemble:
    """The ensemble that a user asks for.

    Args:
        asked: `members`; `kind`, perturbed, sampled or lagged; `lag` in hours; `amplitude` of the
            noise in units of the increments' standard deviation. None stands for absent.
        noise: called with an amplitude.
        amplitude: of the noise in training.
        trained: whether the model was trained as an ensemble: it is sampled where no kind is asked.

    Raises:
        UserError: options that do not belong together, or that make no ensemble.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if "members" not in given:
        raise UserError("forecast: expected how many members the ensemble has; set --members")
    members, kind = given.pop("members"), given.pop("kind", SAMPLED if trained else PERTURBED)
    if kind not in _OPTIONS:
        raise UserError(f"forecast: expected an ensemble of {', '.join(_OPTIONS)}, got {kind!r}")
    if members < 2:
        raise UserError(f"forecast: expected an ensemble of at least 2 members, got {members}")
    strange = [name for name in given if name not in _OPTIONS[kind]]
    if strange:
        raise UserError(f"forecast: a {kind} ensemble has no {strange[0]}; leave it out")
    if kind == LAGGED:
        return _lagged(members, **given)
    if kind == PERTURBED:
        return Noisy(members, noise(_positive(amplitude, **given)), control=True)
    if not trained:
        raise UserError(
            "forecast: only a run with system.members >= 2 can be sampled, and this one was "
            "trained as a single forecast; take a perturbed or lagged ensemble"
        )
    return Noisy(members, noise(amplitude), control=False)


def _lagged(members: int, lag: float | None = None) -> Lagged:
    if lag is None or lag <= 0:
        got = "none" if lag is None else f"{lag:g}"
        raise UserError(f"forecast: expected a lag > 0 for a lagged ensemble, hours, got {got}")
    return Lagged(members, round(lag * 3600))


def _positive(trained: float, amplitude: float | None = None) -> float:
    if amplitude is None and trained == 0:
        raise UserError("forecast: the run was trained without noise; give the amplitude of it")
    size = trained if amplitude is None else amplitude
    if size <= 0:
        raise UserError(f"forecast: expected an amplitude > 0, got {size:g}")
    return size


def together(cells: int, members: Sequence[int]) -> Iterator[Sequence[int]]:
    """Members in groups that are stepped at once, by the number of cells of one of them."""
    size = max(1, CELLS // cells)
    for first in range(0, len(members), size):
        yield members[first : first + size]

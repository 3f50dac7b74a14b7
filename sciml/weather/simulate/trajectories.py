"""Trajectories of a simulated atmosphere, one after the other on the time axis of one archive.

    1 January 2000                                                              time →
    |  spin-up  | states of trajectory 0 |  spin-up  | states of trajectory 1 | …

The spin-up is the gap by which readers know where a trajectory ends. The first trajectories are for
training, the next for validation, the last for the test. Several are stepped side by side; a run
that was cut short goes on where it stopped, to the same numbers.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from sciml import locks
from sciml.calculus.sphere import LatLon
from sciml.contracts import UserError
from sciml.globe.archive import stores
from sciml.globe.archive.opening import INCOMPLETE, STATUS
from sciml.globe.channels import Channels
from sciml.globe.writer import ArchiveWriter
from sciml.weather.simulate import time_steps
from sciml.weather.simulate.progress import Progress
from sciml.weather.simulate.time_steps import Past, Split

DAY, YEAR_2000 = 86_400, 946_684_800


@final
@dataclass(frozen=True)
class Plan:
    """How much is simulated.

    Args:
        train, validation, test: numbers of trajectories.
        days: recorded of each.
        spin_up: days before, not recorded; > 0.
        hours: between two states.
        dt: time step, seconds.
        batch: trajectories side by side.

    Raises:
        UserError: no trajectory, no spin-up, hours that are no multiple of dt, …
    """

    train: int
    validation: int
    test: int
    days: float
    spin_up: float
    dt: float
    hours: float = 6
    batch: int = 12

    def __post_init__(self) -> None:
        for name in ("train", "days", "spin_up", "dt", "hours", "batch"):
            if not getattr(self, name) > 0:
                raise UserError(f"simulate: expected {name} > 0, got {getattr(self, name)}")
        if min(self.validation, self.test) < 0:
            raise UserError("simulate: expected validation >= 0 and test >= 0")
        whole = {"dt": (self.hours * 3600, self.dt), "hours": (self.spin_up * 24, self.hours)}
        for name, (span, part) in whole.items():
            if abs(span / part - round(span / part)) > 1e-9:
                raise UserError(
                    f"simulate: expected {name} to divide {span:g} into equal parts, got {part:g}"
                )

    @property
    def count(self) -> int:
        """Number of trajectories."""
        return self.train + self.validation + self.test

    @property
    def states(self) -> int:
        """Recorded states of one trajectory; the first is the end of the spin-up."""
        return math.floor(self.days * 24 / self.hours) + 1

    @property
    def between(self) -> int:
        """Steps from one state to the next."""
        return round(self.hours * 3600 / self.dt)

    @property
    def before(self) -> int:
        """Steps of the spin-up."""
        return round(self.spin_up * DAY / self.dt)

    @property
    def steps(self) -> int:
        """Steps of one trajectory."""
        return self.before + (self.states - 1) * self.between

    def times(self, number: int) -> np.ndarray:
        """Seconds since 1970 `[T]` of the states of a trajectory."""
        interval = round(self.hours * 3600)
        spin_up = math.ceil(max(self.spin_up * DAY / interval, 2)) * interval
        whole = spin_up + (self.states - 1) * interval
        return YEAR_2000 + number * whole + spin_up + interval * np.arange(self.states)

    def chunks(self) -> Iterator[range]:
        """The trajectories that are stepped side by side."""
        for first in range(0, self.count, self.batch):
            yield range(first, min(first + self.batch, self.count))

    def described(self) -> dict[str, str]:
        """Attributes: which trajectories, and which period, are for what."""
        ends = np.cumsum([0, self.train, self.validation, self.test]).tolist()
        parts = dict(zip(("train", "validation", "test"), pairwise(ends), strict=True))
        found = {"trajectories": json.dumps(parts)}
        for name, (first, beyond) in parts.items():
            if beyond > first:
                period = (self.times(first)[0], self.times(beyond - 1)[-1])
                found[name] = "/".join(
                    str(np.datetime64(int(t), "m")) for t in np.array(period) // 60
                )
        return found


@final
@dataclass(frozen=True)
class Atmosphere:
    """What is simulated.

    Args:
        title: of the archive, and of the lines that say how far it is.
        system: for `time_steps.step`.
        start: numbers of trajectories → states `[b, …]`, each by its own random numbers.
        fields: states → `[b, c, lat, lon]` in the units of the channels.
    """

    title: str
    channels: Channels
    grid: LatLon
    system: Split
    start: Callable[[Sequence[int]], Tensor]
    fields: Callable[[Tensor], Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write(path: str | Path, atmosphere: Atmosphere, plan: Plan, recipe: Mapping[str, Any]) -> Path:
    """Simulates and writes an archive (.zarr or .nc) with progress on stderr.

    Args:
        recipe: what the set is made with; an archive with another one is refused.

    Raises:
        UserError: something else at `path`, a full disk, a run that blew up.
    """
    path, made = Path(path), json.dumps(dict(recipe), sort_keys=True)
    with _alone(path):
        return _written(path, atmosphere, plan, made)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process makes it, while the other ranks of a run wait."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f".{path.name}.lock").open("a")
    except OSError:  # nothing can be made there: it is there already, or the writer says why not
        yield
        return
    with file:
        locks.take(file, wait=True)
        yield


def _written(path: Path, atmosphere: Atmosphere, plan: Plan, made: str) -> Path:
    if path.exists() and _whole(path, made):
        return path
    attributes = {"title": atmosphere.title, **atmosphere.attributes, "recipe": made}
    attributes |= plan.described()
    with ArchiveWriter(
        path, atmosphere.channels, atmosphere.grid, attributes=attributes, resume=path.exists()
    ) as out:
        last = int(out.times[-1]) if len(out.times) else 0
        left = [chunk for chunk in plan.chunks() if plan.times(chunk[-1])[-1] > last]
        progress = Progress(atmosphere, plan, sum(map(len, left)))
        for chunk in left:
            states = _trajectories(atmosphere, plan, chunk, progress)
            for number, fields in zip(chunk, states, strict=True):
                new = plan.times(number) > last
                out.append(plan.times(number)[new], fields[new])
    return path


def _whole(path: Path, made: str) -> bool:
    """Whether the archive is there to its end; refuses one that was made otherwise."""
    store = stores.reopen(path, "r")
    found, status = store.attributes.get("recipe"), store.attributes.get(STATUS)
    store.close()
    if found != made:
        raise UserError(
            f"{path}: expected an archive made with {made}, got "
            f"{found or 'one of another origin'}; delete it, or give another name"
        )
    return status != INCOMPLETE


def _trajectories(
    atmosphere: Atmosphere, plan: Plan, numbers: range, progress: Progress
) -> np.ndarray:
    """`[b, T, c, lat, lon]`."""
    past = Past(atmosphere.start(numbers))
    shape = (len(atmosphere.channels), *atmosphere.grid.shape)
    states = np.empty((len(numbers), plan.states, *shape), np.float32)
    for place in range(plan.states):
        steps = plan.between if place else plan.before
        past = time_steps.run(atmosphere.system, past, plan.dt, steps, progress)
        states[:, place] = atmosphere.fields(past.x).cpu().numpy()
        if not np.isfinite(states[:, place]).all():
            raise UserError(
                f"{atmosphere.title}: expected finite states, got inf or nan before day "
                f"{plan.spin_up + place * plan.hours / 24:g} of trajectories {numbers[0]} to "
                f"{numbers[-1]} with dt={plan.dt:g} s; set a smaller dt"
            )
    return states


def generator(seed: int, number: int) -> torch.Generator:
    """Random numbers of one trajectory, whatever others are made beside it."""
    key = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(key)

"""Fields from files in canonical form: channels in order, canonical units, lat and lon ascending.

Reading is lazy: what is asked for is read, and nothing is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.archive import times as clock
from sciml.globe.archive.part import Part
from sciml.globe.channels import Channels

#: Which values a channel may lack: those at the points that have none at the first time, or any.
FIXED, ANYWHERE = "fixed", "anywhere"


@final
@dataclass(frozen=True, eq=False)
class Archive:
    """Fields `[T, C, *grid]` of one or several files (`open_archive`).

    Args:
        channels: in the order of the second axis.
        times: `[T]` int64 seconds since 1970-01-01, ascending.
        step: between them, s; `times.MONTH` for monthly data; None of a single time.
        grid: canonical: `LatLon` or `ReducedGaussian`.
        parts: the files, and which variables and times each has.
        missing: channels that may lack values → "fixed" (at the same points at all times) or
            "anywhere".
    """

    channels: Channels
    times: np.ndarray
    step: int | None
    grid: Any
    parts: tuple[Part, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C, *grid)."""
        return len(self.times), len(self.channels), *self.grid.shape

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Stretches `[start, stop)` of times without a gap."""
        return clock.runs(self.times, self.step)

    @cached_property
    def mask(self) -> np.ndarray:
        """`[C, *grid]` where values are, of the first time: False on land for an ocean."""
        return np.isfinite(self._read(np.array([0]))[0])

    def read(self, indices: int | Sequence[int] | slice | np.ndarray) -> np.ndarray:
        """float32 `[T, C, *grid]` of the times of these numbers, in their order.

        Of one number, `[C, *grid]`.

        Raises:
            UserError: NaN where none may be (names channel and time), a file that has changed.
        """
        numbers = np.atleast_1d(np.arange(len(self.times))[indices])
        fields = self._read(numbers)
        self._check(fields, numbers)
        return fields[0] if isinstance(indices, int | np.integer) else fields

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        fields = np.empty((len(numbers), len(self.channels), *self.grid.shape), np.float32)
        for part in self.parts:
            part.read(self.times[numbers], fields)
        return fields

    def _check(self, fields: np.ndarray, numbers: np.ndarray) -> None:
        absent = ~np.isfinite(fields)
        if not absent.any():
            return
        for c, channel in enumerate(self.channels):
            kind = self.missing.get(channel.name)
            if kind == ANYWHERE:
                continue
            expected = ~self.mask[c] if kind == FIXED else False
            wrong = (absent[:, c] & ~expected).reshape(len(numbers), -1)
            if wrong.any():
                at = int(np.argmax(wrong.any(1)))
                remedy = f"missing=[{channel.name}] for land that is always masked"
                if kind == FIXED:
                    remedy = f"missing={{{channel.name}: {ANYWHERE}}} to mask them at all times"
                raise UserError(
                    f"channel {channel.name!r} at {clock.iso(self.times[numbers[at]])}: expected "
                    f"numbers, got NaN at {int(wrong[at].sum())} of {wrong.shape[1]} points; fill "
                    f"them, leave the time out, or set {remedy}"
                )

    def check_unchanged(self) -> None:
        """Refuses files that are no longer what they were when they were opened.

        Raises:
            UserError: names the file.
        """
        for part in self.parts:
            part.check_unchanged()

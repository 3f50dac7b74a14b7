"""What a file does not say of itself, said by its user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Described:
    """Metadata in place of those that files lack or have wrong.

    Args:
        names: channel or variable → its name in the file: `{"geopotential": "HGT"}`.
        units: channel or variable → units of its values in the file: `{"HGT": "gpm"}`.
        levels: channel or variable → the level of a field without a vertical axis.
        times: ISO dates, one for each entry of the time axis.
        level_units: units of the vertical axis.
        select: dimension → index, for axes such as `number` of an ensemble.
        ranges: channel or variable → (smallest, largest) credible value, for other planets.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    times: Sequence[str] | None = None
    level_units: str = ""
    select: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def of(self, what: str, *keys: str) -> Any:
        """The first of several keys that `what` (`names`, `units` …) tells of."""
        given: Mapping[str, Any] = getattr(self, what)
        return next((given[key] for key in keys if key in given), None)

    @property
    def stamps(self) -> np.ndarray | None:
        """`times` as an array, None where they are left to the file."""
        return None if self.times is None else np.asarray([*map(str, self.times)])

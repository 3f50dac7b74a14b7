"""Points on the unit sphere with their local frame: east, north.

    x = (cos φ cos λ, cos φ sin λ, sin φ),   e = (-sin λ, cos λ, 0),
    n = (-sin φ cos λ, -sin φ sin λ, cos φ)

At a pole the frame is that of the point's longitude, as for the wind components in files.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Grid(Protocol):
    """Any grid of `calculus.sphere`, whole or a part of the globe."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the fields on it."""
        ...

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude of every point, degrees, in the order of a flattened field."""
        ...


@dataclass(frozen=True, eq=False)
class Points:
    """Points by latitude and longitude.

    Args:
        lat: `[n]` degrees north.
        lon: `[n]` degrees east.
    """

    lat: np.ndarray
    lon: np.ndarray

    def __len__(self) -> int:
        return len(self.lat)

    @classmethod
    def of(cls, grid: Grid) -> "Points":
        """The points of anything that has `.cells`."""
        lat, lon = grid.cells
        return cls(np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64))

    @classmethod
    def at(cls, position: np.ndarray) -> "Points":
        """The points at unit vectors `[n, 3]`."""
        x, y, z = position.T
        return cls(np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x)) % 360)

    @cached_property
    def position(self) -> np.ndarray:
        """Unit vectors `[n, 3]`."""
        phi, lam = np.radians(self.lat), np.radians(self.lon)
        cosine = np.cos(phi)
        return np.stack([cosine * np.cos(lam), cosine * np.sin(lam), np.sin(phi)], axis=-1)

    @cached_property
    def east(self) -> np.ndarray:
        """`[n, 3]`."""
        lam = np.radians(self.lon)
        return np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)

    @cached_property
    def north(self) -> np.ndarray:
        """`[n, 3]`."""
        phi, lam = np.radians(self.lat), np.radians(self.lon)
        sine = -np.sin(phi)
        return np.stack([sine * np.cos(lam), sine * np.sin(lam), np.cos(phi)], axis=-1)

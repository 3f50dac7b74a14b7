"""Small simulated archives for the tests."""

from pathlib import Path

import numpy as np

from sciml.calculus.sphere.grids import LatLon, gauss
from sciml.globe.channels import Channels
from sciml.globe.writer import ArchiveWriter

NAMES = ("z500", "u500", "v500", "u850", "t2m")
CHANNELS = Channels.named(NAMES)
GRID = gauss(6)
STEP = 21600


def states(times: int, channels: Channels = CHANNELS, grid: LatLon = GRID) -> np.ndarray:
    """float32 `[T, C, lat, lon]` that differ everywhere, in credible ranges."""
    fields = np.random.default_rng(7).normal(size=(times, len(channels), *grid.shape)) * 10
    for number, channel in enumerate(channels):
        fields[:, number] += {"geopotential": 54000, "2m_temperature": 280}.get(channel.variable, 0)
    return fields.astype(np.float32)


def times_of(count: int, start: int = 0) -> np.ndarray:
    """Every six hours from `start` on."""
    return start + STEP * np.arange(count)


def written(path: Path, times: np.ndarray, fields: np.ndarray) -> Path:
    """A whole archive of `CHANNELS` on `GRID`."""
    with ArchiveWriter(path, CHANNELS, GRID) as out:
        out.append(times, fields)
    return path

"""Small grids, channels, statistics and smooth states for the tests of the weather wing."""

from types import SimpleNamespace

import numpy as np
import torch

from sciml.calculus.sphere import Harmonics, LatLon

RADIUS = 6.371e6


class Channels:
    """What a network asks of a channel list."""

    def __init__(self, names: list[str], levels: list[int | None] | None = None) -> None:
        self.names = tuple(names)
        self.levels = levels or [None] * len(names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self):
        for name, level in zip(self.names, self.levels, strict=True):
            yield SimpleNamespace(name=name, level=level)

    def pairs(self) -> list[tuple[int, int]]:
        own = {name: i for i, name in enumerate(self.names)}
        return [(i, own["v" + n[1:]]) for n, i in own.items() if n[0] == "u"]


SHALLOW_WATER = Channels(["phi", "u", "v"])
TWO_LEVELS = Channels(
    ["u500", "u850", "v500", "v850", "t500", "t850", "ps"], [500, 850, 500, 850, 500, 850, None]
)


def statistics(channels: Channels, grid: object) -> SimpleNamespace:
    n = len(channels)
    return SimpleNamespace(
        names=channels.names,
        mean=np.arange(n) + 1.0,
        std=np.arange(n) + 10.0,
        increment_std=np.arange(n) / n + 1.0,
        climatology=np.ones((n, *grid.shape)),
    )


def waves(harmonics: Harmonics, batch: int, channels: int, seed: int = 0) -> torch.Tensor:
    """Smooth random fields `[batch, channels, lat, lon]` within the truncation, of order ten."""
    n = harmonics.truncation + 1
    generator = torch.Generator().manual_seed(seed)
    l, m = torch.arange(n)[:, None, None], torch.arange(n)[None, :, None]
    alpha = torch.randn(batch, channels, n, n, 2, generator=generator) * (m <= l) / (1 + l) ** 1.5
    alpha[..., 0, 1] = 0
    return 10 * harmonics.synthesis(alpha)


class Cells:
    """A grid that is a list of points."""

    def __init__(self, lat: np.ndarray, lon: np.ndarray) -> None:
        self.cells, self.shape = (lat, lon), (len(lat),)


def octahedral(n: int) -> Cells:
    """The reduced Gaussian grid On: 4i + 16 points on the i-th circle from a pole."""
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(2 * n)[0]))
    count = [4 * (min(i, 2 * n - 1 - i) + 1) + 16 for i in range(2 * n)]
    return Cells(np.repeat(lat, count), np.concatenate([np.arange(c) * 360 / c for c in count]))


def band(south: float, north: float, west: float, east: float, step: float) -> LatLon:
    """A part of the globe."""
    return LatLon(np.arange(south, north + step / 2, step), np.arange(west, east + step / 2, step))

"""Random coefficients and closed-form fields, for the tests of the sphere."""

import numpy as np
import torch

from sciml.calculus.sphere import Harmonics, ReducedGaussian, equiangular, gauss

#: Of every kind, small enough for a test, odd and even.
GRIDS = [
    gauss(12),
    gauss(13, 27),
    equiangular(17),
    equiangular(20),
    equiangular(16, poles=False),
    equiangular(17, 33, poles=False),
    ReducedGaussian(12),
    ReducedGaussian(8, (14, 18, 20, 25, 27, 30, 32, 32)),
]


def named(grid):
    return f"{grid.kind}-{'x'.join(map(str, grid.shape))}"


def coefficients(truncation, *batch, seed=0, mean=True):
    """Standard normal α `[*batch, l, m, 2]` float64, with Im α_l0 = 0."""
    n = truncation + 1
    draw = torch.Generator().manual_seed(seed)
    alpha = torch.randn(*batch, n, n, 2, generator=draw, dtype=torch.float64)
    alpha *= torch.ones(n, n, dtype=torch.float64).tril()[..., None]
    alpha[..., 0, 1] = 0
    if not mean:
        alpha[..., 0, :, :] = 0
    return alpha


def exact(grid, truncation=None, radius=1.0):
    """Harmonics in float64."""
    return Harmonics(grid, truncation, radius).double()


def position(grid):
    """Unit vectors `[3, *grid]` of the points."""
    lat, lon = np.radians(grid.cells)
    x = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return torch.from_numpy(x).view(3, *grid.shape)


def frame(grid):
    """East and north `[3, *grid]` of the points; at a pole those of its longitude."""
    lat, lon = np.radians(grid.cells)
    east = np.stack([-np.sin(lon), np.cos(lon), 0 * lon])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    return tuple(torch.from_numpy(e).view(3, *grid.shape) for e in (east, north))


def rotation(axis, grid):
    """(u, v) of the wind axis × x, and axis · x."""
    axis, x = torch.tensor(axis, dtype=torch.float64), position(grid)
    wind = torch.linalg.cross(axis.view(3, *[1] * (x.ndim - 1)).expand_as(x), x, dim=0)
    u, v = ((wind * e).sum(0) for e in frame(grid))
    return u, v, torch.tensordot(axis, x, 1)

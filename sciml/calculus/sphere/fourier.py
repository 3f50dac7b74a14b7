"""Waves along circles of latitude: the first half of a spherical-harmonic transform.

    F_m(φ_j) = 2π/n_j Σ_k f(φ_j, λ_k) e^{-imλ_k}         analysis, n_j points on circle j
    f(φ_j, λ) = Re Σ_{m>=0} (2 - δ_m0) G_m(φ_j) e^{imλ}  synthesis

Waves are real tensors `[m, 2, n, lat]` (real and imaginary part, m >= 0, n fields): the layout in
which the sums over latitude are one matrix product per m without a copy.
"""

from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.calculus.sphere.tables import Tables

#: Circles whose numbers of points differ by less than this factor go through one product.
SIMILAR = 1.5


def circles(grid: LatLon | ReducedGaussian, truncation: int) -> "EvenCircles | ReducedCircles":
    """The waves m <= truncation of fields `[n, *grid]`."""
    if isinstance(grid, LatLon):
        return EvenCircles(grid.nodes[1], truncation)
    return ReducedCircles(tuple(grid.rings), truncation)


@final
class EvenCircles(nn.Module):
    """Circles with the same longitudes: one matrix product, in which no layout costs a copy.

    Args:
        lon: `[n_lon]` degrees.
        truncation: largest m.
    """

    def __init__(self, lon: np.ndarray, truncation: int) -> None:
        super().__init__()
        self.tables = Tables(partial(_even, lon, truncation))

    def waves(self, f: Tensor) -> Tensor:
        """`[n, lat, lon]` → `[m, 2, n, lat]`."""
        product = self.tables.analysis @ f.flatten(0, 1).T
        return product.view(product.shape[0] // 2, 2, *f.shape[:2])

    def field(self, waves: Tensor) -> Tensor:
        """`[m, 2, n, lat]` → `[n, lat, lon]`."""
        product = waves.flatten(2).flatten(0, 1).T @ self.tables.synthesis
        return product.view(*waves.shape[2:], product.shape[1])


def _even(lon: np.ndarray, truncation: int) -> dict[str, np.ndarray]:
    m = np.arange(truncation + 1)
    angle = np.outer(m, np.radians(lon))
    wave = np.stack([np.cos(angle), -np.sin(angle)], axis=1)  # e^{-imλ} [m, 2, lon]
    twice = np.where(m == 0, 1.0, 2.0)[:, None, None]
    return {
        "analysis": (wave * 2 * np.pi / len(lon)).reshape(-1, len(lon)),
        "synthesis": (wave * twice).reshape(-1, len(lon)),
    }


@final
class ReducedCircles(nn.Module):
    """Circles of different numbers of points n_j, each with the waves m < n_j/2 that it holds.

    Points are folded about longitude 0, f(λ) ± f(-λ), so that cosines and sines see half of them
    each; circles of similar length are padded to the longest of them and share a batched product;
    a circle and its mirror image about the equator share a table.

    Args:
        rings: points on each circle from a pole to the equator, the first at longitude 0.
        truncation: largest m.
    """

    folded: Tensor
    flat: Tensor

    def __init__(self, rings: tuple[int, ...], truncation: int) -> None:
        super().__init__()
        self.waves_held = truncation + 1
        self.tables = Tables(partial(_reduced, rings, truncation))
        self.groups = [(len(g), max(g) // 2 + 1) for g in _groups(rings)]  # circles, folded points
        folded, flat = _places(rings)
        self.register_buffer("folded", torch.from_numpy(folded), persistent=False)
        self.register_buffer("flat", torch.from_numpy(flat), persistent=False)

    def waves(self, f: Tensor) -> Tensor:
        """`[n, cell]` → `[m, 2, n, lat]`."""
        there, back = f.index_select(1, self.folded).chunk(2, 1)
        parts = self._sums(there + back, "cosine"), self._sums(there - back, "sine")
        rows = torch.stack(parts, 1)  # [lat, 2, n, m]
        columns = rows.flatten(1).T.contiguous()
        return columns.view(*rows.shape[1:], rows.shape[0]).permute(2, 0, 1, 3)

    def field(self, waves: Tensor) -> Tensor:
        """`[m, 2, n, lat]` → `[n, cell]`."""
        columns = waves.flatten(1).T.contiguous()
        real, imaginary = columns.view(*waves.shape[1:], waves.shape[0]).unbind()  # [n, lat, m]
        even, odd = self._points(real, "cosine"), self._points(imaginary, "sine")
        return torch.cat([even + odd, even - odd], 1).index_select(1, self.flat)

    def _sums(self, folded: Tensor, kind: str) -> Tensor:
        """Folded points `[n, point]` of all circles → `[lat, n, m]`."""
        rows: tuple[list[Tensor], list[Tensor]] = ([], [])
        parts = folded.split([2 * count * points for count, points in self.groups], 1)
        for number, (part, group) in enumerate(zip(parts, self.groups, strict=True)):
            table = getattr(self.tables, f"{kind}_analysis_{number}")  # [circle, point, m]
            missing = self.waves_held - table.shape[2]
            both = part.view(folded.shape[0], 2, *group).permute(1, 2, 0, 3)  # south and north
            for hemisphere, x in zip(rows, both, strict=True):
                hemisphere.append(pad(x @ table, (0, missing)))
        south, north = rows
        return torch.cat([*south, *(x.flip(0) for x in reversed(north))])

    def _points(self, waves: Tensor, kind: str) -> Tensor:
        """`[n, lat, m]` → folded points `[n, point]` of all circles."""
        circles = [count for count, _ in self.groups]
        south, north = waves.chunk(2, 1)
        rows = zip(south.split(circles, 1), north.flip(1).split(circles, 1), strict=True)
        parts = []
        for number, hemispheres in enumerate(rows):
            table = getattr(self.tables, f"{kind}_synthesis_{number}")  # [circle, m, point]
            for x in hemispheres:
                points = x[..., : table.shape[1]].transpose(0, 1) @ table
                parts.append(points.transpose(0, 1).flatten(1))
        return torch.cat(parts, 1)


def _groups(rings: tuple[int, ...]) -> list[list[int]]:
    """Neighbouring circles of similar length."""
    groups = [[rings[0]]]
    for length in rings[1:]:
        together = [*groups[-1], length]
        if max(together) < SIMILAR * min(together):
            groups[-1] = together
        else:
            groups.append([length])
    return groups


def _reduced(rings: tuple[int, ...], truncation: int) -> dict[str, np.ndarray]:
    """By group: cosines and sines `[circle, folded point, m]` into waves, and back transposed."""
    tables = {}
    for number, group in enumerate(_groups(rings)):
        length = np.array(group)[:, None, None]
        m = np.arange(min(truncation, (max(group) - 1) // 2) + 1)[:, None]
        j = np.arange(max(group) // 2 + 1)
        held = (2 * m < length) & (2 * j <= length)
        once = np.where((j == 0) | (2 * j == length), 0.5, 1.0)  # its own image in the fold
        into = held * once * 2 * np.pi / length
        out = held * np.where(m == 0, 1.0, 2.0)
        angle = 2 * np.pi * (m * j % length) / length
        for name, wave in (("cosine", np.cos(angle)), ("sine", -np.sin(angle))):
            tables[f"{name}_analysis_{number}"] = (wave * into).transpose(0, 2, 1)
            tables[f"{name}_synthesis_{number}"] = wave * out
    return tables


def _places(rings: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each folded point, then of its image; and where each cell is among those."""
    lengths = np.array([*rings, *rings[::-1]])
    first = np.cumsum(lengths) - lengths
    there, back, ring = [], [], 0
    for group in _groups(rings):
        south = np.arange(ring, ring + len(group))
        circle = np.stack([south, len(lengths) - 1 - south])[:, :, None]
        length, j = lengths[circle], np.arange(max(group) // 2 + 1)
        inside = 2 * j <= length
        there.append(np.where(inside, first[circle] + j, -1).ravel())
        back.append(np.where(inside, first[circle] + (length - j) % length, -1).ravel())
        ring += len(group)
    folded = np.concatenate([*there, *back])
    flat = np.zeros(lengths.sum(), dtype=np.int64)
    flat[folded[folded >= 0]] = np.flatnonzero(folded >= 0)
    return np.maximum(folded, 0), flat

"""The horizontal gradient by finite differences, fourth order, on the globe or a part of it.

    ∇f = (1/a) (1/cos φ ∂f/∂λ, ∂f/∂φ)

Five points in each direction, in the middle where there are neighbours on both sides, one-sided at
the edge of a region. Circles that close go on around the globe; a meridian goes on across the pole
as the meridian on the other side, where a scalar is the same and both components of a vector point
the other way. Latitudes may be uneven.

At a pole itself the gradient of a scalar is one vector G, which the slopes along all meridians
there determine:

    ∂f/∂φ (λ) = a G·n(λ),    G = 2/n Σ_k n(λ_k) ∂f/∂φ (λ_k) / a,    east = G·e(λ)
    e = (-sin λ, cos λ),     n = ∓(cos λ, sin λ) at the north and south pole

A component of a vector has no eastward derivative there: 1/cos φ is infinite, zero is given.

Source: B. Fornberg, Math. Comp. 51 (1988) 699-706 (differences on uneven points).
"""

from dataclasses import dataclass
from functools import partial, reduce
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.tables import Tables
from sciml.contracts import UserError

#: Points of a difference, and those on each side of the middle one.
POINTS, SIDE = 5, 2
#: Degrees within which a circle is a pole.
AT_POLE = 1e-6


@final
class FiniteDifferences(nn.Module):
    """`f [..., lat, lon]` → (eastward, northward) derivative, per unit of the radius.

    Args:
        grid: with 5 latitudes and longitudes or more. Meridians end at the poles, one-sided, where
            the number of longitudes is odd.
        radius: a, in metres, or 1.
        within: degrees of latitude; the gradient is set to zero nearer to the poles.

    Raises:
        UserError: a grid that is too small.
    """

    def __init__(self, grid: LatLon, radius: float = 1.0, within: float = 90.0) -> None:
        super().__init__()
        if min(grid.shape) < POINTS:
            raise UserError(
                f"gradient: expected a grid of at least {POINTS} × {POINTS} points, got "
                f"{grid.shape[0]} × {grid.shape[1]}"
            )
        self.closes = grid.closes
        self.south, self.north = _ends(grid)
        self.tables = Tables(partial(_tables, grid, radius, within))

    def forward(
        self, f: Float[Tensor, "*b lat lon"], vector: bool = False
    ) -> tuple[Float[Tensor, "*b lat lon"], Float[Tensor, "*b lat lon"]]:
        """Of a scalar, or of one component of a vector where `vector`."""
        table, sign = self.tables, -1.0 if vector else 1.0
        around = torch.cat([f[..., -SIDE:], f, f[..., :SIDE]], -1) if self.closes else f
        across = torch.cat([*self.south.beyond(f, sign), f, *self.north.beyond(f, sign)], -2)
        east = table.per_circle * _slopes(around, table.along, -1, (not self.closes,) * 2)
        north = _slopes(across, table.across, -2, (self.south.is_open, self.north.is_open))
        if not vector:
            east, north = self._one_vector(east, north)
        return table.kept * east, table.kept * north

    def _one_vector(self, east: Tensor, north: Tensor) -> tuple[Tensor, Tensor]:
        """At the poles, both components from the slopes along all meridians."""
        fields = [list(f.split([1, f.shape[-2] - 2, 1], -2)) for f in (east, north)]
        for row, end, sign in ((0, self.south, 1), (-1, self.north, -1)):
            if end.pole:
                e, n = self.tables.axes[0], sign * self.tables.axes[1]
                G = fields[1][row] @ n.T * (2 / n.shape[1])
                fields[0][row], fields[1][row] = G @ e, G @ n
        return torch.cat(fields[0], -2), torch.cat(fields[1], -2)


@final
@dataclass(frozen=True)
class _End:
    """The first or the last circle.

    Args:
        pole: whether it is a pole, with all its longitudes.
        across: the first of the two circles that lie beyond it; None where the meridian ends.
    """

    pole: bool
    across: int | None

    @property
    def is_open(self) -> bool:
        return self.across is None

    def circles(self, lat: np.ndarray) -> np.ndarray:
        """Their own latitudes of the circles beyond it, from north to south."""
        first = len(lat) if self.across is None else self.across
        return lat[first : first + SIDE][::-1]

    def beyond(self, f: Tensor, sign: float) -> list[Tensor]:
        """The two circles beyond it, of a field."""
        if self.across is None:
            return []
        return [sign * f.narrow(-2, self.across, SIDE).flip(-2).roll(f.shape[-1] // 2, -1)]


def _ends(grid: LatLon) -> tuple[_End, _End]:
    n, crosses = len(grid.lat), grid.closes and len(grid.lon) % 2 == 0
    ends = []
    for lat, nearest in ((-grid.lat, 0), (grid.lat[::-1], n - SIDE)):
        pole = bool(lat[0] > 90 - AT_POLE)
        reaches = 90 - lat[0] <= lat[0] - lat[1]
        circle = nearest + (pole if nearest == 0 else -pole)
        ends.append(_End(grid.closes and pole, circle if crosses and reaches else None))
    return ends[0], ends[1]


def _slopes(f: Tensor, table: Tensor, dim: int, open_ends: tuple[bool, bool]) -> Tensor:
    """Σ_k table[k, i] f[i + k], one-sided for the two points at each open end."""
    first, last = (SIDE if end else 0 for end in open_ends)
    n = f.shape[dim] - 2 * SIDE
    middle = table.narrow(1, first, n)
    terms = [middle[k] * f.narrow(dim, k, n) for k in range(POINTS)]
    parts = [reduce(torch.add, terms)]
    if first:
        parts.insert(0, _edge(f.narrow(dim, 0, POINTS), table.narrow(1, 0, SIDE), dim))
    if last:
        rows = table.narrow(1, table.shape[1] - SIDE, SIDE)
        parts.append(_edge(f.narrow(dim, f.shape[dim] - POINTS, POINTS), rows, dim))
    return torch.cat(parts, dim)


def _edge(f: Tensor, table: Tensor, dim: int) -> Tensor:
    flat = table.flatten(1)  # [5, 2]
    return f @ flat if dim == -1 else flat.T @ f


def _tables(grid: LatLon, radius: float, within: float) -> dict[str, np.ndarray]:
    lat, lon = grid.nodes
    south, north = _ends(grid)
    meridian = np.concatenate([-180 - south.circles(lat), lat, 180 - north.circles(lat)])
    around = lon
    if grid.closes:
        around = np.concatenate([lon[-SIDE:] - 360, lon, lon[:SIDE] + 360])
    away = 90 - np.abs(lat) > AT_POLE
    per_circle = np.divide(1, np.cos(np.radians(lat)), where=away, out=np.zeros_like(lat))
    sine, cosine = np.sin(np.radians(lon)), np.cos(np.radians(lon))
    return {
        "along": _differences(around, lon) / radius,
        "across": _differences(meridian, lat)[..., None] / radius,
        "per_circle": per_circle[:, None],
        "kept": (np.abs(lat) <= within)[:, None] * 1.0,
        "axes": np.array([[-sine, cosine], [cosine, sine]]),  # e, and n at the south pole
    }


def _differences(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights `[5, n]` of ∂/∂x, per radian, at points that are nodes, for polynomials of degree 4.

    Σ_k c_k (x_k - x)^p = δ_p1 with the five nodes around x, or next to it at an end.
    """
    centre = np.searchsorted(nodes, points - 1e-9)
    first = np.clip(centre - SIDE, 0, len(nodes) - POINTS)
    x = np.radians(nodes[first[:, None] + np.arange(POINTS)] - points[:, None])
    scale = np.abs(x).max(1)[:, None]
    powers = (x / scale)[:, None, :] ** np.arange(POINTS)[:, None]
    slope = np.zeros((len(points), POINTS, 1))
    slope[:, 1] = 1
    return (np.linalg.solve(powers, slope)[..., 0] / scale).T

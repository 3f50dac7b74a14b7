"""Values of gridded fields at any points: bilinear or bicubic, differentiable in fields and points.

    f(φ, λ) ≈ Σ_j Σ_k L_j(φ) L_k(λ) f_jk,      L_j(x) = Π_{i≠j} (x - x_i) / (x_j - x_i)

over the two or the four nearest circles and meridians: exact for polynomials of first or third
degree in latitude and longitude, on uneven latitudes too, and continuous. Longitudes go on around
the globe; a meridian goes on across the pole as the one on the other side, where a scalar is the
same and both components of a vector point the other way. Near the poles a vector is better
interpolated as three scalars, its components in space (`trajectories`).
"""

from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.tables import Tables
from sciml.contracts import UserError

#: Part of a step by which a point may lie beyond a region's edge for the sake of rounding.
EDGE = 1e-3


@final
class Interpolation(nn.Module):
    """Fields `[b, c, lat, lon]` at points `[b, n]` → `[b, c, n]`.

    Args:
        grid: of the fields.
        cubic: four circles and meridians around a point in place of two.

    Raises:
        UserError: a grid that is too small; one that closes at the poles with an odd number of
            longitudes, where no meridian goes on across them.
    """

    row: Tensor
    turn: Tensor
    below: Tensor

    def __init__(self, grid: LatLon, cubic: bool = False) -> None:
        super().__init__()
        self.width = 4 if cubic else 2
        if min(grid.shape) < self.width:
            raise UserError(
                f"interpolation: expected a grid of at least {self.width} × {self.width} points, "
                f"got {grid.shape[0]} × {grid.shape[1]}"
            )
        if any(_crossed(grid)) and len(grid.lon) % 2:
            raise UserError(
                "interpolation: expected an even number of longitudes on a grid that reaches a "
                f"pole, got {len(grid.lon)}"
            )
        self.closes, self.shape = grid.closes, grid.shape
        self.tables = Tables(partial(_tables, grid, self.width))
        for name, table in _integers(grid).items():
            self.register_buffer(name, torch.from_numpy(table), persistent=False)

    def forward(
        self,
        fields: Float[Tensor, "b c lat lon"],
        lat: Float[Tensor, "b n"],
        lon: Float[Tensor, "b n"],
        vector: bool = False,
    ) -> Float[Tensor, "b c n"]:
        """Of scalars, or of eastward and northward components where `vector`.

        Args:
            fields: on the grid.
            lat: degrees north.
            lon: degrees east, any number of times around the globe.
            vector: whether values beyond a pole change their sign.

        Returns:
            Values; NaN at points outside of a grid that does not cover the globe.
        """
        circle, across = self._circles(lat)
        meridian, along = self._meridians(lon)
        row, turn = self.row[circle], self.turn[circle]
        if vector:
            across = torch.where(turn > 0, -across, across)
        column = torch.remainder(meridian[:, :, None, :] + turn[..., None], self.shape[1])
        place = (row[..., None] * self.shape[1] + column).flatten(2)
        weight = (across[..., None] * along[:, :, None, :]).flatten(2)
        return _gathered(fields.flatten(2), place, weight)

    def _circles(
        self, lat: Float[Tensor, "b n"]
    ) -> tuple[Int[Tensor, "b n p"], Float[Tensor, "b n p"]]:
        """The circles around each point, counted with those beyond the poles, and their weights."""
        table, x = self.tables, lat.detach()
        stripe = ((x - table.lat[0]) / table.stripe).long().clamp(0, len(self.below) - 1)
        below = self.below[stripe]
        below = below + (table.lat[below] < x)
        first = (below - self.width // 2).clamp(0, len(table.lat) - self.width)
        circle = first[..., None] + torch.arange(self.width, device=lat.device)
        weight = _lagrange(lat[..., None] - table.lat[circle], table.inverse[first])
        inside = (lat >= table.reach[0]) & (lat <= table.reach[1])
        return circle, torch.where(inside[..., None], weight, torch.nan)

    def _meridians(
        self, lon: Float[Tensor, "b n"]
    ) -> tuple[Int[Tensor, "b n p"], Float[Tensor, "b n p"]]:
        """The meridians around each point and their weights."""
        n, start = self.shape[1], self.width // 2 - 1
        x = (lon - self.tables.west) / self.tables.step
        turns = torch.floor((x + EDGE) * self.tables.step / 360).detach()
        x = x - turns * 360 / self.tables.step
        first = x.detach().floor().long() - start
        if not self.closes:
            first = first.clamp(0, n - self.width)
        meridian = first[..., None] + torch.arange(self.width, device=lon.device)
        weight = _lagrange(x[..., None] - meridian, self.tables.even)
        if not self.closes:
            weight = torch.where((x <= n - 1 + EDGE)[..., None], weight, torch.nan)
        return meridian, weight


def _lagrange(d: Tensor, inverse: Tensor) -> Tensor:
    """L_j = inverse_j Π_{i≠j} d_i of the distances d to the nodes."""
    if d.shape[-1] == 2:
        return inverse * d.flip(-1)
    a, b, c, e = d.unbind(-1)
    low, high = a * b, c * e
    return inverse * torch.stack([b * high, a * high, low * e, low * c], -1)


def _gathered(
    fields: Float[Tensor, "b c cell"], place: Int[Tensor, "b n p"], weight: Float[Tensor, "b n p"]
) -> Float[Tensor, "b c n"]:
    """Σ_p weight f[place]: rows of all channels, for they lie together in memory then."""
    b, c, cells = fields.shape
    _, n, p = place.shape
    rows = fields.transpose(1, 2).reshape(b * cells, c)
    offset = torch.arange(b, device=place.device)[:, None, None] * cells
    taken = rows.index_select(0, (place + offset).flatten()).view(b * n, p, c)
    return torch.bmm(weight.reshape(b * n, 1, p), taken).view(b, n, c).transpose(1, 2)


def _crossed(grid: LatLon) -> tuple[bool, bool]:
    """Whether meridians go on across the south and the north pole."""
    lat = grid.lat
    south, north = 90 + lat[0] <= lat[1] - lat[0], 90 - lat[-1] <= lat[-1] - lat[-2]
    return bool(grid.closes and south), bool(grid.closes and north)


def _integers(grid: LatLon) -> dict[str, np.ndarray]:
    """Row and turn of the circles; and how many of them lie below each of the even stripes that are
    too narrow for two: a search that exports to ONNX, for the price of one comparison."""
    row, turn = _circles(grid)
    lat = _latitudes(grid)
    stripes = lat[0] + _stripe(lat) * np.arange(int((lat[-1] - lat[0]) / _stripe(lat)) + 1)
    below = np.searchsorted(lat, stripes)
    return {"row": row, "turn": turn, "below": below}


def _stripe(lat: np.ndarray) -> float:
    return 0.9 * float(np.diff(lat).min())


def _circles(grid: LatLon) -> tuple[np.ndarray, np.ndarray]:
    """Row and turn of the grid's circles and of two beyond each pole that is crossed."""
    n, half = len(grid.lat), len(grid.lon) // 2
    south, north = _crossed(grid)
    pole = [int(abs(lat) > 90 - 1e-6) for lat in (grid.lat[0], grid.lat[-1])]
    below = [pole[0] + 1, pole[0]] if south else []
    above = [n - 1 - pole[1], n - 2 - pole[1]] if north else []
    row = np.array([*below, *range(n), *above])
    turn = np.array([half] * len(below) + [0] * n + [half] * len(above))
    return row, turn


def _latitudes(grid: LatLon) -> np.ndarray:
    """Of all circles, along a meridian that goes on across the poles."""
    row, turn = _circles(grid)
    lat = grid.nodes[0][row]
    return np.where(turn > 0, np.sign(lat) * 180 - lat, lat)


def _tables(grid: LatLon, width: int) -> dict[str, np.ndarray]:
    nodes, lon = grid.nodes
    lat, (south, north) = _latitudes(grid), _crossed(grid)
    around = lat[np.arange(len(lat) - width + 1)[:, None] + np.arange(width)]
    slack = EDGE * np.diff(nodes)
    return {
        "lat": lat,
        "stripe": np.array(_stripe(lat)),
        "inverse": _inverse(around),
        "even": _inverse(np.arange(width)[None])[0],
        "reach": np.array(
            [-90.1 if south else nodes[0] - slack[0], 90.1 if north else nodes[-1] + slack[-1]]
        ),
        "west": np.array(lon[0]),
        "step": np.array(lon[1] - lon[0]),
    }


def _inverse(nodes: np.ndarray) -> np.ndarray:
    """1 / Π_{i≠j} (x_j - x_i) `[n, p]`."""
    gaps = nodes[:, :, None] - nodes[:, None, :]
    return 1 / np.where(np.eye(nodes.shape[1], dtype=bool), 1.0, gaps).prod(-1)

"""Where the air was a time step ago, and what it carried: semi-Lagrangian inputs.

    x_d = exp_x(-Δt V_m),   V_m the wind at x_m = exp_x(-Δt/2 V(x)), turned to x along the arc

exp_x(d) goes from x along the great circle in direction d by |d|. Winds are interpolated as vectors
in space, which are smooth across the poles, and turned by the rotation that takes one point to the
other.

Source: H. Ritchie, "Semi-Lagrangian advection on a Gaussian grid", Monthly Weather Review 115
(1987) 608-619 (trajectories in Cartesian coordinates).
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.calculus.sphere import LatLon
from sciml.contracts import UserError
from sciml.weather.frames import Grid, Points


@final
class Advection(nn.Module):
    """Fields carried one time step by a wind of their own time.

    Args:
        grid: global, with an even number of longitudes.
        time_step: seconds.
        radius: of the sphere, metres.

    Raises:
        UserError: the grid does not close around the globe.
    """

    def __init__(self, grid: Grid, time_step: float, radius: float) -> None:
        super().__init__()
        if not isinstance(grid, LatLon) or not grid.is_global or len(grid.lon) % 2:
            raise UserError(
                "advection: expected a global latitude-longitude grid with an even number of "
                "longitudes; set advected=false on other grids"
            )
        self.angle = time_step / radius
        points = Points.of(grid)
        for name in ("position", "east", "north"):
            table = torch.from_numpy(getattr(points, name).T.copy()).float()
            self.register_buffer(name, table, persistent=False)  # [3, n]
        self.first_lon = float(grid.lon[0])
        self.poles = bool(grid.lat[-1] > 90 - 1e-6)
        lat = grid.lat if self.poles else [-180 - grid.lat[0], *grid.lat, 180 - grid.lat[-1]]
        self.register_buffer("lat", torch.tensor(np.array(lat)).float(), persistent=False)
        self.n_lon = len(grid.lon)

    def forward(
        self,
        fields: Float[Tensor, "b c lat lon"],
        u: Float[Tensor, "b lat lon"],
        v: Float[Tensor, "b lat lon"],
    ) -> tuple[
        Float[Tensor, "b c lat lon"], Float[Tensor, "b lat lon"], Float[Tensor, "b lat lon"]
    ]:
        """The fields where the air comes from, and the wind it had there, as (east, north) here."""
        wind = self._vector(u, v)
        middle = self._departure(wind.flatten(2), 0.5)
        there = self._at(wind, *self._place(middle))
        departed = self._departure(self._turned(there, middle), 1.0)
        place = self._place(departed)
        carried = self._at(torch.cat([fields, wind], 1), *place)
        vector = self._turned(carried[:, -3:], departed)
        east, north = ((vector * axis).sum(1).view_as(u) for axis in (self.east, self.north))
        return carried[:, :-3].view_as(fields), east, north

    def _vector(self, u: Tensor, v: Tensor) -> Float[Tensor, "b 3 lat lon"]:
        east, north = (t.view(3, *u.shape[1:]) for t in (self.east, self.north))
        return u[:, None] * east + v[:, None] * north

    def _departure(self, wind: Float[Tensor, "b 3 n"], part: float) -> Float[Tensor, "b 3 n"]:
        """exp_x(-part Δt V)."""
        arc = part * self.angle * wind
        length = (arc.square().sum(1, keepdim=True) + 1e-20).sqrt()
        return self.position * length.cos() - arc * (length.sin() / length)

    def _turned(self, vector: Float[Tensor, "b 3 n"], origin: Float[Tensor, "b 3 n"]) -> Tensor:
        """A tangent vector at `origin`, carried along the arc to the grid's points."""
        both = origin + self.position
        along = (self.position * vector).sum(1, keepdim=True)
        return vector - both * (along / (1 + (origin * self.position).sum(1, keepdim=True)))

    def _place(
        self, position: Float[Tensor, "b 3 n"]
    ) -> tuple[Int[Tensor, "b n 4"], Float[Tensor, "b n 4"]]:
        """The four points around each position and their bilinear weights."""
        x, y, z = position.unbind(1)
        lat = torch.rad2deg(torch.atan2(z, (x * x + y * y).clamp(min=1e-14).sqrt()))
        row = (torch.searchsorted(self.lat, lat.detach()) - 1).clamp(0, len(self.lat) - 2)
        south, north = self.lat[row], self.lat[row + 1]
        up = (lat - south) / (north - south)
        turns = torch.rad2deg(torch.atan2(y, x)) - self.first_lon
        column = torch.remainder(turns, 360) * (self.n_lon / 360)
        west = column.detach().floor()
        right = column - west
        left = west.long() % self.n_lon
        next_ = (left + 1) % self.n_lon
        low, high = row * self.n_lon, (row + 1) * self.n_lon
        index = torch.stack([low + left, low + next_, high + left, high + next_], -1)
        a, b = torch.stack([1 - up, up], -1), torch.stack([1 - right, right], -1)
        return index, (a[..., None] * b[..., None, :]).flatten(-2)

    def _at(
        self, fields: Float[Tensor, "b c lat lon"], index: Tensor, weight: Tensor
    ) -> Float[Tensor, "b c n"]:
        """Bilinear; beyond the last circle lie the points across the pole."""
        if not self.poles:
            across = fields.roll(self.n_lon // 2, -1)
            fields = torch.cat([across[:, :, :1], fields, across[:, :, -1:]], 2)
        rows = fields.flatten(2).transpose(1, 2)  # [b, cell, c]
        offset = torch.arange(len(rows), device=rows.device)[:, None, None] * rows.shape[1]
        taken = rows.flatten(0, 1).index_select(0, (index + offset).flatten())
        taken = taken.view(*index.shape, -1)  # [b, n, 4, c]
        return (taken * weight[..., None]).sum(2).transpose(1, 2)

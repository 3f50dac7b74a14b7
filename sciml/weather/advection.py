"""What the air carried to each cell within a time step: semi-Lagrangian inputs.

    x_d = exp_x(-Δt τ_x V(x_m)),   x_m = exp_x(-Δt/2 V(x))

with exp and τ of `calculus.sphere.trajectories`. Arrival points are the cells, where the wind is
known, so that one interpolation of it, at the middle of the arc, makes the trajectory second
order. Winds are interpolated as vectors in space, which are smooth across the poles.

Source: H. Ritchie, Mon. Wea. Rev. 115 (1987) 608-619.
"""

from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import LatLon
from sciml.calculus.sphere.sampling import Interpolation
from sciml.calculus.sphere.tables import Tables
from sciml.calculus.sphere.trajectories import coordinates, geodesic, position, transported
from sciml.contracts import UserError
from sciml.weather.frames import Grid, Points


@final
class Advection(nn.Module):
    """Fields carried one time step by a wind of their own time.

    Args:
        grid: global latitudes and longitudes.
        time_step: seconds.
        radius: of the sphere, metres.
        cubic: fields are interpolated from 16 points around instead of 4.

    Raises:
        UserError: the grid does not close around the globe.
    """

    def __init__(self, grid: Grid, time_step: float, radius: float, cubic: bool = False) -> None:
        super().__init__()
        if not isinstance(grid, LatLon) or not grid.is_global:
            raise UserError(
                "advection: expected a global grid of latitudes and longitudes; "
                "set advected=false on others"
            )
        self.angle, self.shape = time_step / radius, tuple(grid.shape)
        self.wind = Interpolation(grid)
        self.fields = Interpolation(grid, cubic)
        self.tables = Tables(partial(_frames, grid))

    def forward(
        self,
        fields: Float[Tensor, "b c lat lon"],
        u: Float[Tensor, "b lat lon"],
        v: Float[Tensor, "b lat lon"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The fields where the air comes from, and the wind it had there, as (east, north) here."""
        east, north = self.tables.east, self.tables.north
        batch = u.shape[0]  # len() would fix the batch of an export
        x = self.tables.position.expand(batch, -1, -1)
        wind = u[:, None] * east + v[:, None] * north
        middle = geodesic(x, wind.flatten(2) * (-self.angle / 2))
        halfway = transported(self.wind(wind, *coordinates(middle)), middle, x)
        place = coordinates(geodesic(x, halfway * -self.angle))
        carried = self.fields(torch.cat([fields, wind], 1), *place)
        vector = transported(carried[:, -3:], position(*place), x)
        parts = ((vector.unflatten(2, self.shape) * frame).sum(1) for frame in (east, north))
        return carried[:, :-3].unflatten(2, self.shape), *parts


def _frames(grid: LatLon) -> dict[str, np.ndarray]:
    points = Points.of(grid)
    frames = {n: getattr(points, n).T.reshape(3, *grid.shape) for n in ("east", "north")}
    return {"position": points.position.T[None], **frames}

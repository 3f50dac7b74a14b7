"""Great circles: where a point comes from that the wind has carried for a while.

    exp_x(d)   the point at the end of the arc from x along the tangent d, of length |d|
    τ_x V      the tangent V at y, carried along the arc from y to x:  V - (x + y) x·V / (1 + x·y)

    x_m ← exp_x(-Δt/2a τ_x V(x_m)),    x_d = 2 (x·x_m) x_m - x

The wind is taken at the mid-point x_m of the arc, by fixed-point iterations that begin at x. It is
interpolated as three components in space, which are smooth across the poles.

Source: H. Ritchie, Mon. Wea. Rev. 115 (1987) 608-619; A. Staniforth, J. Côté, Mon. Wea. Rev. 119
(1991) 2206-2223, equations 10-12 (iterations converge for Δt below 1/max |∇V|).
"""

from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.sampling import Interpolation
from sciml.calculus.sphere.tables import Tables


@final
class Departure(nn.Module):
    """The points `[b, n]` from which the wind `[b, lat, lon]` comes to given ones within Δt.

    Args:
        grid: of the wind.
        radius: a, in metres, or 1.
        iterations: evaluations of the wind at the mid-point.
        cubic: how the wind is interpolated.
    """

    def __init__(
        self, grid: LatLon, radius: float, iterations: int = 2, cubic: bool = False
    ) -> None:
        super().__init__()
        self.radius, self.iterations = radius, iterations
        self.interpolation = Interpolation(grid, cubic)
        self.tables = Tables(partial(_frame, grid))

    def forward(
        self,
        lat: Float[Tensor, "b n"],
        lon: Float[Tensor, "b n"],
        u: Float[Tensor, "b lat lon"],
        v: Float[Tensor, "b lat lon"],
        dt: float,
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
        """Latitude and longitude of departure.

        Args:
            lat: of arrival, degrees north.
            lon: of arrival, degrees east.
            u: eastward wind, metres per second where the radius is in metres.
            v: northward wind.
            dt: Δt, seconds; less than 0 to follow the wind ahead.
        """
        wind = u[:, None] * self.tables.east + v[:, None] * self.tables.north
        x = position(lat, lon)
        middle = x
        for _ in range(self.iterations + 1):
            there = self.interpolation(wind, *coordinates(middle))
            middle = geodesic(x, transported(there, middle, x) * (-dt / 2 / self.radius))
        return coordinates(2 * (x * middle).sum(1, keepdim=True) * middle - x)


def position(lat: Float[Tensor, "b n"], lon: Float[Tensor, "b n"]) -> Float[Tensor, "b 3 n"]:
    """Unit vectors of points in degrees."""
    lat, lon = torch.deg2rad(lat), torch.deg2rad(lon)
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], 1)


def coordinates(x: Float[Tensor, "b 3 n"]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """Latitude and longitude in degrees, -180 … 180; at a pole their gradient is zero."""
    x, y, z = x.unbind(1)
    tiny = torch.finfo(x.dtype).tiny
    away = x * x + y * y > tiny
    x, y = torch.where(away, x, tiny**0.5), torch.where(away, y, 0)
    lat = torch.atan2(z, (x * x + y * y).sqrt())
    return torch.rad2deg(lat), torch.rad2deg(torch.atan2(y, x))


def geodesic(x: Float[Tensor, "#b 3 n"], d: Float[Tensor, "#b 3 n"]) -> Float[Tensor, "#b 3 n"]:
    """exp_x(d)."""
    length = (d * d).sum(1, keepdim=True)
    safe = torch.where(length > 0, length, 1).sqrt()
    length = torch.where(length > 0, safe, 0)
    return x * length.cos() + d * torch.sinc(length / torch.pi)


def transported(
    vector: Float[Tensor, "#b 3 n"], origin: Float[Tensor, "#b 3 n"], x: Float[Tensor, "#b 3 n"]
) -> Float[Tensor, "#b 3 n"]:
    """τ_x: a tangent at `origin`, carried along the arc to `x`, which is not its antipode."""
    along = (x * vector).sum(1, keepdim=True) / (1 + (x * origin).sum(1, keepdim=True))
    return vector - (x + origin) * along


def _frame(grid: LatLon) -> dict[str, np.ndarray]:
    """East and north `[3, lat, lon]` of the points; at a pole those of its longitude."""
    lat, lon = (angle.reshape(grid.shape) for angle in np.radians(grid.cells))
    sine, cosine = np.sin(lon), np.cos(lon)
    return {
        "east": np.stack([-sine, cosine, np.zeros_like(lon)]),
        "north": np.stack([-np.sin(lat) * cosine, -np.sin(lat) * sine, np.cos(lat)]),
    }

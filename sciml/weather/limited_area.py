"""Forecasts of a part of the globe, led at its edge by a forecast of the whole.

    s' = (1 - w) M(s) + w s_b,      w = 1 - tanh(i / 2)

in a zone around the edge, i the number of cells from it: what enters is taken over, what leaves is
not reflected. The boundary values s_b are valid one step after s. They are the last channels of
the forcing, in the order and units of the state.

Source: H. C. Davies, "A lateral boundary formulation for multi-level prediction models", Quarterly
Journal of the Royal Meteorological Society 102 (1976) 405-418; the tanh profile is P. Kållberg's,
"Test of a lateral boundary relaxation scheme in a barotropic model", ECMWF Research Department
Internal Report 3 (1977).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor, nn

from sciml.calculus.sphere import LatLon
from sciml.contracts import UserError
from sciml.weather.frames import Grid, Points
from sciml.weather.mesh import Mesh, icosahedral
from sciml.weather.scaling import Scaling, Statistics


@final
class Relaxation(nn.Module):
    """(1 - w) s + w s_b.

    Args:
        grid: of the states.
        zone: width in cells.

    Raises:
        UserError: a zone that leaves no cell inside.
    """

    def __init__(self, grid: LatLon, zone: int = 8) -> None:
        super().__init__()
        weight = torch.from_numpy(relaxation(grid, zone)).float()
        self.register_buffer("weight", weight, persistent=False)

    def forward(
        self, state: Float[Tensor, "b c lat lon"], boundary: Float[Tensor, "b c lat lon"]
    ) -> Float[Tensor, "b c lat lon"]:
        return torch.lerp(state, boundary, self.weight)

    def to_truth(self, window: Any) -> Callable[[Tensor, int], Tensor]:
        """The `boundary` of an objective: every new state is led by the window's of its time."""
        return lambda state, step: self(state, window.state[:, step])


@final
class LimitedArea(nn.Module):
    """`(state [B, C, lat, lon], forcing [B, F + C, lat, lon]) -> state` one step on.

    Args:
        model: gets the F forcings and, with `statistics`, the C boundary values of the zone in
            units of their st.dev., zero inside of it.
        grid: of the state.
        zone: width in cells.
        statistics: of the channels; the model sees what will be at its edge where they are given.

    Raises:
        UserError: a zone that leaves no cell inside.
    """

    def __init__(
        self, model: nn.Module, grid: LatLon, zone: int = 8, statistics: Statistics | None = None
    ) -> None:
        super().__init__()
        self.model, self.relaxation = model, Relaxation(grid, zone)
        self.scaling = None if statistics is None else Scaling(statistics)

    def forward(
        self, state: Float[Tensor, "b c lat lon"], forcing: Float[Tensor, "b f lat lon"]
    ) -> Float[Tensor, "b c lat lon"]:
        own, boundary = forcing.tensor_split([forcing.shape[1] - state.shape[1]], 1)
        seen = own
        if self.scaling is not None:
            edge = self.scaling.normalised(boundary) * (self.relaxation.weight > 0)
            seen = torch.cat([own, edge], 1)
        after = self.model(state, seen if seen.shape[1] else None)
        return self.relaxation(after, boundary)


def relaxation(grid: LatLon, zone: int) -> np.ndarray:
    """w `[lat, lon]`: 1 at the edge, 0 from `zone` cells inwards.

    A grid whose circles close has edges in the south and north alone.

    Raises:
        UserError: a zone that leaves no cell inside.
    """
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in grid.shape)
    closed = abs(grid.lon[-1] - grid.lon[0] + grid.lon[1] - grid.lon[0] - 360) < 0.01
    if closed:
        columns = np.full_like(columns, rows.max())
    cells = np.minimum(rows[:, None], columns)
    if not 1 <= zone <= cells.max():
        raise UserError(
            f"limited area: expected a zone of 1 to {cells.max()} cells on a grid of "
            f"{grid.shape[0]} × {grid.shape[1]}, got {zone}"
        )
    return np.where(cells < zone, 1 - np.tanh(cells / 2), 0.0)


def regional(grid: Grid, refinement: int, margin: float = 1.5) -> Mesh:
    """The part of an icosahedral mesh that lies under a grid.

    Args:
        margin: how far from the nearest cell a node may lie, in spacings of the finest level.

    Raises:
        UserError: the mesh is too coarse to have an edge there.
    """
    mesh = icosahedral(refinement)
    distance = cKDTree(Points.of(grid).position).query(mesh.nodes)[0]
    part = mesh.part(distance <= margin * mesh.spacing)
    if len(part.nodes) < 3 or not len(part.source):
        raise UserError(
            f"limited area: expected a mesh of several nodes under the grid, got "
            f"{len(part.nodes)} at refinement {refinement}; refine it"
        )
    return part


def led_by_truth(window: Any) -> Any:
    """A `Window` whose forcing ends with the state one step later, as boundary values for training.

    The last time has no later one and repeats its own.
    """
    after = torch.cat([window.state[:, 1:], window.state[:, -1:]], 1)
    parts = [after] if window.forcing is None else [window.forcing, after]
    return replace(window, forcing=torch.cat(parts, 2))

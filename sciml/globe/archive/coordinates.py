"""Coordinates under their many names, and the canonical order: lat and lon ascending.

Longitudes are 0 … < 360 on a globe; a region that crosses Greenwich begins below 0.
"""

from dataclasses import dataclass

import numpy as np
import xarray

from sciml.calculus.sphere.grids import LatLon
from sciml.contracts import UserError

NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time", "valid_time", "init_time", "month", "date"),
    "lat": ("latitude", "lat", "nav_lat", "Y", "y"),
    "lon": ("longitude", "lon", "nav_lon", "X", "x"),
    "vertical": ("level", "pressure_level", "isobaricInhPa", "plev", "lev", "depth", "height",
                 "hybrid", "deptht", "Z", "isobaric", "lev1", "lev2", "model_level"),
}  # fmt: skip
_STANDARD = {
    "time": ("time",), "lat": ("latitude",), "lon": ("longitude",),
    "vertical": ("air_pressure", "depth", "height", "model_level_number"),
}  # fmt: skip


def dimension(data: xarray.Dataset, variable: str, what: str) -> str | None:
    """The dimension of a variable that is time, lat, lon or vertical; None where it has none."""
    dims = [str(dim) for dim in data[variable].dims]
    for dim in dims:
        attributes = data[dim].attrs if dim in data.variables else {}
        if attributes.get("standard_name") in _STANDARD[what]:
            return dim
    return next((name for name in NAMES[what] if name in dims), None)


@dataclass(frozen=True, eq=False)
class Horizontal:
    """A canonical grid, and which points of the file are its rows and columns.

    Args:
        grid: canonical.
        rows, columns: indices into the file's axes.
        stored: lengths of the file's axes.
    """

    grid: LatLon
    rows: np.ndarray
    columns: np.ndarray
    stored: tuple[int, int]

    def canonical(self, values: np.ndarray) -> np.ndarray:
        """`[..., lat, lon]` of the file in canonical order; a view where it is that already."""
        for axis, order in ((-2, self.rows), (-1, self.columns)):
            if not np.array_equal(order, np.arange(values.shape[axis])):
                values = np.take(values, order, axis)
        return values


def horizontal(lat: np.ndarray, lon: np.ndarray, where: str) -> Horizontal:
    """The canonical order of a file's latitudes and longitudes, degrees.

    Raises:
        UserError: curvilinear or uneven coordinates, a latitude twice.
    """
    if lat.ndim != 1 or lon.ndim != 1:
        raise UserError(
            f"{where}: expected latitude and longitude along an axis each, got arrays of "
            f"{lat.ndim} dimensions (a curvilinear grid); regrid to latitude-longitude"
        )
    rows, columns = np.argsort(lat, kind="stable"), _columns(lon)
    east = lon[columns] % 360
    east = np.where(east > east[-1], east - 360, east)
    east = np.where(np.isclose(east, 360, atol=1e-4), 0.0, east)
    try:
        grid = LatLon(lat[rows], east)
    except UserError as error:
        raise UserError(f"{where}: {error}; regrid to even longitudes") from error
    return Horizontal(grid, rows, columns, (len(lat), len(lon)))


def _columns(lon: np.ndarray) -> np.ndarray:
    """From west to east: from 0 on where the circle closes, else from after the widest gap."""
    wrapped = np.where(np.isclose(lon % 360, 360, atol=1e-4), 0.0, lon % 360)
    order = np.argsort(wrapped, kind="stable")
    if len(order) > 1 and np.isclose(wrapped[order[0]], wrapped[order[1]], atol=1e-6):
        order = order[np.append(True, ~np.isclose(np.diff(wrapped[order]), 0, atol=1e-6))]
    sorted_ = wrapped[order]
    gaps = np.diff(np.append(sorted_, sorted_[0] + 360))
    widest = int(np.argmax(gaps))
    closes = gaps[widest] < 1.5 * np.median(gaps)
    return order if closes else np.roll(order, -(widest + 1))

"""Coordinates under their many names, and the canonical order of a grid's points.

Circles of latitude from south to north, eastward on each: from 0 on a globe; a region that crosses
Greenwich begins below 0. A reduced Gaussian grid is one axis of cells in the same order.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import xarray

from sciml.calculus.sphere.grids import LatLon
from sciml.contracts import UserError

NAMES: dict[str, tuple[str, ...]] = {
    "time": ("time", "valid_time", "init_time", "month", "date"),
    "lat": ("latitude", "lat", "nav_lat", "lats", "Y", "y"),
    "lon": ("longitude", "lon", "nav_lon", "lons", "X", "x"),
    "vertical": ("level", "pressure_level", "isobaricInhPa", "plev", "lev", "depth", "height",
                 "hybrid", "deptht", "Z", "isobaric", "lev1", "lev2", "model_level"),
}  # fmt: skip
_STANDARD = {
    "time": ("time",),
    "lat": ("latitude",),
    "lon": ("longitude",),
    "vertical": ("air_pressure", "depth", "height", "model_level_number"),
}
#: Degrees within which two coordinates are the same: files hold float32.
CLOSE = 1e-4


def dimension(data: xarray.Dataset, variable: str, what: str) -> str | None:
    """The dimension of a variable that is time, lat, lon or vertical; None where it has none."""
    dims = [str(dim) for dim in data.variables[variable].dims]
    for dim in dims:
        if dim in data.variables and _standard_name(data, dim) in _STANDARD[what]:
            return dim
    return next((name for name in NAMES[what] if name in dims), None)


def _standard_name(data: xarray.Dataset, name: str) -> str:
    return str(data.variables[name].attrs.get("standard_name", ""))


def horizontal_dims(data: xarray.Dataset, variable: str) -> tuple[str, ...] | None:
    """(lat, lon) of a variable, or the one axis of its cells; None where it has neither."""
    lat, lon = dimension(data, variable, "lat"), dimension(data, variable, "lon")
    if lat is not None and lon is not None:
        return lat, lon
    for dim in map(str, data.variables[variable].dims):
        if _along(data, "lat", (dim,)) and _along(data, "lon", (dim,)):
            return (dim,)
    return None


def _along(data: xarray.Dataset, what: str, dims: tuple[str, ...]) -> str | None:
    """The variable of latitudes or longitudes along exactly these dimensions."""
    for name in map(str, data.variables):
        known = name in NAMES[what] or _standard_name(data, name) in _STANDARD[what]
        if known and data.variables[name].dims == dims:
            return name
    return None


@final
@dataclass(frozen=True, eq=False)
class Horizontal:
    """A canonical grid, and where its points are in a file.

    Args:
        grid: canonical.
        orders: indices into each of the file's last axes.
        stored: lengths of those axes.
    """

    grid: Any
    orders: tuple[np.ndarray, ...]
    stored: tuple[int, ...]

    def canonical(self, values: np.ndarray) -> np.ndarray:
        """`[..., *grid]` of the file in canonical order; as it is where that is canonical."""
        for axis, order in zip(range(-len(self.orders), 0), self.orders, strict=True):
            if not np.array_equal(order, np.arange(values.shape[axis])):
                values = np.take(values, order, axis)
        return values


def horizontal(data: xarray.Dataset, dims: tuple[str, ...], where: str) -> Horizontal:
    """The grid of a file's fields along `dims`.

    Raises:
        UserError: curvilinear, uneven or unknown coordinates.
    """
    if len(dims) == 1:
        lat, lon = (_values(data, _along(data, what, dims)) for what in ("lat", "lon"))
        return reduced(lat, lon, where)
    for dim in dims:
        if dim not in data.variables:
            twisted = _along(data, "lat", dims)
            raise UserError(
                f"{where}: expected values of the axis {dim!r}, got "
                + (f"a curvilinear grid ({twisted!r}): regrid it" if twisted else "none")
            )
    return regular(_values(data, dims[0]), _values(data, dims[1]), where)


def _values(data: xarray.Dataset, name: str | None) -> np.ndarray:
    return np.asarray(data[name].values, dtype=np.float64)


def regular(lat: np.ndarray, lon: np.ndarray, where: str) -> Horizontal:
    """The canonical order of latitudes `[n_lat]` and longitudes `[n_lon]`, degrees, in any order.

    Raises:
        UserError: longitudes that are not even.
    """
    rows, columns = np.argsort(lat, kind="stable"), _columns(lon)
    east = _wrapped(lon[columns])
    east = np.where(east > east[-1], east - 360, east)
    try:
        grid = LatLon(lat[rows], east)
    except UserError as error:
        raise UserError(f"{where}: {error}; regrid it") from error
    return Horizontal(grid, (rows, columns), (len(lat), len(lon)))


def _wrapped(lon: np.ndarray) -> np.ndarray:
    return np.where(np.isclose(lon % 360, 360, atol=CLOSE), 0.0, lon % 360)


def _columns(lon: np.ndarray) -> np.ndarray:
    """From west to east: from 0 on where the circle closes, else from after the widest gap.

    A first meridian that is repeated at the end counts once.
    """
    wrapped = _wrapped(lon)
    order = np.argsort(wrapped, kind="stable")
    order = order[np.append(True, np.diff(wrapped[order]) > CLOSE)]
    gaps = np.diff(np.append(wrapped[order], wrapped[order[0]] + 360))
    widest = int(np.argmax(gaps))
    return order if gaps[widest] < 1.5 * np.median(gaps) else np.roll(order, -(widest + 1))


def reduced(lat: np.ndarray, lon: np.ndarray, where: str) -> Horizontal:
    """The reduced Gaussian grid of cells at `[n]` latitudes and longitudes, in any order.

    Raises:
        UserError: other points than such a grid's.
    """
    from sciml.calculus.sphere.reduced import ReducedGaussian

    east = _wrapped(lon)
    order = np.lexsort((east, np.round(lat, 3)))
    _, counts = np.unique(np.round(lat, 3), return_counts=True)
    half = len(counts) // 2
    if len(counts) % 2 == 0 and np.array_equal(counts[:half], counts[half:][::-1]):
        grid = ReducedGaussian(half, counts[:half].tolist())
        near = [np.abs(g - f[order]).max() for g, f in zip(grid.cells, (lat, east), strict=True)]
        if max(near) < 10 * CLOSE:
            return Horizontal(grid, (order,), (len(lat),))
    raise UserError(
        f"{where}: expected {len(lat)} cells of a reduced Gaussian grid, got points elsewhere; "
        "regrid to it, or to latitude-longitude"
    )

"""Fields on maps: a row of panels with one colour scale, in the Robinson or orthographic view."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import CenteredNorm, Normalize

from sciml.drawing.sheet import colour_bar
from sciml.globe.figures.projections import Projection, robinson

#: Share of the values that the colour scale covers, in percent.
COVERED = (0.5, 99.5)
#: Share of land at a coast.
COAST = 0.5


def edges(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners `[n_lat + 1]`, `[n_lon + 1]` of the cells around ascending points, degrees."""
    inner = (lat[1:] + lat[:-1]) / 2
    step = lon[1] - lon[0]
    south, north = 2 * lat[0] - inner[0], 2 * lat[-1] - inner[-1]
    return (
        np.clip(np.concatenate([[south], inner, [north]]), -90, 90),
        np.concatenate([lon - step / 2, [lon[-1] + step / 2]]),
    )


def draw(
    axes: Axes,
    values: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    norm: Normalize,
    cmap: str = "viridis",
    projection: Projection = robinson,
    land: np.ndarray | None = None,
) -> QuadMesh:
    """One field `[lat, lon]` on one map; latitudes and longitudes ascend.

    Args:
        land: `[lat, lon]` share of land, whose coasts are drawn.

    Returns: what a colour bar is made of.
    """
    middle = lon[0] + 180 - (lon[1] - lon[0]) / 2
    lat_edges, lon_edges = edges(lat, lon)
    grid = np.meshgrid(lat_edges, lon_edges - middle, indexing="ij")
    x, y = projection(*grid)
    seen = np.isfinite(x[:-1, :-1] + x[1:, 1:] + x[:-1, 1:] + x[1:, :-1])
    shown = np.ma.masked_where(~(seen & np.isfinite(values)), values)
    drawn = axes.pcolormesh(
        np.nan_to_num(x), np.nan_to_num(y), shown, norm=norm, cmap=cmap, rasterized=True
    )
    _graticule(axes, projection)
    if land is not None:
        _coasts(axes, land, projection(*np.meshgrid(lat, lon - middle, indexing="ij")))
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    return drawn


def _coasts(axes: Axes, land: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> None:
    """Lines where half of a cell is land, on the side that is seen."""
    x, y = places
    shown = np.ma.masked_where(~np.isfinite(x), land)
    if shown.min() < COAST < shown.max():
        colour = "#20262c"
        axes.contour(
            np.nan_to_num(x), np.nan_to_num(y), shown, [COAST], colors=colour, linewidths=0.5
        )


def _graticule(axes: Axes, projection: Projection) -> None:
    """Thin lines every 30 degrees of latitude and 60 of longitude; the outline of a whole map."""
    fine_lat, fine_lon = np.linspace(-90, 90, 91), np.linspace(-180, 180, 181)
    thin = {"color": "white", "linewidth": 0.35, "alpha": 0.7}
    for lat in range(-60, 61, 30):
        axes.plot(*projection(np.full_like(fine_lon, lat), fine_lon), **thin)
    for lon in range(-120, 121, 60):
        axes.plot(*projection(fine_lat, np.full_like(fine_lat, lon)), **thin)
    if projection is robinson:
        for sign in (-1, 1):
            side = projection(fine_lat, np.full_like(fine_lat, 180 * sign))
            pole = projection(np.full_like(fine_lon, 90 * sign), fine_lon)
            axes.plot(*side, color="#5b6570", linewidth=0.6)
            axes.plot(*pole, color="#5b6570", linewidth=0.6)


def scale(fields: Sequence[np.ndarray], signed: bool = False) -> Normalize:
    """One colour scale for all fields: around zero where they have both signs."""
    values = np.concatenate([np.ravel(field) for field in fields])
    values = values[np.isfinite(values)]
    if not len(values):  # a forecast that blew up: an empty map says so
        return Normalize(0.0, 1.0)
    if signed:
        return CenteredNorm(0.0, max(float(np.percentile(np.abs(values), COVERED[1])), 1e-30))
    low, high = np.percentile(values, COVERED)
    return Normalize(float(low), float(high) if high > low else float(low) + max(abs(low), 1.0))


def panels(
    row: Sequence[Axes],
    fields: Mapping[str, np.ndarray],
    lat: np.ndarray,
    lon: np.ndarray,
    difference: str | None = None,
    projection: Projection = robinson,
    covered: Mapping[str, np.ndarray] | None = None,
    land: np.ndarray | None = None,
) -> list[QuadMesh]:
    """Fields by title side by side; all share one scale but `difference`, which is signed.

    Args:
        covered: what the scales cover by title, such as all frames of a film; the fields if None.
        land: `[lat, lon]` share of land, whose coasts are drawn.

    Returns: what is drawn on each map.
    """
    covered = fields if covered is None else covered
    alike = [field for name, field in covered.items() if name != difference]
    finite = np.concatenate([field[np.isfinite(field)] for field in alike])
    signed = bool(len(finite)) and finite.min() < 0 < finite.max()
    norm = scale(alike, signed)
    drawn = []
    for axes, (name, field) in zip(row, fields.items(), strict=True):
        own = scale([covered[name]], True) if name == difference else norm
        cmap = "RdBu_r" if signed or name == difference else "viridis"
        drawn.append(draw(axes, field, lat, lon, own, cmap, projection, land))
        colour_bar(axes, drawn[-1])
        axes.set_title(name)
    return drawn

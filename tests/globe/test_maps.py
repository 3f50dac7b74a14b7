"""Projections against their closed forms, cells around points, and a picture that is written."""

from pathlib import Path

import numpy as np
import pytest
import xarray
from matplotlib.contour import QuadContourSet

from sciml.calculus.sphere import ReducedGaussian
from sciml.drawing.sheet import sheet
from sciml.globe.figures import forecasts, maps
from sciml.globe.figures.projections import orthographic, robinson


def test_robinson_at_the_tabulated_places():
    x, y = robinson(np.array([0.0, 0.0, 90.0, -45.0]), np.array([0.0, 180.0, 180.0, 90.0]))
    expected = [0.0, 0.8487 * np.pi, 0.8487 * 0.5322 * np.pi, 0.8487 * 0.8962 * np.pi / 2]
    np.testing.assert_allclose(x, expected)
    np.testing.assert_allclose(y, [0.0, 0.0, 1.3523, -1.3523 * 0.5571])


def test_orthographic_keeps_the_near_half_within_the_circle():
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(-90, 90, 500), rng.uniform(-180, 180, 500)
    x, y = orthographic((30.0, 40.0))(lat, lon)
    a, b = (
        np.stack([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p) + 0 * q])
        for p, q in ((np.radians(lat), np.radians(lon)), (np.radians(30.0), np.radians(40.0)))
    )
    near = a.T @ b > 0
    assert np.array_equal(np.isfinite(x), near)
    np.testing.assert_allclose((x**2 + y**2)[near], 1 - (a.T @ b)[near] ** 2, atol=1e-12)


def test_cells_share_edges_and_end_at_the_poles():
    lat, lon = np.linspace(-87.5, 87.5, 36), np.arange(0, 360, 10.0)
    lat_edges, lon_edges = maps.edges(lat, lon)
    np.testing.assert_allclose(lat_edges, np.linspace(-90, 90, 37))
    assert lon_edges[0] == -5 and lon_edges[-1] == 355


def test_scales_cover_what_is_shown():
    signed = maps.scale([np.linspace(-3, 3, 1001)], signed=True)
    assert signed.vmin == -signed.vmax == pytest.approx(-3, rel=0.02)
    plain = maps.scale([np.full(5, 7.0), np.full(5, np.nan)])
    assert plain.vmin == 7.0 < plain.vmax


def test_a_forecast_that_blew_up_is_an_empty_map(tmp_path: Path):
    lat, lon = np.linspace(-75, 75, 6), np.arange(0, 360, 30.0)
    lost, truth = np.full((6, 12), np.nan), np.outer(np.sin(np.radians(lat)), np.ones(12))
    with sheet(tmp_path, "map", (6.0, 2.0)) as (figure, path):
        fields = {"forecast": lost, "truth": truth, "difference": lost - truth}
        meshes = maps.panels(figure.subplots(1, 3), fields, lat, lon, "difference")
        assert [bool(mesh.get_array().mask.all()) for mesh in meshes] == [True, False, True]
        assert meshes[0].norm is meshes[1].norm and meshes[1].norm.vcenter == 0
    assert path.stat().st_size > 1000


def test_missing_values_stay_white(tmp_path: Path):
    (tmp_path / "figures").mkdir()
    lat, lon = np.linspace(-75, 75, 6), np.arange(0, 360, 30.0)
    field = np.outer(np.sin(np.radians(lat)), np.ones(12))
    field[0, 0] = np.nan
    with sheet(tmp_path, "map", (6.0, 2.0)) as (figure, path):
        row = figure.subplots(1, 2)
        maps.panels(row, {"field": field, "error": 0.1 * field}, lat, lon, "error")
        shown = row[0].collections[0].get_array()
        assert shown.mask.sum() == 1
    assert path.stat().st_size > 1000


def test_coasts_are_drawn_where_half_of_a_cell_is_land(tmp_path: Path):
    """A cap around the north pole: one circle at its edge, also in the orthographic view."""
    lat, lon = np.linspace(-87.5, 87.5, 36), np.arange(0, 360, 10.0)
    cap = np.clip((lat - 55) / 10, 0, 1)[:, None] * np.ones(36)  # half at 60 degrees
    with sheet(tmp_path, "coasts", (6.0, 2.0)) as (figure, _):
        for axes, view in zip(
            figure.subplots(1, 2), (robinson, orthographic((90, 0))), strict=True
        ):
            maps.draw(axes, cap, lat, lon, maps.scale([cap]), projection=view, land=cap)
            (contour,) = [c for c in axes.collections if isinstance(c, QuadContourSet)]
            line = np.concatenate([p.vertices for p in contour.get_paths()])
            if view is robinson:
                np.testing.assert_allclose(line[:, 1], robinson(60.0, 0.0)[1], rtol=1e-3)
            else:
                np.testing.assert_allclose(np.hypot(*line.T), np.cos(np.radians(60)), rtol=0.02)
        axes = figure.add_axes((0, 0, 0.1, 0.1))
        maps.draw(axes, cap, lat, lon, maps.scale([cap]), land=np.zeros_like(cap))
        assert not [c for c in axes.collections if isinstance(c, QuadContourSet)], "no land at all"


def test_cells_are_shown_by_the_nearest_on_their_circle():
    grid = ReducedGaussian(4)
    lat, lon = grid.cells
    fields = {"t": ("cell", lon), "phi": ("cell", lat)}
    data = xarray.Dataset(fields, {"latitude": ("cell", lat), "longitude": ("cell", lon)})
    shown = forecasts.on_circles(data)
    assert shown.phi.dims == ("latitude", "longitude") and shown.sizes["longitude"] == 32
    np.testing.assert_array_equal(shown.phi, np.repeat(grid.lat[:, None], 32, 1))
    apart = (shown.t - shown.longitude.values + 180) % 360 - 180
    assert (np.abs(apart) <= 180 / grid.lengths[:, None] + 1e-9).all()
    np.testing.assert_allclose(shown.t[3], shown.longitude, atol=1e-9)  # the longest circle itself

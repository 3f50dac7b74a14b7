"""Graphs: counts, every node reached, neighbours by brute force, geometry by parallel transport."""

import numpy as np
import pytest

from sciml.calculus.sphere import equiangular, gauss
from sciml.contracts import UserError
from sciml.weather.frames import Points
from sciml.weather.graphs import nearest_sources, nearest_targets, on_mesh, within
from sciml.weather.mesh import icosahedral
from tests.weather import planets


def test_the_published_graphs() -> None:
    cells, nodes = Points.of(planets.octahedral(96)), icosahedral(5).points
    assert len(cells) == 40_320
    assert len(nearest_targets(2)(cells, nodes)) == 80_640
    assert len(nearest_sources(3)(nodes, cells)) == 120_960


GRIDS = {
    "gauss": gauss(16),
    "poles": equiangular(17),
    "reduced": planets.octahedral(8),
    "region": planets.band(30, 60, -10, 40, 2.5),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("connection", [nearest_targets(2), nearest_sources(3), within(0.1)])
@pytest.mark.parametrize("refinement", [1, 4])
def test_every_target_is_reached_and_sorted(name: str, connection, refinement: int) -> None:
    cells, nodes = Points.of(GRIDS[name]), icosahedral(refinement).points
    for sources, targets in ((cells, nodes), (nodes, cells)):
        graph = connection(sources, targets)
        assert np.all(np.diff(graph.target) >= 0)
        np.testing.assert_array_equal(np.unique(graph.target), np.arange(len(targets)))
        pairs = graph.source * len(targets) + graph.target
        assert len(np.unique(pairs)) == len(pairs)


def test_nearest_by_brute_force() -> None:
    lat, lon = gauss(8).cells
    cells, nodes = Points(lat, lon + 4), icosahedral(2).points  # turned: no two are equally near
    near = np.argsort(-cells.position @ nodes.position.T, axis=1)
    down = nearest_sources(3)(nodes, cells)
    assert [set(s) for s in down.source.reshape(-1, 3)] == [set(n) for n in near[:, :3]]
    up = nearest_targets(2)(cells, nodes)
    sent = {(c, n) for c, row in enumerate(near[:, :2]) for n in row.tolist()}
    extra = set(zip(up.source.tolist(), up.target.tolist(), strict=True)) - sent
    missed = set(range(len(nodes))) - {n for _, n in sent}
    closest = np.argmax(nodes.position @ cells.position.T, axis=1)
    assert extra == {(closest[n], n) for n in missed}


def test_within_a_radius_by_brute_force() -> None:
    cells, nodes = Points.of(gauss(12)), icosahedral(1).points
    graph = within(0.3)(cells, nodes)
    distance = np.linalg.norm(nodes.position[:, None] - cells.position, axis=-1)
    expected = {(c, n) for n, c in zip(*np.nonzero(distance <= 0.3), strict=True)}
    assert set(zip(graph.source.tolist(), graph.target.tolist(), strict=True)) == expected


def test_displacement_points_east_and_north() -> None:
    sources = Points(np.array([0.0, 1.0, 0.0, -1.0]), np.array([1.0, 0.0, 359.0, 0.0]))
    target = Points(np.array([0.0]), np.array([0.0]))
    graph = nearest_sources(4)(sources, target)
    east_north = [[1, 0], [0, 1], [-1, 0], [0, -1]]
    np.testing.assert_allclose(graph.displacement, east_north, atol=1e-3)


def test_lengths_are_in_units_of_the_level() -> None:
    graph = on_mesh(icosahedral(3))
    for level in range(1, 4):  # chords of level 0 lose much of their length in the tangent plane
        length = np.linalg.norm(graph.displacement[graph.level == level], axis=1)
        assert abs(length.mean() - 1) < 0.06


def test_rotation_is_parallel_transport() -> None:
    """A vector carried along the arc by Rodrigues' formula, then read in the receiver's frame."""
    graph = on_mesh(icosahedral(2))
    s, r = graph.sources.position[graph.source], graph.targets.position[graph.target]
    east = graph.sources.east[graph.source]
    carried = east - (s + r) * ((r * east).sum(-1) / (1 + (s * r).sum(-1)))[:, None]
    cosine = (carried * graph.targets.east[graph.target]).sum(-1)
    sine = (carried * graph.targets.north[graph.target]).sum(-1)
    np.testing.assert_allclose(graph.rotation, np.stack([cosine, sine], -1), atol=1e-12)


def test_directions_hold_all_products_to_third_order() -> None:
    graph = on_mesh(icosahedral(2))
    a, b = graph.displacement.T
    assert graph.directions.shape == (len(graph), 10 + 2 + 3 * 3)
    cube = (2 * a - b) ** 3 + a * b - 1
    fit = np.linalg.lstsq(graph.directions[:, :10], cube, rcond=None)[0]
    np.testing.assert_allclose(graph.directions[:, :10] @ fit, cube, atol=1e-10)


def test_shares_are_means_that_do_not_jump() -> None:
    """Along a line of receivers a mean of a smooth field changes by no more than a step explains,
    where the plain mean over the same neighbours jumps."""
    nodes = icosahedral(3).points
    line = Points(np.linspace(20, 22, 4001), np.linspace(5, 40, 4001))
    step = np.linalg.norm(np.diff(line.position, axis=0), axis=1).max()
    field = nodes.position[:, 0]
    for connection in (nearest_sources(3), within(0.25)):
        graph = connection(nodes, line)
        np.testing.assert_allclose(np.bincount(graph.target, graph.share), 1)
        value = np.bincount(graph.target, graph.share * field[graph.source])
        plain = np.bincount(graph.target, field[graph.source]) / np.bincount(graph.target)
        assert np.abs(np.diff(value)).max() < 6 * step < np.abs(np.diff(plain)).max() / 3


def test_refused() -> None:
    cells, nodes = Points.of(gauss(8)), icosahedral(0).points
    with pytest.raises(UserError, match="expected 1 to 12 neighbours"):
        nearest_targets(13)(cells, nodes)
    with pytest.raises(UserError, match="radius of 0 to 2"):
        within(0.0)

"""The refined icosahedron: Euler's formula, counts, nesting, symmetry."""

import numpy as np
import pytest
import trimesh

from sciml.contracts import UserError
from sciml.weather.mesh import icosahedral


@pytest.mark.parametrize("refinement", [0, 1, 2, 3, 5])
def test_counts_of_nodes_and_edges(refinement: int) -> None:
    mesh = icosahedral(refinement)
    assert len(mesh.nodes) == 10 * 4**refinement + 2
    assert len(mesh.source) == 60 * (4 ** (refinement + 1) - 1) // 3
    np.testing.assert_allclose(np.linalg.norm(mesh.nodes, axis=1), 1, atol=1e-15)
    assert mesh.nodes.dtype == np.float64
    assert np.all(np.diff(mesh.target) >= 0)


def test_the_published_mesh() -> None:
    mesh = icosahedral(5)
    assert (len(mesh.nodes), len(mesh.source)) == (10_242, 81_900)


def test_every_edge_goes_both_ways_once() -> None:
    mesh = icosahedral(3)
    edges = set(zip(mesh.source.tolist(), mesh.target.tolist(), strict=True))
    assert len(edges) == len(mesh.source)
    assert {(b, a) for a, b in edges} == edges and all(a != b for a, b in edges)


def test_levels_are_nested_and_alike() -> None:
    coarse, fine = icosahedral(2), icosahedral(3)
    np.testing.assert_array_equal(fine.nodes[: len(coarse.nodes)], coarse.nodes)
    kept = fine.level < 3
    old = set(zip(coarse.source.tolist(), coarse.target.tolist(), strict=True))
    assert set(zip(fine.source[kept].tolist(), fine.target[kept].tolist(), strict=True)) == old
    degree = np.bincount(fine.target[fine.level == 3])  # twelve corners have five neighbours
    assert sorted(set(degree.tolist())) == [5, 6] and (degree == 5).sum() == 12
    for level in range(4):  # an edge of a level spans about half of one before
        edge = fine.nodes[fine.source] - fine.nodes[fine.target]
        length = np.linalg.norm(edge, axis=1)[fine.level == level]
        angle = 2 * np.arcsin(length / 2) * 2**level
        assert angle.min() > 0.95 and angle.max() < 1.35  # 63.43° = 1.107 at level 0


def test_no_node_at_a_pole_and_threefold_symmetry() -> None:
    mesh = icosahedral(4)
    assert np.abs(mesh.nodes[:, 2]).max() < 0.9999
    third = 2 * np.pi / 3
    turn = np.array([[np.cos(third), -np.sin(third)], [np.sin(third), np.cos(third)]])
    turned = np.concatenate([mesh.nodes[:, :2] @ turn.T, mesh.nodes[:, 2:]], axis=1)
    for image in (turned, -mesh.nodes):
        distance = np.linalg.norm(image[:, None] - mesh.nodes, axis=-1).min(1)
        assert distance.max() < 1e-12


def test_the_same_nodes_as_trimesh_up_to_a_rotation() -> None:
    ours, theirs = icosahedral(3).nodes, trimesh.creation.icosphere(3).vertices
    angles = [np.sort(np.round(n @ n.T, 9), axis=None) for n in (ours, theirs)]
    np.testing.assert_allclose(*angles, atol=2e-8)


def test_a_part_keeps_the_edges_among_its_nodes() -> None:
    mesh = icosahedral(3)
    kept = mesh.nodes[:, 2] > 0.5
    part = mesh.part(kept)
    np.testing.assert_array_equal(part.nodes, mesh.nodes[kept])
    whole = kept[mesh.source] & kept[mesh.target]
    np.testing.assert_array_equal(part.nodes[part.source], mesh.nodes[mesh.source[whole]])
    np.testing.assert_array_equal(part.nodes[part.target], mesh.nodes[mesh.target[whole]])


@pytest.mark.parametrize("refinement", [-1, 8])
def test_refused(refinement: int) -> None:
    with pytest.raises(UserError, match="refinement of 0 to 7"):
        icosahedral(refinement)

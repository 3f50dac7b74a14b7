"""Meshes: they fill the square, conform, grade as told, and suit Taylor-Hood elements."""

import numpy as np
import pytest
from skfem import MeshTri

from sciml.contracts import UserError
from sciml.references.triangles import criss_cross, graded

POINTS = np.array([[0.0, 1.0], [1.0, 1.0]])


def areas(mesh: MeshTri) -> np.ndarray:
    a, b, c = np.moveaxis(mesh.p[:, mesh.t], 1, 0)
    (ux, uy), (wx, wy) = b - a, c - a
    return np.abs(ux * wy - uy * wx) / 2


MESHES = [criss_cross(1), criss_cross(5), graded(criss_cross(4), POINTS, 0.5, 1e-3)]


@pytest.mark.parametrize("mesh", MESHES)
def test_fills_the_square(mesh: MeshTri) -> None:
    assert areas(mesh).min() > 0
    assert np.isclose(areas(mesh).sum(), 1)


@pytest.mark.parametrize("mesh", MESHES)
def test_conforms(mesh: MeshTri) -> None:
    # a hanging node would make inner edges count as boundary, whose length is 4
    ends = mesh.p[:, mesh.facets[:, mesh.boundary_facets()]]
    assert np.isclose(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=0).sum(), 4)


@pytest.mark.parametrize("mesh", MESHES)
def test_no_triangle_has_two_sides_on_the_boundary(mesh: MeshTri) -> None:
    assert np.isin(mesh.t2f, mesh.boundary_facets()).sum(axis=0).max() <= 1


def test_grading_is_reached_and_stops() -> None:
    ratio, radius = 0.5, 1e-3
    mesh = graded(criss_cross(4), POINTS, ratio, radius)
    corners = mesh.p[:, mesh.t]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=0).max(axis=0)
    distance = np.min([np.hypot(corners[0] - x, corners[1] - y) for x, y in POINTS.T], axis=0)
    assert (sides <= ratio * np.maximum(distance.min(axis=0), radius)).all()
    assert sides.min() > ratio * radius / 4


@pytest.mark.parametrize("call", [lambda: criss_cross(0), lambda: graded(MESHES[0], POINTS, 1, 0)])
def test_refuses_meshes_that_cannot_be(call) -> None:
    with pytest.raises(UserError, match="expected"):
        call()

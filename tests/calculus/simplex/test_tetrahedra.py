"""Tetrahedra: exact integrals of monomials, shape functions that are nodal, geometry, topology."""

from itertools import product
from math import factorial, prod

import numpy as np
import pytest

from sciml.calculus.simplex import EDGES, boundary, edges, gradients, mass, rule, shape, slopes
from sciml.calculus.simplex import volumes as signed_volumes

CORNERS = np.random.default_rng(0).normal(size=(7, 4, 3))


def nodes_of(degree: int) -> np.ndarray:
    """Barycentric coordinates of the nodes."""
    middles = [(np.eye(4)[i] + np.eye(4)[j]) / 2 for i, j in EDGES]
    return np.eye(4) if degree == 1 else np.concatenate([np.eye(4), middles])


@pytest.mark.parametrize("degree", range(6))
def test_monomials_are_integrated_exactly(degree: int) -> None:
    quadrature = rule(degree)
    for powers in product(range(degree + 1), repeat=4):
        if sum(powers) <= degree:
            # ∫ λ^p dV = 3! Π p! / (|p| + 3)! of a volume of 1
            exact = 6 * prod(map(factorial, powers)) / factorial(sum(powers) + 3)
            found = (quadrature.weights * (quadrature.points**powers).prod(1)).sum()
            assert found == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("degree", range(6))
def test_points_lie_inside_with_positive_weights(degree: int) -> None:
    quadrature = rule(degree)
    assert quadrature.weights.min() > 0 and quadrature.points.min() > 0
    assert np.allclose(quadrature.points.sum(1), 1, atol=1e-15)


def test_a_higher_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="expected degree 0 … 5, got 6"):
        rule(6)


@pytest.mark.parametrize("degree", [1, 2])
def test_shape_functions_are_nodal_and_sum_to_one(degree: int) -> None:
    assert np.allclose(shape(degree, nodes_of(degree)), np.eye((degree - 1) * 6 + 4), atol=1e-15)
    at = np.random.default_rng(1).dirichlet(np.ones(4), size=5)
    assert np.allclose(shape(degree, at).sum(-1), 1, atol=1e-14)


@pytest.mark.parametrize("degree", [1, 2])
def test_slopes_are_those_of_the_shape_functions(degree: int) -> None:
    at = np.random.default_rng(2).dirichlet(np.ones(4), size=5)
    h = 1e-5  # quadratic functions: central differences are exact up to round-off
    for alpha, unit in enumerate(np.eye(4)):
        found = (shape(degree, at + h * unit) - shape(degree, at - h * unit)) / (2 * h)
        assert np.allclose(found, slopes(degree, at)[..., alpha], atol=1e-9)


@pytest.mark.parametrize("degree", [1, 2])
def test_mass_of_known_functions(degree: int) -> None:
    # ∫ λ_0² = 1/10 and ∫ λ_0 λ_1 = 1/20 of a volume of 1
    values = nodes_of(degree)
    found = values.T @ mass(degree) @ values
    assert np.allclose(found, np.full((4, 4), 1 / 20) + np.eye(4) / 20, atol=1e-15)


def test_gradients_of_linear_functions() -> None:
    slope, g = np.array([0.3, -1.2, 2.0]), gradients(CORNERS)
    found = np.einsum("mai,ma->mi", g, CORNERS @ slope + 5)
    assert np.allclose(found, slope, atol=1e-10)


def test_volumes_change_sign_with_the_orientation() -> None:
    unit = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    assert signed_volumes(unit) == pytest.approx(1 / 6, rel=1e-15)
    assert signed_volumes(unit[[1, 0, 2, 3]]) == pytest.approx(-1 / 6, rel=1e-15)


def test_edges_are_lexicographic_and_found_again() -> None:
    tets = np.array([[4, 1, 2, 0], [1, 2, 3, 4]])
    ends, of_cell = edges(tets)
    assert len(ends) == 9  # 6 + 6 less the 3 of the common face
    assert (np.diff(ends[:, 0] * 10 + ends[:, 1]) > 0).all()
    for cell, sides in zip(tets, of_cell, strict=True):
        assert [set(ends[side]) for side in sides] == [{cell[i], cell[j]} for i, j in EDGES]


def test_the_boundary_encloses_the_volume() -> None:
    x = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=float)
    tets = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    tets[1] = tets[1] if signed_volumes(x[tets[1]]) > 0 else tets[1][[1, 0, 2, 3]]
    triangles = boundary(tets)
    assert len(triangles) == 6
    # Gauss: V = ⅓ ∮ x·n dA, with n dA = ½ (b - a) × (c - a)
    a, b, c = np.moveaxis(x[triangles], 1, 0)
    enclosed = (a * np.cross(b - a, c - a)).sum() / 6
    assert enclosed == pytest.approx(signed_volumes(x[tets]).sum(), rel=1e-14)

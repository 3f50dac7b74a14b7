"""The finite elements against exact flows: reproduction of polynomials, orders of convergence."""

import numpy as np
import pytest
from skfem import MeshTri

from sciml.contracts import UserError
from sciml.references.navier_stokes import Flow, steady_flow
from sciml.references.triangles import criss_cross, graded

RE = 40
LAMBDA = RE / 2 - np.sqrt(RE**2 / 4 + 4 * np.pi**2)


def kovasznay(points: np.ndarray) -> np.ndarray:
    x, y = points
    wave = np.exp(LAMBDA * x)
    return np.array(
        [
            1 - wave * np.cos(2 * np.pi * y),
            LAMBDA / (2 * np.pi) * wave * np.sin(2 * np.pi * y),
        ]
    )


def kovasznay_pressure(points: np.ndarray) -> np.ndarray:
    return -np.exp(2 * LAMBDA * points[0]) / 2


def rms(basis, values: np.ndarray) -> float:
    return float(np.sqrt((values**2 * basis.dx).sum() / basis.dx.sum()))


def errors(cells: int, degree: int) -> tuple[float, float]:
    """Root mean square errors of velocity and pressure (the latter up to its mean)."""
    mesh = MeshTri.init_tensor(np.linspace(-0.5, 1, cells + 1), np.linspace(-0.5, 1.5, cells + 1))
    flow = steady_flow(mesh, kovasznay, RE, degree)
    points = np.asarray(flow.velocity.global_coordinates())
    u, v = kovasznay(points)
    gap = np.hypot(flow.velocity.interpolate(flow.u) - u, flow.velocity.interpolate(flow.v) - v)
    p = flow.pressure.interpolate(flow.p) - kovasznay_pressure(points)
    mean = (p * flow.pressure.dx).sum() / flow.pressure.dx.sum()
    return rms(flow.velocity, gap), rms(flow.pressure, p - mean)


@pytest.mark.parametrize(("degree", "cells"), [(2, 10), (3, 8), (4, 6)])
def test_observed_orders_on_kovasznay_flow(degree: int, cells: int) -> None:
    # theory: velocity h^(k+1), pressure h^k
    coarse, fine = errors(cells, degree), errors(2 * cells, degree)
    velocity, pressure = np.log2(np.array(coarse) / np.array(fine))
    assert velocity > degree + 0.6
    assert pressure > degree - 0.4


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_reproduces_poiseuille_flow_on_an_irregular_mesh(degree: int) -> None:
    # u = y (1 - y), p_x = -2/Re: quadratic velocity and linear pressure are in every space
    mesh = graded(criss_cross(2), np.array([[0.3], [0.6]]), 0.7, 0.2)

    def channel(points: np.ndarray) -> np.ndarray:
        return np.array([points[1] * (1 - points[1]), 0 * points[0]])

    flow = steady_flow(mesh, channel, 10, degree)
    at = np.random.default_rng(3).random((2, 40))
    u, v, p = flow.at(at)
    assert np.allclose(u, at[1] * (1 - at[1]), atol=1e-11)
    assert np.allclose(v, 0, atol=1e-11)
    assert np.allclose(p, -2 / 10 * (at[0] - 0.5), atol=1e-10)


def test_rotating_walls_turn_the_fluid_as_a_rigid_body() -> None:
    # linear velocity and quadratic pressure r²/2 - 1/12 (its mean over the square is zero)
    def turning(points: np.ndarray) -> np.ndarray:
        return np.array([0.5 - points[1], points[0] - 0.5])

    flow = steady_flow(criss_cross(3), turning, 50, degree=3)
    at = np.random.default_rng(4).random((2, 40))
    u, v, p = flow.at(at)
    assert np.allclose((u, v), turning(at), atol=1e-11)
    assert np.allclose(p, ((at - 0.5) ** 2).sum(axis=0) / 2 - 1 / 12, atol=1e-11)


def test_stream_function_of_a_closed_flow() -> None:
    # u = ψ_y and v = -ψ_x up to the mesh's error, which a smooth lid keeps small
    def smooth_lid(points: np.ndarray) -> np.ndarray:
        x, y = points
        return np.array([np.where(y == 1, 16 * (x * (1 - x)) ** 2, 0.0), 0 * x])

    flow: Flow = steady_flow(criss_cross(6), smooth_lid, 100, degree=4)
    psi = flow.velocity.interpolate(flow.stream_function())
    u, v = (np.asarray(flow.velocity.interpolate(part)) for part in (flow.u, flow.v))
    assert rms(flow.velocity, psi.grad[1] - u) < 5e-3 * rms(flow.velocity, u)
    assert rms(flow.velocity, psi.grad[0] + v) < 5e-3 * rms(flow.velocity, u)


def test_refuses_what_cannot_be_solved() -> None:
    with pytest.raises(UserError, match="Re > 0"):
        steady_flow(criss_cross(2), kovasznay, 0)
    with pytest.raises(UserError, match="degree"):
        steady_flow(criss_cross(2), kovasznay, 10, degree=5)
    with pytest.raises(UserError, match="lower Re or refine"):
        steady_flow(criss_cross(2), kovasznay, 10, degree=2, tolerance=0.0)

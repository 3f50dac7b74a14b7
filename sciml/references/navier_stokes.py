"""Steady incompressible flow in the plane by Taylor-Hood finite elements and Newton's method.

For every test function φ of the velocity and q of the pressure, with u given on the whole boundary,

    ∫ (u·∇)u φ + (1/Re) ∫ ∇u·∇φ - ∫ p φ_x = 0      (and likewise v with φ_y)
    ∫ q (u_x + v_y)                       = 0

Velocity: continuous polynomials of degree k per triangle; pressure: degree k - 1. The velocity then
converges as h^(k+1) in the mean square where the flow is smooth.

    symbol   meaning                      unit (scaled by speed U, length L, density ρ)
    u, v     velocity along x and y       U
    p        pressure, its mean is zero   ρ U²
    ψ        u = ψ_y, v = -ψ_x            U L
    Re       Reynolds number U L / ν      1

Source: P. Hood, C. Taylor, Navier-Stokes equations using mixed interpolation, in J. T. Oden et al.
(eds.), Finite Element Methods in Flow Problems, UAH Press 1974, 121-132.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import bmat, csr_matrix
from scipy.sparse.linalg import splu
from skfem import Basis, BilinearForm, LinearForm, MeshTri, asm, condense, solve
from skfem.assembly.form.form import FormExtraParams
from skfem.element import (
    DiscreteField,
    ElementTriP1,
    ElementTriP2,
    ElementTriP3,
    ElementTriP4,
)

from sciml.contracts import UserError

ELEMENTS = {1: ElementTriP1, 2: ElementTriP2, 3: ElementTriP3, 4: ElementTriP4}

#: Velocity on the boundary: positions `[2, n]` -> velocities `[2, n]`.
BoundaryVelocity = Callable[[np.ndarray], np.ndarray]


@BilinearForm
def diffusion(u: DiscreteField, phi: DiscreteField, _: FormExtraParams) -> np.ndarray:
    return u.grad[0] * phi.grad[0] + u.grad[1] * phi.grad[1]


@BilinearForm
def advection(u: DiscreteField, phi: DiscreteField, w: FormExtraParams) -> np.ndarray:
    return (w.u * u.grad[0] + w.v * u.grad[1]) * phi


@BilinearForm
def reaction(u: DiscreteField, phi: DiscreteField, w: FormExtraParams) -> np.ndarray:
    return w.rate * u * phi


@BilinearForm
def divergence_x(u: DiscreteField, q: DiscreteField, _: FormExtraParams) -> np.ndarray:
    return q * u.grad[0]


@BilinearForm
def divergence_y(u: DiscreteField, q: DiscreteField, _: FormExtraParams) -> np.ndarray:
    return q * u.grad[1]


@LinearForm
def integral(q: DiscreteField, _: FormExtraParams) -> np.ndarray:
    return 1.0 * q


@LinearForm
def circulation(phi: DiscreteField, w: FormExtraParams) -> np.ndarray:
    return w.u * phi.grad[1] - w.v * phi.grad[0]


@dataclass(frozen=True)
class Flow:
    """A discrete flow: nodal values of velocity `[n]` and pressure `[m]` on their bases.

    Args:
        steps: Newton steps taken, over all Reynolds numbers of the continuation.
        residual: largest entry of the discrete equations that is left.
    """

    Re: float
    velocity: Basis
    pressure: Basis
    u: np.ndarray
    v: np.ndarray
    p: np.ndarray
    steps: int
    residual: float

    @property
    def unknowns(self) -> int:
        return self.u.size + self.v.size + self.p.size

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u, v, p, each `[n]`, at positions `[2, n]` inside the mesh."""
        velocity = self.velocity.probes(points)
        return velocity @ self.u, velocity @ self.v, self.pressure.probes(points) @ self.p

    def stream_function(self) -> np.ndarray:
        """Nodal values `[n]` on the velocity's basis, for a boundary that no fluid crosses.

        ∫ ∇ψ·∇φ = ∫ (u φ_y - v φ_x) for every φ that vanishes, like ψ, on the boundary.
        """
        fields = {"u": self.velocity.interpolate(self.u), "v": self.velocity.interpolate(self.v)}
        matrix = asm(diffusion, self.velocity)
        load = asm(circulation, self.velocity, **fields)
        return solve(*condense(matrix, load, D=self.velocity.get_dofs().all()))


@dataclass(frozen=True)
class Discretisation:
    """The parts of the discrete equations that do not depend on the flow."""

    velocity: Basis
    pressure: Basis
    diffusion: csr_matrix
    divergence_x: csr_matrix
    divergence_y: csr_matrix
    weights: np.ndarray

    def system(
        self, u: np.ndarray, v: np.ndarray, p: np.ndarray, Re: float
    ) -> tuple[csr_matrix, np.ndarray]:
        """Newton's matrix and the residual at (u, v, p); the last rows are the pressures'."""
        at_u, at_v = self.velocity.interpolate(u), self.velocity.interpolate(v)
        transport = asm(advection, self.velocity, u=at_u, v=at_v) + self.diffusion / Re
        shear = [
            [asm(reaction, self.velocity, rate=field.grad[axis]) for axis in (0, 1)]
            for field in (at_u, at_v)
        ]
        Bx, By = self.divergence_x, self.divergence_y
        matrix = bmat(
            [
                [transport + shear[0][0], shear[0][1], -Bx.T],
                [shear[1][0], transport + shear[1][1], -By.T],
                [-Bx, -By, None],
            ],
            format="csr",
        )
        residual = np.concatenate(
            [transport @ u - Bx.T @ p, transport @ v - By.T @ p, -Bx @ u - By @ v]
        )
        return matrix, residual


def discretise(mesh: MeshTri, degree: int) -> Discretisation:
    """Taylor-Hood bases of velocity degree `degree` (2, 3 or 4) and their constant matrices."""
    if degree not in (2, 3, 4):
        raise UserError(f"degree of the velocity: expected 2, 3 or 4, got {degree!r}")
    exact = 3 * degree - 1  # the degree of (u·∇)u φ
    velocity = Basis(mesh, ELEMENTS[degree](), intorder=exact)
    pressure = velocity.with_element(ELEMENTS[degree - 1]())
    return Discretisation(
        velocity,
        pressure,
        asm(diffusion, velocity),
        asm(divergence_x, velocity, pressure),
        asm(divergence_y, velocity, pressure),
        asm(integral, pressure),
    )


def steady_flow(
    mesh: MeshTri,
    boundary_velocity: BoundaryVelocity,
    Re: float,
    degree: int = 4,
    tolerance: float = 1e-12,
) -> Flow:
    """The steady flow with the given velocity on the whole boundary.

    Re is raised by factors of at most 2 from a creeping flow, each solution starting the next.

    Args:
        mesh: triangles.
        boundary_velocity: `[2, n] -> [2, n]`; its net outflow is zero.
        Re: Reynolds number, > 0.
        degree: of the velocity's polynomials, 2, 3 or 4.
        tolerance: largest residual accepted.

    Raises:
        UserError: Re not positive, degree unknown, or Newton's method failed (no steady flow).
    """
    if not Re > 0:
        raise UserError(f"Reynolds number: expected Re > 0, got {Re!r}")
    parts = discretise(mesh, degree)
    u, v = np.zeros((2, parts.velocity.N))
    wall = parts.velocity.get_dofs().all()
    u[wall], v[wall] = boundary_velocity(parts.velocity.doflocs[:, wall])
    state, steps = (u, v, np.zeros(parts.pressure.N)), 0
    for stage in _ladder(Re):
        state, taken, residual = _newton(parts, state, stage, wall, tolerance)
        steps += taken
    u, v, p = state
    p = p - (parts.weights @ p) / parts.weights.sum()
    return Flow(Re, parts.velocity, parts.pressure, u, v, p, steps, residual)


def _ladder(Re: float) -> list[float]:
    """Reynolds numbers up to Re by factors of at most 2, the first at most 100."""
    rungs = max(0, int(np.ceil(np.log2(Re / 100) - 1e-12)))
    return [Re / 2**rung for rung in range(rungs, -1, -1)]


def _newton(
    parts: Discretisation,
    state: tuple[np.ndarray, np.ndarray, np.ndarray],
    Re: float,
    wall: np.ndarray,
    tolerance: float,
    limit: int = 20,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int, float]:
    """Newton's iteration with the boundary's velocity and one pressure value held."""
    n = parts.velocity.N
    free = np.setdiff1d(np.arange(2 * n + parts.pressure.N - 1), np.concatenate([wall, wall + n]))
    vector = np.concatenate(state)
    for step in range(limit + 1):
        u, v, p = np.split(vector, (n, 2 * n))
        matrix, residual = parts.system(u, v, p, Re)
        left = float(np.abs(residual[free]).max())
        if left < tolerance:
            return (u, v, p), step, left
        if not np.isfinite(left):
            break
        vector[free] -= splu(matrix[free][:, free].tocsc()).solve(residual[free])
    raise UserError(
        f"steady flow at Re = {Re:g}: expected a residual below {tolerance:g}, "
        f"got {left:g} after {step} Newton steps; lower Re or refine the mesh"
    )

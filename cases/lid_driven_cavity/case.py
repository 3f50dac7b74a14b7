"""Steady flow in a unit square under a lid that moves with u = 1, in three formulations.

The corners where the lid meets the walls are singular: the velocity jumps there, and pressure and
vorticity grow without bound. Errors are taken against our own reference, where it has a
value (README).
"""

import torch
from sciml_cases.lid_driven_cavity.corners import walls

from sciml import catalogue
from sciml.contracts import UserError
from sciml.physics import navier_stokes
from sciml.pinn import Condition, Face, Problem, rectangle

WALLS = {
    "lid": Face("y", 1.0),
    "left": Face("x", 0.0),
    "right": Face("x", 1.0),
    "bottom": Face("y", 0.0),
}
REFERENCE = catalogue.home() / "data/samples/lid_driven_cavity_re100.nc"
NAMES = {"u": "velocity along x", "v": "velocity along y", "p": "pressure", "speed": "speed"}


def speed(u, v):
    """|(u, v)|; the small number keeps its derivative finite where the fluid rests."""
    return torch.sqrt(u**2 + v**2 + 1e-30)


def _require_positive(Re: float) -> None:
    if not Re > 0:
        raise UserError(f"cavity: expected a Reynolds number Re > 0, got {Re}; set problem.Re=100")


def no_slip(name: str, u, v) -> tuple[Condition, Condition]:
    """The fluid moves with the wall: (u, v) = (1, 0) on the lid, 0 elsewhere.

    Args:
        u, v: functions of the fields.
    """
    wall, lid_speed = WALLS[name], 1.0 if name == "lid" else 0.0
    return (
        Condition(f"{name}_u", "walls", wall, lambda f: u(f) - lid_speed),
        Condition(f"{name}_v", "walls", wall, v),
    )


def stream_function_pressure(Re: float = 100.0) -> Problem:
    """Unknowns ψ and p with u = ψ_y, v = -ψ_x, which is free of divergence by construction.

    Args:
        Re: Reynolds number; the reference solution is for 100.
    """

    _require_positive(Re)

    def equations(f):
        x = navier_stokes.stream_momentum_x(
            f.psi_x, f.psi_y, f.psi_xy, f.psi_yy, f.psi_xxy, f.psi_yyy, f.p_x, Re
        )
        y = navier_stokes.stream_momentum_y(
            f.psi_x, f.psi_y, f.psi_xx, f.psi_xy, f.psi_xxx, f.psi_xyy, f.p_y, Re
        )
        return {"momentum_x": x, "momentum_y": y}

    def u(f):
        return f.psi_y

    def v(f):
        return -f.psi_x

    return Problem(
        name="Lid-driven cavity, stream function and pressure",
        domain=rectangle((0.0, 0.0), (1.0, 1.0)),
        unknowns=("psi", "p"),
        equations=equations,
        conditions=sum((no_slip(name, u, v) for name in WALLS), ()),
        reference=REFERENCE if Re == 100 else None,
        compared=("u", "v", "speed"),
        derived={"u": u, "v": v, "speed": lambda f: speed(u(f), v(f))},
        long_names=NAMES | {"psi": "stream function"},
    )


def velocity_pressure(Re: float = 100.0) -> Problem:
    """Unknowns u, v and p; continuity is an equation of its own.

    Args:
        Re: Reynolds number; the reference solution is for 100.
    """

    _require_positive(Re)

    def equations(f):
        x = navier_stokes.momentum_x(f.u, f.v, f.u_x, f.u_y, f.p_x, f.u_xx, f.u_yy, Re)
        y = navier_stokes.momentum_y(f.u, f.v, f.v_x, f.v_y, f.p_y, f.v_xx, f.v_yy, Re)
        divergence = navier_stokes.continuity(f.u_x, f.v_y)
        return {"momentum_x": x, "momentum_y": y, "continuity": divergence}

    return Problem(
        name="Lid-driven cavity, velocity and pressure",
        domain=rectangle((0.0, 0.0), (1.0, 1.0)),
        unknowns=("u", "v", "p"),
        equations=equations,
        conditions=sum((no_slip(name, lambda f: f.u, lambda f: f.v) for name in WALLS), ()),
        reference=REFERENCE if Re == 100 else None,
        compared=("u", "v", "speed"),
        derived={"speed": lambda f: speed(f.u, f.v)},
        long_names=NAMES,
    )


def vorticity_transport(Re: float = 100.0) -> Problem:
    """Unknown ψ alone, without conditions: for a network that meets them (`corners.with_corners`).

    The residual is multiplied by B (r₁ r₂)^½, with B(x, y) from `corners` and r₁, r₂ the distances
    from the lid's ends: a force at the distance d from a wall moves ψ by d² at most, and none at a
    corner can be resolved.

    Args:
        Re: Reynolds number; the reference solution is for 100.
    """

    _require_positive(Re)

    def weight(x, y):
        ends = (x**2 + (1 - y) ** 2) * ((1 - x) ** 2 + (1 - y) ** 2)
        return walls(x, y) * ends**0.25

    def equations(f):
        residual = navier_stokes.vorticity_transport(
            *(f.psi_x, f.psi_y, f.psi_xxx, f.psi_xxy, f.psi_xyy, f.psi_yyy),
            *(f.psi_xxxx, f.psi_xxyy, f.psi_yyyy, f.Re),
        )
        return {"vorticity": weight(f.x, f.y) * residual}

    return Problem(
        name="Lid-driven cavity, stream function",
        domain=rectangle((0.0, 0.0), (1.0, 1.0)),
        unknowns=("psi",),
        equations=equations,
        reference=REFERENCE if Re == 100 else None,
        compared=("u", "v", "speed"),
        derived={
            "u": lambda f: f.psi_y,
            "v": lambda f: -f.psi_x,
            "speed": lambda f: speed(f.psi_y, -f.psi_x),
        },
        constants={"Re": Re},
        long_names={name: NAMES[name] for name in ("u", "v", "speed")} | {"psi": "stream function"},
    )

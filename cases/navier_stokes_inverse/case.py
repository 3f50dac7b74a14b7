"""Which equation does a flow obey? λ1 and λ2 of u_t + λ1 (u·∇)u = -∇p + λ2 Δu from velocities.

Decaying vortices in a window, seen at scattered points and times. Pressure is not observed, and
nothing is told about the window's boundary or the start.
"""

import numpy as np

from sciml import catalogue
from sciml.physics import navier_stokes
from sciml.pinn import At, Coefficient, Condition, Problem, rectangle, reference

FLOW = catalogue.home() / "data/samples/decaying_vortices.nc"


def velocities(file: str, observed: int, noise: float, seed: int) -> At:
    """u and v at `observed` nodes of the file, with normal errors of `noise` times their spread."""
    flow = reference.read(file, ("x", "y", "t"), ("u", "v"))
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(flow.x), size=observed, replace=False)
    values = {name: value[chosen] for name, value in flow.values.items()}
    seen = {k: v + noise * v.std() * rng.normal(size=observed) for k, v in values.items()}
    return At(flow.x[chosen], seen)


def problem(observed: int = 2000, noise: float = 0.0, seed: int = 0, viscosity: float = 0.01):
    """Stream function and pressure.

    Args:
        observed: points at which both velocities are known.
        noise: standard deviation of their errors over that of the velocity.
        seed: of the choice of points and of the errors.
        viscosity: that of the file, to judge by.
    """

    def equations(f):
        x = navier_stokes.unsteady_stream_momentum_x(
            *(f.psi_x, f.psi_y, f.psi_xy, f.psi_yy, f.psi_yt, f.psi_xxy, f.psi_yyy),
            *(f.p_x, f.lambda1, f.lambda2),
        )
        y = navier_stokes.unsteady_stream_momentum_y(
            *(f.psi_x, f.psi_y, f.psi_xx, f.psi_xy, f.psi_xt, f.psi_xxx, f.psi_xyy),
            *(f.p_y, f.lambda1, f.lambda2),
        )
        return {"momentum_x": x, "momentum_y": y}

    velocity = {"u": lambda f: f.psi_y, "v": lambda f: -f.psi_x}
    seen = velocities(FLOW, observed, noise, seed)
    return Problem(
        name="Navier-Stokes, two unknown coefficients",
        domain=rectangle((0.0, 0.0), (np.pi, np.pi)).over_time(0.0, 1.0),
        unknowns=("psi", "p"),
        coefficients={
            "lambda1": Coefficient(0.0, true=1.0),
            "lambda2": Coefficient(0.0, true=viscosity),
        },
        equations=equations,
        conditions=(
            Condition("observed_u", "observed", seen, lambda f: velocity["u"](f) - f.target("u")),
            Condition("observed_v", "observed", seen, lambda f: velocity["v"](f) - f.target("v")),
        ),
        reference=FLOW,
        compared=("u", "v"),
        derived=velocity,
        long_names={
            "psi": "stream function",
            "p": "pressure",
            "u": "velocity along x",
            "v": "velocity along y",
            "lambda1": "coefficient of inertia",
            "lambda2": "viscosity",
        },
    )

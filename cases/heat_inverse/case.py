"""The conductivity a(x, y) of a plate from noisy temperatures: u_t - ∇·(a ∇u) = f.

Known are the source f, a on the edge of the plate, and u at scattered points and times with normal
errors of standard deviation 0.1.
"""

import numpy as np
import torch

from sciml.physics import heat
from sciml.pinn import At, Boundary, Condition, Problem, dirichlet, rectangle

LOWER, UPPER = (-1.0, -1.0, 0.0), (1.0, 1.0, 1.0)


def temperatures(observed: int, noise: float, seed: int) -> At:
    """u at uniform points `[observed, 3]` with errors."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(LOWER, UPPER, (observed, 3))
    u = heat.cooling(*torch.from_numpy(points).unbind(1)).numpy()
    return At(points, {"u": u + noise * rng.normal(size=observed)})


def problem(observed: int = 2500, noise: float = 0.1, seed: int = 0) -> Problem:
    """The benchmark's sizes.

    Args:
        observed: points at which u is known.
        noise: standard deviation of the errors; u is between -1 and 1.
        seed: of the points and of the errors.
    """

    def equations(f):
        source = heat.cooling_source(f.x, f.y, f.t)
        return {
            "heat": heat.residual(
                *(f.u_t, f.u_x, f.u_y, f.u_xx, f.u_yy), *(f.a, f.a_x, f.a_y), source
            )
        }

    def exact(f):
        return {"u": heat.cooling(f.x, f.y, f.t), "a": heat.conductivity(f.x, f.y)}

    seen = temperatures(observed, noise, seed)
    return Problem(
        name="Heat, unknown conductivity",
        domain=rectangle(LOWER[:2], UPPER[:2]).over_time(LOWER[2], UPPER[2]),
        unknowns=("u", "a"),
        equations=equations,
        conditions=(
            Condition("observed", "observed", seen, lambda f: f.u - f.target("u")),
            dirichlet("a", lambda f: exact(f)["a"], on=Boundary(), name="edge"),
        ),
        exact=exact,
        long_names={"u": "temperature", "a": "conductivity"},
    )

"""u_t + β u_x = 0 with period 2π from u(x, 0) = sin x; exact solution sin(x - β t)."""

import math

import torch
from torch import Tensor

from sciml.physics import advection
from sciml.pinn import Problem, initial_value, interval


def problem(beta: float = 30.0, constrained: bool = False) -> Problem:
    """The travelling sine wave; networks are periodic by their inputs.

    Args:
        beta: speed; β/2π turns in the unit of time.
        constrained: without the start as a condition: the network meets it (`with_start`).
    """

    def equations(f):
        return {"residual": advection.residual(f.u_t, f.u_x, f.beta)}

    start = initial_value("u", lambda f: torch.sin(f.x), name="start")
    return Problem(
        name="Advection",
        domain=interval(0.0, 2 * math.pi).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=() if constrained else (start,),
        exact=lambda f: {"u": advection.sine_wave(f.x, f.t, beta)},
        constants={"beta": beta},
        long_names={"u": "what is carried"},
    )


def with_start(x: Tensor, network: Tensor) -> Tensor:
    """u = sin x + t N."""
    return torch.sin(x[:, :1]) + x[:, 1:] * network

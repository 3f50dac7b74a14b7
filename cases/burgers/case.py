"""Burgers' equation: -sin πx steepens into a front at x = 0 about the time 1/π."""

import math

import torch
from torch import Tensor

from sciml.physics import burgers
from sciml.pinn import Face, Problem, dirichlet, initial_value, interval
from sciml.references.burgers import sine_wave

NU = 0.01 / math.pi


def problem(nu: float = NU, half: bool = False, constrained: bool = False) -> Problem:
    """The steepening sine wave.

    Args:
        nu: kinematic viscosity.
        half: on 0 < x < 1, of which the rest is the odd continuation u(-x, t) = -u(x, t).
        constrained: without conditions: the network meets them (`with_ends`, `odd`).
    """
    lower = 0.0 if half else -1.0

    def equations(f):
        return {"residual": burgers.residual(f.u, f.u_t, f.u_x, f.u_xx, f.nu)}

    conditions = (
        initial_value("u", lambda f: -torch.sin(math.pi * f.x), name="start"),
        dirichlet("u", 0.0, on=Face("x", lower), name="left", term="walls"),
        dirichlet("u", 0.0, on=Face("x", 1.0), name="right", term="walls"),
    )
    return Problem(
        name="Burgers",
        domain=interval(lower, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=() if constrained else conditions,
        exact=lambda f: {"u": sine_wave(f.x, f.t, nu)},
        constants={"nu": nu},
        long_names={"u": "velocity"},
    )


def with_ends(x: Tensor, network: Tensor) -> Tensor:
    """u = -sin πx + t (1 - x²) N: start and ends for -1 < x < 1."""
    x, t = x[:, :1], x[:, 1:]
    return t * (1 - x**2) * network - torch.sin(math.pi * x)


def odd(x: Tensor, network: Tensor) -> Tensor:
    """u = -sin πx + t x (1 - x) N: start and ends for 0 < x < 1."""
    x, t = x[:, :1], x[:, 1:]
    return t * x * (1 - x) * network - torch.sin(math.pi * x)

"""Kuramoto-Sivashinsky equation with period 2 from u(x, 0) = -sin πx, in its regular regime."""

import math

import torch
from torch import Tensor

from sciml import catalogue
from sciml.physics import kuramoto_sivashinsky
from sciml.pinn import Problem, initial_value, interval

REFERENCE = catalogue.home() / "data/samples/kuramoto_sivashinsky.nc"


def problem(constrained: bool = False) -> Problem:
    """The benchmark; networks are periodic by their inputs.

    Args:
        constrained: without the start as a condition: the network meets it (`odd_start`).
    """

    def equations(f):
        residual = kuramoto_sivashinsky.residual(
            f.u, f.u_t, f.u_x, f.u_xx, f.u_xxxx, f.alpha, f.beta, f.gamma
        )
        return {"residual": residual}

    start = initial_value("u", lambda f: -torch.sin(math.pi * f.x), name="start")
    return Problem(
        name="Kuramoto-Sivashinsky",
        domain=interval(-1.0, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=() if constrained else (start,),
        reference=REFERENCE,
        constants={"alpha": 5.0, "beta": 0.5, "gamma": 0.005},
        long_names={"u": "slope of the front"},
    )


def odd_start(x: Tensor, network: Tensor) -> Tensor:
    """u = (N - 1) sin πx, for N = 0 at t = 0; odd where N is even, as of inputs with even: true."""
    return (network - 1) * torch.sin(math.pi * x[:, :1])

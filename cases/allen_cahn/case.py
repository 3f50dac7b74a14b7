"""Allen-Cahn equation with period 2: two phases part, from u(x, 0) = x² cos πx.

The start has a kink at x = ±1, which diffusion rounds off at once: see `rounded_start`.
"""

import math

import torch
from torch import Tensor

from sciml import catalogue
from sciml.physics import allen_cahn
from sciml.pinn import Problem, initial_value, interval

D, R = 1e-4, 5.0
REFERENCE = catalogue.home() / "data/samples/allen_cahn.nc"


def problem(constrained: bool = False) -> Problem:
    """The benchmark; networks are periodic by their inputs.

    Args:
        constrained: without the start as a condition: the network meets it (`rounded_start`).
    """

    def equations(f):
        return {"residual": allen_cahn.residual(f.u, f.u_t, f.u_xx, f.D, f.r)}

    start = initial_value("u", lambda f: f.x**2 * torch.cos(math.pi * f.x), name="start")
    return Problem(
        name="Allen-Cahn",
        domain=interval(-1.0, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=() if constrained else (start,),
        reference=REFERENCE,
        constants={"D": D, "r": R},
        long_names={"u": "order parameter"},
    )


def rounded_start(x: Tensor, network: Tensor) -> Tensor:
    """u = x² (1 + cos πx) - 1 + e^{-2rt} (1 - H(x, t)) + t N, the start at t = 0.

    H is x² of period 2 under diffusion alone; near the phase u = -1 its kink fades with e^{-2rt}.
    """
    x, t = x[:, :1], x[:, 1:]
    heat = x**2 + 2 * D * t - 4 * (_rounding(1 - x, t) + _rounding(1 + x, t))
    smooth = x**2 * (1 + torch.cos(math.pi * x)) - 1
    return smooth + torch.exp(-2 * R * t) * (1 - heat) + t * network


def _rounding(s: Tensor, t: Tensor) -> Tensor:
    """(Dt/π)^½ e^{-s²/4Dt} - (s/2) erfc(s/(4Dt)^½): what diffusion adds to |s|/2 for s >= 0."""
    width = torch.sqrt(4 * D * t + 1e-30)
    ratio = s / width
    return 0.5 * (width / math.sqrt(math.pi) * torch.exp(-(ratio**2)) - s * (1 - torch.erf(ratio)))

"""A phase changes the constants of the equations; no program keeps the old ones."""

import warnings

import pytest
import torch

from sciml.calculus.pointwise import taylor
from sciml.contracts import UserError
from sciml.pinn import Problem, interval
from sciml.pinn.networks import MLP
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.points import Collocation, Points
from sciml.training.phases import hand_over

MODEL = MLP(1, 1, 5, 1, torch.Generator().manual_seed(0)).double()
BATCH = Collocation({"residual": Points(torch.linspace(0, 1, 9, dtype=torch.float64)[:, None])})
PROBLEM = Problem(
    "burgers",
    interval(0.0, 1.0),
    ("u",),
    lambda f: {"steady": f.u * f.u_x - f.nu * f.u_xx},
    constants={"nu": 0.5, "unused": 1.0},
)


def expected(nu: float) -> float:
    """The same term from the derivatives themselves."""
    f = taylor.derivatives(MODEL, BATCH.points["residual"].x, ("u",), ("x",), {"u", "u_x", "u_xx"})
    return (f["u"] * f["u_x"] - nu * f["u_xx"]).square().mean().item()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_ladder_of_viscosities(compiled):
    loss = CollocationLoss(PROBLEM, Engine(taylor.derivatives, compiled)).train()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="derivatives:")
        for settings, nu in (({}, 0.5), ({"nu": 0.1}, 0.1), ({"nu": 0.02}, 0.02), ({}, 0.5)):
            hand_over({"constants": settings} if settings else {}, (loss,), "ladder")
            term = loss(MODEL, BATCH)["steady"]
            assert term.item() == pytest.approx(expected(nu), rel=1e-10)


def test_one_program_serves_the_same_constants():
    loss = CollocationLoss(PROBLEM)
    before = loss._compiled
    loss.configure(constants={"nu": 0.5})
    assert loss._compiled is before
    loss.configure(constants={"nu": 0.4})
    assert loss._compiled is not before


def test_a_mistyped_constant_is_refused():
    with pytest.raises(UserError, match=r"got 'unusd'; did you mean 'unused'\?"):
        CollocationLoss(PROBLEM).configure(constants={"unusd": 1.0})

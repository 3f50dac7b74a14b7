"""Prony series: relaxation, creep to balance, harmonic strain, and the recursion's exactness."""

import math
from itertools import pairwise

import pytest
import torch

from sciml.physics.viscoelasticity import (
    branches,
    inherited,
    loss_and_storage,
    relaxation,
)

BETA, TAU = torch.tensor([0.5, 0.3]).double(), torch.tensor([0.1, 2.0]).double()
UNIT = torch.eye(3).double()


def history(elastic: list[float], dt: float) -> torch.Tensor:
    """S(t)/S_e's unit after every value of the elastic stress, linear between."""
    Q, found = torch.zeros(2, 3, 3).double(), []
    for before, after in pairwise(elastic):
        Q = branches(Q, (after - before) * UNIT, dt, BETA, TAU)
        found.append((after * UNIT + Q.sum(0))[0, 0])
    return torch.stack(found)


def test_relaxation_after_a_sudden_strain() -> None:
    sudden = 1e-9
    Q = branches(torch.zeros(2, 3, 3).double(), UNIT, sudden, BETA, TAU)
    for step in range(1, 6):
        Q = branches(Q, 0 * UNIT, 0.2, BETA, TAU)
        t = torch.tensor(0.2 * step).double()
        assert float(1 + Q.sum(0)[0, 0]) == pytest.approx(float(relaxation(t, BETA, TAU)), rel=1e-7)


def test_a_steady_rise_is_exact_whatever_the_step() -> None:
    """S_e = t: Q = β τ (1 - e^(-t/τ))."""
    exact = 1 + float((BETA * TAU * (1 - torch.exp(-1 / TAU))).sum())
    for steps in (1, 3, 10):
        rise = [n / steps for n in range(steps + 1)]
        assert float(history(rise, 1 / steps)[-1]) == pytest.approx(exact, rel=1e-13)


def test_harmonic_strain_shows_loss_and_storage() -> None:
    """After the start has died away S = storage sin ωt + loss cos ωt, to second order in Δt."""
    omega, steps, periods = 3.0, 400, 8
    dt = 2 * math.pi / omega / steps
    t = torch.arange(steps * periods + 1).double() * dt
    S = history(torch.sin(omega * t).tolist(), dt)[-steps:]
    last = t[-steps:]
    loss, storage = loss_and_storage(torch.tensor(omega).double(), BETA, TAU)
    assert float(2 * (S * torch.sin(omega * last)).mean()) == pytest.approx(
        float(storage), rel=1e-4
    )
    assert float(2 * (S * torch.cos(omega * last)).mean()) == pytest.approx(float(loss), rel=1e-3)


def test_what_a_step_inherits_does_not_depend_on_where_it_goes() -> None:
    Q = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    before, after = Q[0], Q[1]
    gains = branches(0 * Q, after, 0.3, BETA, TAU).sum(0)
    found = gains + inherited(Q, before, 0.3, BETA, TAU)
    torch.testing.assert_close(found, branches(Q, after - before, 0.3, BETA, TAU).sum(0))

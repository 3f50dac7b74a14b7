"""The fair CRPS: closed form for a Gaussian, no bias by the number of members."""

from math import erf, exp, pi, sqrt

import pytest
import torch

from sciml.calculus.sphere import gauss
from sciml.contracts import UserError
from sciml.globe.losses import FairCRPS, Measure
from sciml.globe.losses.ensemble import fair_crps
from sciml.globe.metrics import definitions
from tests.globe.windows import noise


def gaussian(mean: float, std: float, truth: float) -> float:
    """CRPS of N(mean, std²): σ [z (2Φ(z) - 1) + 2φ(z) - 1/√π], Gneiting and Raftery 2007."""
    z = (truth - mean) / std
    density = exp(-z * z / 2) / sqrt(2 * pi)
    return std * (z * erf(z / sqrt(2)) + 2 * density - 1 / sqrt(pi))


@pytest.mark.parametrize("members", [2, 3, 8])
@pytest.mark.parametrize(("mean", "std", "truth"), [(0.0, 1.0, 0.3), (2.0, 0.5, -1.0)])
def test_its_expectation_is_the_closed_form_for_every_size(members, mean, std, truth) -> None:
    draws = 200_000
    ensemble = mean + std * noise(1, members, draws, seed=members)
    scores = fair_crps(ensemble, torch.full((1, draws), truth, dtype=torch.float64))[0]
    spread = float(scores.std()) / draws**0.5  # standard error of the mean
    assert float(scores.mean()) == pytest.approx(gaussian(mean, std, truth), abs=4 * spread)
    assert spread < 5e-3


@pytest.mark.parametrize("members", [2, 5])
def test_sorting_gives_the_sum_over_pairs(members: int) -> None:
    ensemble, truth = noise(3, members, 7, seed=1), noise(3, 7, seed=2)
    pairs = (ensemble[:, :, None] - ensemble[:, None]).abs().sum((1, 2))
    expected = (ensemble - truth[:, None]).abs().mean(1) - pairs / (2 * members * (members - 1))
    assert torch.allclose(fair_crps(ensemble, truth), expected)
    area = torch.full((7,), 1 / 7, dtype=torch.float64)
    scored = definitions.fair_crps(ensemble.movedim(1, 0), truth, area)
    assert torch.allclose(scored, expected.mean(-1))


def test_areas_and_channels_weigh_it() -> None:
    grid = gauss(6)
    truth = noise(2, 2, 2, *grid.shape).float()
    offset = torch.tensor([3.0, 4.0]).view(2, 1, 1)
    ensemble = (truth + offset)[:, None].expand(-1, 4, *truth.shape[1:])  # all alike: |error|
    loss = FairCRPS(Measure(grid, [3.0, 2.0], weight=[3, 1]))
    assert float(loss(ensemble, truth)) == pytest.approx((3 * 1 + 1 * 2) / 4, rel=1e-5)


def test_gradient_by_finite_differences() -> None:
    truth = noise(2, 3, seed=3)
    ensemble = noise(2, 4, 3, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: fair_crps(e, truth), (ensemble,))


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(UserError, match="at least 2 members, got 1"):
        fair_crps(noise(2, 1, 4), noise(2, 4))

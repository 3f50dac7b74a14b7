"""SAM-GS against numbers worked out by hand."""

import pytest
import torch

from sciml.balance.samgs import SAMGS
from sciml.contracts import UserError
from tests.balance.members import Given

UNLIKE = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
ALIKE = torch.tensor([[1.2, 0.0], [0.6, 0.8]], dtype=torch.float64)


def test_gradients_of_unlike_size_are_made_equal():
    # S = 2·3/10 = 0.6 < 0.9: mean size 2 times (1, 0) + (0, 1)
    torch.testing.assert_close(
        SAMGS()(Given(UNLIKE)).gradient, torch.tensor([2.0, 2.0], dtype=torch.float64)
    )


def test_gradients_of_like_size_follow_their_momentum():
    # S = 2·1.2/2.44; m = g and v = (1 − S)² + 1e-8/0.1 at the first step, corrected
    unlike = (1 - 2.4 / 2.44) ** 2 + 1e-7
    expected = (ALIKE.abs() / unlike**0.5 * ALIKE).sum(0)
    torch.testing.assert_close(SAMGS(cap=1e9)(Given(ALIKE)).gradient, expected)


def test_the_second_step_remembers_the_first():
    balancer = SAMGS(beta1=0.5, beta2=0.25, cap=1e9)
    balancer(Given(ALIKE))
    # m = (g/4 + h/2)/(3/4); v = (0.25 (0.75 (1 − S)² + 1e-8) + 1e-8)/(1 − 0.25²), then S = 1
    other = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    m = (0.25 * ALIKE + 0.5 * other) / 0.75
    v = (0.25 * (0.75 * (1 - 2.4 / 2.44) ** 2 + 1e-8) + 1e-8) / (1 - 0.25**2)
    torch.testing.assert_close(balancer(Given(other)).gradient, (m.abs() / v**0.5 * other).sum(0))


def test_the_factor_is_capped_where_all_sizes_agree():
    rows = torch.tensor([[0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(SAMGS(cap=1.0)(Given(rows)).gradient, rows.sum(0))


def test_arguments_are_checked():
    with pytest.raises(UserError, match="0 <= gamma <= 1, got 2"):
        SAMGS(gamma=2.0)
    with pytest.raises(UserError, match="cap > 0"):
        SAMGS(cap=0.0)

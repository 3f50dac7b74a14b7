"""GradNorm against numbers worked out by hand."""

import pytest
import torch

from sciml.balance.gradnorm import GradNorm
from tests.balance.members import Given


def step(rows, losses=(1.0, 1.0), index=0):
    made = Given(torch.tensor(rows, dtype=torch.float64))
    made.index = index
    made.losses = {
        k: torch.tensor(v, dtype=torch.float64) for k, v in zip("ab", losses, strict=True)
    }
    return made


def test_equal_progress():
    # norms (3, 1), mean 2: log w = (−0.1·3/2, +0.1·1/2) = (−0.15, 0.05), and their sum is 2
    weights = GradNorm(lr=0.1)(step([[3.0, 0.0], [0.0, 1.0]]))
    share = torch.softmax(torch.tensor([-0.15, 0.05], dtype=torch.float64), 0)
    assert [float(w) for w in weights.values()] == pytest.approx((2 * share).tolist())


def test_a_term_that_lags_behind_gains():
    # L/L(0) = (1, 3): r = (1/2, 3/2); norms (1, 1): targets (1/2, 3/2) with α = 1: (−0.1, +0.1)
    balancer = GradNorm(alpha=1.0, lr=0.1, every=2)
    rows = [[1.0, 0.0], [0.0, 1.0]]
    balancer.first.put("a", torch.tensor(2.0, dtype=torch.float64))
    balancer.first.put("b", torch.tensor(2.0, dtype=torch.float64))
    weights = balancer(step(rows, (2.0, 6.0)))
    share = torch.softmax(torch.tensor([-0.1, 0.1], dtype=torch.float64), 0)
    assert [float(w) for w in weights.values()] == pytest.approx((2 * share).tolist())
    assert balancer(step(rows, (9.0, 1.0), index=1)) == weights


def test_norms_become_equal_where_progress_is():
    balancer = GradNorm(lr=0.05)
    for index in range(2000):
        weights = balancer(step([[100.0, 0.0], [0.0, 0.1]], index=index))
    assert float(weights["a"]) * 100 == pytest.approx(float(weights["b"]) * 0.1, rel=0.1)

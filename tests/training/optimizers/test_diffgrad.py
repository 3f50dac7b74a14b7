"""DiffGrad: its formula by hand."""

import math

import pytest
import torch
from torch import nn

from sciml.contracts import UserError
from sciml.training.optimizers.diffgrad import DiffGrad


def test_two_steps_by_hand():
    """g = 2, then 0.5, from x = 1 with lr 0.1: m̂/√v̂ = 1 at first, as in Adam."""
    x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = DiffGrad([x], lr=0.1, eps=0.0)
    x.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer.step()
    first = 1 - 0.1 / (1 + math.exp(-2.0))
    assert float(x) == pytest.approx(first, rel=1e-12)
    x.grad = torch.tensor([0.5], dtype=torch.float64)
    optimizer.step()
    mean = (0.9 * 0.2 + 0.1 * 0.5) / (1 - 0.9**2)
    square = (0.999 * 0.004 + 0.001 * 0.25) / (1 - 0.999**2)
    expected = first - 0.1 / (1 + math.exp(-1.5)) * mean / math.sqrt(square)
    assert float(x) == pytest.approx(expected, rel=1e-12)


def test_a_constant_gradient_moves_half_of_adams_way():
    """ξ = 1/2 from the second step on; the first, against g₋ = 0, has ξ = sigmoid(1)."""
    x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = DiffGrad([x], lr=0.01, eps=0.0)
    for _ in range(11):
        x.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
    assert float(x) == pytest.approx(-0.01 * (1 / (1 + math.exp(-1)) + 10 / 2), rel=1e-9)


def test_numbers_are_checked():
    with pytest.raises(UserError, match=r"betas in \[0, 1\)"):
        DiffGrad([nn.Parameter(torch.zeros(2))], betas=(0.9, 1.0))

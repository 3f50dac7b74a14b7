"""The rules that read losses alone, against numbers worked out by hand and formulas in NumPy."""

import math

import numpy as np
import pytest
import torch

from sciml.balance.losses import DWA, ReLoBRaLo, SoftAdapt, Uncertainty
from sciml.contracts import UserError


class Losses:
    """A step that has losses alone: asking for anything else fails."""

    def __init__(self, index: int, **losses: float) -> None:
        self.index = index
        self.losses = {k: torch.tensor(v, dtype=torch.float64) for k, v in losses.items()}


def answers(balancer, *losses: tuple[float, ...], start: int = 0) -> np.ndarray:
    """The weights for one row of losses after another."""
    found = []
    for index, row in enumerate(losses, start):
        weights = balancer(Losses(index, **dict(zip("abc", row, strict=False))))
        found.append([float(weights[name]) for name in weights])
    return np.array(found)


def softmax(x):
    e = np.exp(np.asarray(x) - np.max(x))
    return e / e.sum()


def test_softadapt_favours_the_term_that_falls_slowest():
    # rates (0.5 − 1, 2 − 2) = (−0.5, 0); divided by 0.5: (−1, 0); β = 2: 2 (e⁻², 1)/(1 + e⁻²)
    found = answers(SoftAdapt(beta=2.0), (1.0, 2.0), (0.5, 2.0))
    assert found[0] == pytest.approx([1.0, 1.0])
    assert found[1] == pytest.approx(2 * np.array([math.exp(-2), 1]) / (1 + math.exp(-2)))


def test_softadapt_as_first_written_and_by_loss():
    plain = answers(SoftAdapt(beta=2.0, normalise=False), (1.0, 2.0), (0.5, 2.0))
    assert plain[1] == pytest.approx(2 * softmax([-1.0, 0.0]))
    by_loss = answers(SoftAdapt(2.0, normalise=False, by_loss=True), (1.0, 2.0), (0.5, 2.0))
    share = np.array([0.5 * math.exp(-1.0), 2.0])
    assert by_loss[0] == pytest.approx([2 / 3, 4 / 3])
    assert by_loss[1] == pytest.approx(2 * share / share.sum())


def test_softadapt_over_stretches():
    # means of two steps: (1.5, 2) then (1, 2); nothing changes within a stretch
    found = answers(
        SoftAdapt(3.0, normalise=False, every=2), (1.0, 2.0), (2.0, 2.0), (0.5, 2.0), (1.5, 2.0)
    )
    assert found[:3] == pytest.approx(np.ones((3, 2)))
    assert found[3] == pytest.approx(2 * softmax([-1.5, 0.0]))


def test_dynamic_weight_average():
    # ratios of the last two: (0.5, 1.5)
    found = answers(DWA(temperature=2.0, every=1), (4.0, 2.0), (2.0, 3.0))
    assert found[0] == pytest.approx([1.0, 1.0])
    assert found[1] == pytest.approx(2 * softmax([0.25, 0.75]))


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_relative_balance_with_and_without_lookback(rho):
    generator = np.random.default_rng(0)
    losses = generator.uniform(0.1, 2.0, (6, 3))
    alpha, temperature = 0.7, 0.5
    expected, weights = [], np.ones(3)
    for t, now in enumerate(losses):
        before = losses[max(t - 1, 0)]
        to_start = 3 * softmax(now / (temperature * losses[0]))
        to_last = 3 * softmax(now / (temperature * before))
        weights = alpha * (rho * weights + (1 - rho) * to_start) + (1 - alpha) * to_last
        expected.append(weights)
    balancer = ReLoBRaLo(alpha=alpha, rho=rho, temperature=temperature)
    assert answers(balancer, *map(tuple, losses)) == pytest.approx(np.array(expected))


def test_the_lookback_is_drawn_with_its_chance_and_depends_on_the_step_alone():
    # with α = 1 the weights change only where it looks back; L(0) ≠ L(t)
    def looked(start):
        balancer = ReLoBRaLo(alpha=1.0, rho=0.75)
        balancer(Losses(0, a=1.0, b=1.0))
        seen = []
        for index in range(start, 2000):
            balancer.weights.put("a", torch.tensor(1.0))
            seen.append(float(balancer(Losses(index, a=3.0, b=1.0))["a"]) != 1.0)
        return seen

    seen = looked(1)
    assert looked(500) == seen[499:]
    # 2,000 draws of chance 1/4: 500 ± 4·19.4
    assert sum(seen) == pytest.approx(500, abs=78)


def test_uncertainty_descends_and_rests_at_the_inverse_loss():
    # s: 0 − 0.1 (1 − 3) = 0.2, then 0.2 − 0.1 (1 − 3 e^−0.2)
    balancer = Uncertainty(lr=0.1)
    found = answers(balancer, (3.0,), (3.0,), (3.0,))[:, 0]
    assert found[1] == pytest.approx(math.exp(-0.2))
    assert found[2] == pytest.approx(math.exp(-0.2 + 0.1 * (1 - 3 * math.exp(-0.2))))
    assert answers(balancer, *[(3.0,)] * 300)[-1, 0] == pytest.approx(1 / 3)


def test_uncertainty_is_not_thrown_far_by_a_huge_loss():
    found = answers(Uncertainty(lr=1e-3), (1e9,), (1e9,))[:, 0]
    assert found[1] == pytest.approx(math.exp(-1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftAdapt(every=0), "every >= 1, got 0"),
        (lambda: DWA(temperature=0.0), "temperature > 0, got 0.0"),
        (lambda: ReLoBRaLo(alpha=1.5), "0 <= alpha <= 1, got 1.5"),
        (lambda: ReLoBRaLo(rho=-0.1), "0 <= rho <= 1"),
        (lambda: Uncertainty(lr=0.0), "lr > 0, got 0.0"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()

"""Strong Wolfe steps on the functions of Moré and Thuente (ACM TOMS 20, 1994), section 5."""

import math

import pytest
import torch

from sciml.training.optimizers.line_search import Trial, cubic_minimum, strong_wolfe

NONE = torch.zeros(0)


def quotient(a, beta=2.0):
    return -a / (a * a + beta), (a * a - beta) / (a * a + beta) ** 2


def quintic(a, beta=0.004):
    return (a + beta) ** 5 - 2 * (a + beta) ** 4, 5 * (a + beta) ** 4 - 8 * (a + beta) ** 3


def wavy(a, beta=0.01, length=39):
    """Equation 5.3: a kink of width 2 beta at 1, and ripples."""
    if a <= 1 - beta:
        value, slope = 1 - a, -1.0
    elif a >= 1 + beta:
        value, slope = a - 1, 1.0
    else:
        value, slope = (a - 1) ** 2 / (2 * beta) + beta / 2, (a - 1) / beta
    ripple = length * math.pi / 2
    value += 2 * (1 - beta) / (length * math.pi) * math.sin(ripple * a)
    return value, slope + (1 - beta) * math.cos(ripple * a)


def searched(function, first, **keys):
    calls = []

    def evaluate(step):
        calls.append(step)
        return Trial(step, *function(step), NONE)

    start = Trial(0.0, *function(0.0), NONE)
    return start, strong_wolfe(evaluate, start, first, longest=1e6, **keys), calls


@pytest.mark.parametrize("first", [1e-3, 1e-1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize(
    ("function", "c1", "c2"), [(quotient, 1e-3, 0.1), (quintic, 0.1, 0.1), (wavy, 0.1, 0.1)]
)
def test_both_conditions_hold_from_any_first_trial(function, first, c1, c2):
    start, found, calls = searched(function, first, c1=c1, c2=c2)
    assert found.value <= start.value + c1 * found.step * start.slope
    assert abs(found.slope) <= c2 * abs(start.slope)
    assert len(calls) <= 20


def test_a_good_first_trial_is_the_only_one():
    _, found, calls = searched(lambda a: ((a - 1) ** 2, 2 * (a - 1)), 1.0)
    assert found.step == 1.0 and calls == [1.0]


def test_a_parabola_takes_two_trials():
    """Its cubic is the parabola, so the second trial is its minimum."""
    for first in (0.3, 20.0):
        _, found, calls = searched(lambda a: ((a - 2) ** 2, 2 * (a - 2)), first, c2=1e-9)
        assert found.step == pytest.approx(2.0, rel=1e-9) and len(calls) <= 4


def test_what_is_not_finite_is_too_far():
    def function(a):
        return ((a - 0.01) ** 2, 2 * (a - 0.01)) if a < 0.1 else (math.nan, math.nan)

    _, found, _ = searched(function, 1.0)
    assert 0 < found.step < 0.1


def test_no_decrease_is_no_step():
    def uphill(a):
        return a, -1.0 if a == 0 else 1.0

    assert searched(uphill, 1.0)[1] is None


def test_below_rounding_the_slope_decides():
    """The value does not change in its last digit, the slope halves: a step, not a failure."""
    _, found, calls = searched(lambda a: (1.0, -1e-20 * (1 - a / 2)), 1.0)
    assert found is not None and found.step == 1.0 and len(calls) == 1


def test_cubic_minimum():
    """a³ - 3 a has its minimum at 1."""
    ends = [Trial(a, a**3 - 3 * a, 3 * a**2 - 3, NONE) for a in (0.0, 3.0)]
    assert cubic_minimum(*ends) == pytest.approx(1.0, rel=1e-12)
    assert cubic_minimum(*ends[::-1]) == pytest.approx(1.0, rel=1e-12)

"""The time scheme against the exact solution of an oscillator with a fast and a slow part."""

import math

import pytest
import torch

from sciml.weather.simulate.time_steps import Past, run

SLOW, FAST = 1.0, 5.0


class Oscillator:
    """x_t = i ω x in real numbers, ω in two parts."""

    def __init__(self, slow=SLOW, fast=FAST):
        self.slow, self.fast = slow, fast

    def nonlinear(self, x):
        return self.slow * turned(x)

    def linear(self, x):
        return self.fast * turned(x)

    def solve(self, r, b):
        return (r + b * self.fast * turned(r)) / (1 + (b * self.fast) ** 2)


def turned(x):
    return torch.stack([-x[1], x[0]])


def error(steps, end=1.0):
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    x = run(Oscillator(), Past(one), end / steps, steps).x
    angle = (SLOW + FAST) * end
    return math.hypot(x[0] - math.cos(angle), x[1] - math.sin(angle))


def test_second_order():
    assert math.log2(error(100) / error(200)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("slow", [0.1, 0.3, 0.55])
@pytest.mark.parametrize("fast", [-100.0, -2.0, 0.0, 0.5, 3.0, 100.0])
def test_stable_whatever_the_fast_waves_do(slow, fast):
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    x = run(Oscillator(slow, fast), Past(one), 1.0, 100).x
    assert x.norm() < 1.4  # 1.003 a step at most


def test_watch_sees_every_step():
    seen = []
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    last = run(Oscillator(), Past(one), 0.01, 5, lambda past: seen.append(past.x))
    assert len(seen) == 5 and seen[-1] is last.x

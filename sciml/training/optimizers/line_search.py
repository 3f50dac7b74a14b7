"""A line search for the strong Wolfe conditions, with gradients at every trial point.

    φ(a) = f(x + a d),  φ'(0) < 0
    decrease    φ(a) <= φ(0) + c1 a φ'(0)
    curvature   |φ'(a)| <= c2 |φ'(0)|

A bracket whose better end always has the decrease is shrunk by the cubic through both ends
(Nocedal & Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6). Near a minimum f changes
by less than its rounding while its slope is still known: there the decrease is read off the slope,
φ'(a) <= (2 c1 - 1) φ'(0) (approximate Wolfe condition of Hager & Zhang, SIAM J. Optim. 16, 2005).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

#: Change of φ, relative to |φ(0)|, that is taken for rounding.
ROUNDING = 1e-14
#: A trial stays off the ends of the bracket by this share of it.
MARGIN = 1e-3
#: Share of the bracket that is tried next where its far end is not finite.
RETREAT = 0.1


@final
@dataclass(frozen=True)
class Trial:
    """φ and φ' at `step`, with the gradient [P] of f there."""

    step: float
    value: float
    slope: float
    gradient: Tensor


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    first: float,
    longest: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    evaluations: int = 25,
) -> Trial | None:
    """A step that fulfils both conditions.

    Args:
        evaluate: one evaluation of f and its gradient.
        start: step 0, slope < 0.
        first: the first trial, > 0.
        longest: the longest step, >= `first`.
        c1, c2: 0 < c1 < c2 < 1.
        evaluations: largest number of calls.

    Returns:
        The step; where the calls were too few, the best one with a decrease; None without one.
        A value that is not finite counts as a step too long.
    """
    low, high, step, width = start, None, first, math.inf
    for _ in range(evaluations):
        trial = evaluate(step)
        if not _decreased(trial, start, c1) or (low is not start and trial.value > low.value):
            high = trial
        elif abs(trial.slope) <= -c2 * start.slope:
            return trial
        else:
            forward = high is None or high.step > low.step
            if (trial.slope > 0) == forward:
                high = low
            before, low = low, trial
        if high is None:
            if low.step >= longest:
                break
            step = min(_beyond(before, low), longest)
            continue
        step, width = _between(low, high, width)
        if step in (low.step, high.step):
            break
    return None if low is start else low


def _decreased(trial: Trial, start: Trial, c1: float) -> bool:
    """Whether f fell enough; False for what is not finite."""
    if not (math.isfinite(trial.value) and math.isfinite(trial.slope)):
        return False
    if trial.value <= start.value + c1 * trial.step * start.slope:
        return True
    within_rounding = abs(trial.value - start.value) <= ROUNDING * abs(start.value)
    return within_rounding and trial.slope <= (2 * c1 - 1) * start.slope


def _beyond(before: Trial, last: Trial) -> float:
    """The next trial while f still falls: the cubic's minimum, 1.1 to 10 times the last one."""
    wanted = cubic_minimum(before, last)
    if not wanted > last.step:
        wanted = math.inf
    return min(max(wanted, 1.1 * last.step), 10 * last.step)


def _between(low: Trial, high: Trial, width: float) -> tuple[float, float]:
    """The next trial in the bracket, and the bracket's width.

    The middle where the cubic says nothing or the last trial hardly shrank the bracket.
    """
    span = high.step - low.step
    share = (cubic_minimum(low, high) - low.step) / span
    if not MARGIN <= share <= 1 - MARGIN:
        share = 0.5 if math.isnan(share) else min(max(share, MARGIN), 1 - MARGIN)
    if abs(span) > 0.66 * width:
        share = 0.5
    if not math.isfinite(high.value):
        share = RETREAT
    return low.step + share * span, abs(span)


def cubic_minimum(one: Trial, other: Trial) -> float:
    """Where the cubic with both values and slopes is least; NaN where it has no minimum.

    Source: Nocedal & Wright 2006, equation 3.59.
    """
    span = other.step - one.step
    if span == 0 or not math.isfinite(other.value + other.slope):
        return math.nan
    d1 = one.slope + other.slope - 3 * (other.value - one.value) / span
    square = d1 * d1 - one.slope * other.slope
    if square < 0:
        return math.nan
    d2 = math.copysign(math.sqrt(square), span)
    denominator = other.slope - one.slope + 2 * d2
    if denominator == 0:
        return math.nan
    return other.step - span * (other.slope + d2 - d1) / denominator

"""Learning-rate schedules: the factor on the optimiser's rate by step within its phase."""

import math
from collections.abc import Callable

from sciml.contracts import UserError


def exponential(rate: float, every: float) -> Callable[[int], float]:
    """factor = rate^(step / every), continuous.

    Args:
        rate: factor per `every` steps, > 0.
        every: steps, > 0.
    """
    if rate <= 0 or every <= 0:
        raise UserError(f"schedule: expected rate > 0 and every > 0, got {rate} and {every}")
    return lambda step: rate ** (step / every)


def cosine(steps: int, warmup: int = 0, final: float = 0.0) -> Callable[[int], float]:
    """Linear from 0 over `warmup` steps, then half a cosine from 1 to `final` at `steps`."""
    if steps <= warmup or warmup < 0:
        raise UserError(f"schedule: expected 0 <= warmup < steps, got {warmup} and {steps}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        angle = math.pi * min(1.0, (step - warmup) / (steps - warmup))
        return final + (1 - final) * 0.5 * (1 + math.cos(angle))

    return factor

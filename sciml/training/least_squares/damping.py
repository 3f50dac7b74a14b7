"""How the damping μ of a least-squares step follows what the last steps were worth."""

from dataclasses import dataclass
from typing import final

from sciml.contracts import UserError


@final
@dataclass(frozen=True)
class GainRatio:
    """μ from the ratio of the decrease that came to the one that the linear model promised.

    Args:
        start: μ of the first step, > 0.
        lower: factor that divides μ after a step worth more than `good` of the promise.
        raised: factor after one worth less than `poor`.
        rejected: factor after a step that did not decrease the loss.
        floor, ceiling: least and largest μ: where rounding refuses every step, μ does not run off.
    """

    start: float = 0.1
    lower: float = 3.0
    raised: float = 2.0
    rejected: float = 2.5
    good: float = 0.25
    poor: float = 0.1
    floor: float = 1e-17
    ceiling: float = 1e12

    def __post_init__(self) -> None:
        require_factors(self.start, self.lower, self.raised, self.rejected)

    def damping(self, state: float, gradient_norm: float) -> float:
        """μ: the state itself."""
        return state

    def accepted(self, state: float, gain: float) -> float:
        if gain > self.good:
            return max(state / self.lower, self.floor)
        return state if gain > self.poor else min(state * self.raised, self.ceiling)

    def refused(self, state: float) -> float:
        return min(state * self.rejected, self.ceiling)


@final
@dataclass(frozen=True)
class GradientPower:
    """μ = c |Jᵀr|^power, so that damping fades as the optimum nears; c adapts by what is accepted.

    The source's μ is |∇L|/γ, γ the radius in which the gradient is nearly linear (its
    gradient-normalised smoothness): constant γ is power 1, a Lipschitz Hessian power 1/2.

    Args:
        start: c of the first step, > 0.
        power: in (0, 2].
        lower: factor that divides c after an accepted step.
        rejected: factor after a step that did not decrease the loss.
        floor, ceiling: least and largest c.

    Source: Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with
    approximate Hessians" (2025), arXiv:2506.13710.
    """

    start: float = 1.0
    power: float = 1.0
    lower: float = 2.0
    rejected: float = 2.5
    floor: float = 1e-12
    ceiling: float = 1e12

    def __post_init__(self) -> None:
        require_factors(self.start, self.lower, 2.0, self.rejected)
        if not 0 < self.power <= 2:
            raise UserError(f"damping: expected 0 < power <= 2, got {self.power}")

    def damping(self, state: float, gradient_norm: float) -> float:
        return state * gradient_norm**self.power

    def accepted(self, state: float, gain: float) -> float:
        return max(state / self.lower, self.floor) if gain > 0.25 else state

    def refused(self, state: float) -> float:
        return min(state * self.rejected, self.ceiling)


def require_factors(start: float, *factors: float) -> None:
    if not start > 0:
        raise UserError(f"damping: expected start > 0, got {start}")
    if not all(factor > 1 for factor in factors):
        raise UserError(f"damping: expected factors > 1, got {factors}")

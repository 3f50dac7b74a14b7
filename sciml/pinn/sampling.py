"""How the points of a problem are drawn: numbers, spread, density, how often, what they follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from sciml.contracts import UserError
from sciml.pinn.adaptive import Adaptive
from sciml.pinn.densities import Graded, chosen
from sciml.pinn.samplers import UnitSampler, uniform


@final
@dataclass(frozen=True)
class Sampling:
    """How many points, drawn how and how often.

    Args:
        points: "residual" and the name of each condition → points per step; conditions at given
            points may be left out: then all of them are used.
        method: spreads points over the unit cube.
        every: steps that see the same points; None keeps one set for good.
        grid: points of the evaluation grid per coordinate, end points included.
        density: where the equations' points crowd, by axis; uniform where None.
        exponent: a point of density p has the weight p^(−2 exponent): 0.5 keeps the mean square
            that of uniform points (importance sampling), 0 weighs all points alike.
        adaptive: rule by which the equations' points follow the residual, every `every` steps;
            held-out points do not.
    """

    points: Mapping[str, int]
    method: UnitSampler = uniform
    every: int | None = 1
    grid: Sequence[int] | None = None
    density: Graded | Sequence[Graded] | None = None
    exponent: float = 0.4
    adaptive: Adaptive | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "density", chosen(self.density))
        for name, n in self.points.items():
            if isinstance(n, bool) or not isinstance(n, int) or n <= 0:
                raise UserError(
                    f"sampling: expected a whole number of points > 0 for {name!r}, got {n!r}; "
                    f"set sampling.points.{name}=128"
                )
        if not callable(self.method):
            raise UserError(
                f"sampling: expected method to be a function, got {self.method!r}; "
                "set sampling.method={_target_: sciml.pinn.samplers.sobol, _partial_: true}"
            )
        if self.every is not None and self.every < 1:
            raise UserError(
                f"sampling: expected every >= 1 or null, got {self.every}; "
                "null keeps one set of points"
            )
        if not 0 <= self.exponent <= 1:
            raise UserError(f"sampling: expected 0 <= exponent <= 1, got {self.exponent!r}")
        if self.adaptive is not None and self.every is None:
            raise UserError(
                "sampling: expected every = the steps between two actions of the adaptive rule, "
                "got null; set sampling.every=1000"
            )
        if self.adaptive is not None and not callable(self.adaptive):
            raise UserError(
                f"sampling: expected adaptive to be a rule, got {self.adaptive!r}; "
                "set sampling.adaptive={_target_: sciml.pinn.adaptive.RAD}"
            )

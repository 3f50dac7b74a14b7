"""Densities of points that crowd where the solution changes fast: layers, shocks, the start.

A graded coordinate is the inverse distribution function of one number in [0, 1), so a sampler of
the unit cube keeps its evenness: a Latin hypercube stays one, Sobol points stay a sequence of low
discrepancy in the coordinate of equal probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from sciml.contracts import UserError
from sciml.pinn import names
from sciml.pinn.samplers import UnitSampler

#: Nodes of the table from which Newton's steps start, per plane, and those steps.
NODES, NEWTON = 512, 4


@final
@dataclass(frozen=True)
class Graded:
    """A share of the points crowded around planes of one coordinate, the rest uniform.

        p(x) = (1 − s)/(b − a) + (s/m) Σ_j 1 / (S_j √((x − x_j)² + d²)),   a < x < b
        S_j = asinh((b − x_j)/d) + asinh((x_j − a)/d)

    A crowded point is x_j + d sinh(v), v uniform: half of them lie within some √(d L) of a plane.

    Args:
        axis: name of the coordinate.
        at: the planes x_1 … x_m, one number or several, within [a, b]: an initial layer is
            `Graded("t", 0.0, …)`.
        width: d > 0, the spacing's scale at a plane.
        share: s in (0, 1].
    """

    axis: str
    at: float | Sequence[float]
    width: float
    share: float = 0.7

    def __post_init__(self) -> None:
        planes = (self.at,) if isinstance(self.at, int | float) else tuple(self.at)
        object.__setattr__(self, "at", planes)
        if not planes or not self.width > 0 or not 0 < self.share <= 1:
            raise UserError(
                f"density: expected planes at=, width > 0 and 0 < share <= 1 along {self.axis!r}, "
                f"got at={list(planes)}, width={self.width}, share={self.share}"
            )

    def check(self, coordinates: Sequence[str], bounds: np.ndarray) -> None:
        """Refuses a coordinate or a plane that the box `[2, d]` does not have."""
        if self.axis not in coordinates:
            raise UserError(
                f"density: expected an axis of {tuple(coordinates)}, got {self.axis!r}; "
                + names.nearest(self.axis, coordinates)
            )
        lower, upper = bounds[:, list(coordinates).index(self.axis)]
        outside = [plane for plane in self.at if not lower <= plane <= upper]
        if outside:
            raise UserError(
                f"density: expected planes within {lower:g} <= {self.axis} <= {upper:g}, "
                f"got {outside}"
            )

    def pdf(self, x: np.ndarray, lower: float, upper: float) -> np.ndarray:
        """p(x) `[n]` on lower < x < upper."""
        crowd = sum(
            1 / (total * np.hypot(x - at, self.width))
            for at, _, total in self._planes(lower, upper)
        )
        return (1 - self.share) / (upper - lower) + self.share / len(self.at) * crowd

    def cdf(self, x: np.ndarray, lower: float, upper: float) -> np.ndarray:
        """∫ p from `lower` to x, `[n]`."""
        crowd = sum(
            (np.arcsinh((x - at) / self.width) + below) / total
            for at, below, total in self._planes(lower, upper)
        )
        return (1 - self.share) * (x - lower) / (upper - lower) + self.share / len(self.at) * crowd

    def quantile(self, u: np.ndarray, lower: float, upper: float) -> np.ndarray:
        """The x `[n]` with cdf(x) = u: Newton's method from a table."""
        nodes = [np.array([lower, upper])]
        for at, below, total in self._planes(lower, upper):
            nodes.append(at + self.width * np.sinh(np.linspace(-below, total - below, NODES)))
        table = np.unique(np.clip(np.concatenate(nodes), lower, upper))
        x = np.interp(u, self.cdf(table, lower, upper), table)
        for _ in range(NEWTON):
            step = (self.cdf(x, lower, upper) - u) / self.pdf(x, lower, upper)
            x = np.clip(x - step, lower, upper)
        return x

    def _planes(self, lower: float, upper: float) -> list[tuple[float, float, float]]:
        """(x_j, asinh((x_j − a)/d), S_j) by plane; planes outside a narrower window count too."""
        d = self.width
        planes = []
        for at in self.at:
            below = np.arcsinh((at - lower) / d)
            planes.append((at, below, below + np.arcsinh((upper - at) / d)))
        return planes


@final
@dataclass(frozen=True, eq=False)
class Density:
    """Independent gradings of some coordinates of a box: p = Π p_axis, uniform along the others.

    Args:
        gradings: at most one per coordinate.
        coordinates: names of the columns.
        bounds: `[2, d]`, lowest and highest values.
    """

    gradings: tuple[Graded, ...]
    coordinates: tuple[str, ...]
    bounds: np.ndarray

    def sampler(self, method: UnitSampler) -> UnitSampler:
        """`method`, its cube stretched so that the box `bounds` is filled with this density."""

        def graded(n: int, d: int, rng: np.random.Generator, sets: int = 1) -> np.ndarray:
            u = np.array(method(n, d, rng, sets))
            for grading, column, lower, upper in self._columns():
                x = grading.quantile(u[:, column], lower, upper)
                u[:, column] = (x - lower) / (upper - lower)
            return u

        return graded

    def relative(self, x: np.ndarray) -> np.ndarray:
        """The density `[n]` at points `[n, d]` over the uniform one."""
        p = np.ones(len(x))
        for grading, column, lower, upper in self._columns():
            p *= (upper - lower) * grading.pdf(x[:, column], lower, upper)
        return p

    def _columns(self) -> list[tuple[Graded, int, float, float]]:
        found = []
        for grading in self.gradings:
            column = self.coordinates.index(grading.axis)
            found.append((grading, column, *map(float, self.bounds[:, column])))
        return found


def chosen(density: Graded | Sequence[Graded] | None) -> tuple[Graded, ...]:
    """The gradings of `sampling.density`, checked; none where there is none."""
    gradings = () if density is None else (density,) if isinstance(density, Graded) else density
    for grading in gradings:
        if not isinstance(grading, Graded):
            raise UserError(
                f"sampling: expected density to be made of gradings, got {grading!r}; set "
                "sampling.density={_target_: sciml.pinn.densities.Graded, axis: x, at: 0, ...}"
            )
    axes = [grading.axis for grading in gradings]
    if len(set(axes)) < len(axes):
        raise UserError(
            f"sampling: expected at most one grading per axis, got {axes}; list the planes in at="
        )
    return tuple(gradings)

"""The class `Domain`: a shape, steady or over a stretch of time, that draws points inside, on its
boundary and at the start of time. The shapes to choose from are in `sciml.pinn.domain`.

What is inside is decided by deepxde's geometries and their constructive combinations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, final

import numpy as np

from sciml.contracts import UserError
from sciml.pinn import boundary
from sciml.pinn.deepxde import double_precision
from sciml.pinn.samplers import UnitSampler, uniform
from sciml.pinn.surfaces import Surface

#: Points drawn to measure which share of the bounding box lies inside.
PROBE = 20_000
#: Distance at which a boundary point is looked at from both sides, relative to the size.
NEAR = boundary.NEAR


class Geometry(Protocol):
    """What of deepxde's geometries is used here."""

    dim: int
    bbox: tuple[np.ndarray, np.ndarray]

    def inside(self, x: np.ndarray) -> np.ndarray: ...


@final
@dataclass(frozen=True, eq=False)
class Domain:
    """A shape in space with named coordinates, steady or over time.

    Args:
        geometry: decides what is inside.
        surfaces: what the boundary is drawn from.
        space: names of the coordinates in space, one letter each; x, y, z by default.
        time: (start, end), or None where the problem is steady; its coordinate is t, the last one.
        fills_box: whether the shape is its bounding box.
        cloud: `[m, d]`, where only samples of the inside are known.
    """

    geometry: Geometry
    surfaces: tuple[Surface, ...]
    space: tuple[str, ...] = ()
    time: tuple[float, float] | None = None
    fills_box: bool = False
    cloud: np.ndarray | None = None
    acceptance: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        d = self.geometry.dim
        space = tuple(self.space) or ("x", "y", "z")[:d]
        object.__setattr__(self, "space", space)
        if len(set(space)) != d or any(len(c) != 1 or not c.isalpha() or c == "t" for c in space):
            raise UserError(
                f"domain: expected {d} different letters other than t as coordinates, "
                f"got {space}; set coordinates=('x', 'y', 'z')[:{d}]"
            )
        if not self.fills_box and self.cloud is None:
            object.__setattr__(self, "acceptance", self._measured_acceptance())

    def _measured_acceptance(self) -> float:
        lower, upper = self.bounds[:, : self.geometry.dim]
        inside = 0
        if np.all(lower < upper):
            u = np.random.default_rng(0).random((PROBE, self.geometry.dim))
            inside = int(self.geometry.inside(lower + u * (upper - lower)).sum())
        if inside == 0:
            raise UserError(
                f"domain: expected an interior, got {inside} of {PROBE} points inside the "
                f"bounding box {lower.tolist()} … {upper.tolist()} (acceptance 0); "
                "check the sizes and the order of what is combined"
            )
        return inside / PROBE

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the columns of points: space first, "t" last."""
        return self.space if self.time is None else (*self.space, "t")

    @property
    def dimension(self) -> int:
        return len(self.coordinates)

    @cached_property
    def bounds(self) -> np.ndarray:
        """`[2, d]`: the lowest and the highest value of each coordinate."""
        lower, upper = (np.asarray(b, dtype=float).ravel() for b in self.geometry.bbox)
        if self.time is not None:
            lower, upper = np.append(lower, self.time[0]), np.append(upper, self.time[1])
        return np.stack((lower, upper))

    def over_time(self, start: float, end: float) -> "Domain":
        """The same shape from `start` to `end`, with the coordinate t."""
        if not start < end:
            raise UserError(f"over_time: expected start < end, got {start} and {end}")
        return replace(self, time=(float(start), float(end)))

    def interior(
        self, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> np.ndarray:
        """`[sets·n, d]` points inside, `sets` times `n` of them spread by `method`."""
        if self.cloud is not None:
            return self.with_time(self.cloud[rng.integers(len(self.cloud), size=sets * n)], rng)
        return self._filled(self.bounds, n, method, rng, sets)

    def _filled(
        self,
        bounds: np.ndarray,
        n: int,
        method: UnitSampler,
        rng: np.random.Generator,
        sets: int,
    ) -> np.ndarray:
        """The points of the box `bounds` whose place in space is inside."""
        lower, upper = bounds
        if self.fills_box:
            return lower + method(n, len(lower), rng, sets) * (upper - lower)
        found: list[np.ndarray] = []
        missing = sets * n
        while missing > 0:
            drawn = int(1.1 * missing / self.acceptance) + 16
            x = lower + method(drawn, len(lower), rng, 1) * (upper - lower)
            x = x[self.geometry.inside(x[:, : self.geometry.dim])][:missing]
            found.append(x)
            missing -= len(x)
        return np.concatenate(found)

    def initial(
        self, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> np.ndarray:
        """`[sets·n, d]` points inside at the start of time."""
        if self.time is None:
            raise UserError(
                "initial: expected a domain over time, got a steady one; use domain.over_time(0, 1)"
            )
        if self.cloud is not None:
            x = self.cloud[rng.integers(len(self.cloud), size=sets * n)]
        else:
            x = self._filled(self.bounds[:, : self.geometry.dim], n, method, rng, sets)
        return np.column_stack((x, np.full(len(x), self.time[0])))

    def boundary(
        self,
        n: int,
        rng: np.random.Generator,
        where: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exactly `n` uniform points `[n, d]` of the boundary where `where(x)` holds, and normals.

        Normals `[n, d]` point outward, have unit length and a zero in the column of time.
        """
        return boundary.everywhere(self, n, rng, where)

    def face(
        self,
        axis: str,
        value: float,
        n: int,
        method: UnitSampler,
        rng: np.random.Generator,
        sets: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """`[sets·n, d]` points of the flat part of the boundary where `axis` is `value`."""
        return boundary.face(self, axis, value, n, method, rng, sets)

    def with_time(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Points in space `[n, space]` at uniform times, where the domain has time."""
        if self.time is None:
            return x
        start, end = self.time
        return np.column_stack((x, start + (end - start) * rng.random(len(x))))

    @property
    def size(self) -> float:
        """The shortest edge of the bounding box in space: how near is near."""
        lower, upper = self.bounds[:, : self.geometry.dim]
        return float((upper - lower).min())

    @property
    def extent(self) -> str:
        """The bounds in words."""
        return ", ".join(
            f"{name} in [{low:g}, {high:g}]"
            for name, low, high in zip(self.coordinates, *self.bounds, strict=True)
        )

    def contains(self, x: np.ndarray) -> np.ndarray:
        """`[n]`: whether points `[n, d]` lie inside or on the boundary, within rounding."""
        lower, upper = self.bounds
        slack = NEAR * (upper - lower)
        within = np.all((x >= lower - slack) & (x <= upper + slack), axis=1)
        if self.fills_box:
            return within
        space = x[:, : self.geometry.dim]
        held = self.geometry.inside(space)
        held[~held] = self.on_boundary(x[~held])
        return within & held

    def on_boundary(self, x: np.ndarray) -> np.ndarray:
        """`[n]`: whether points `[n, d]` have inside and outside within a millionth of the size."""
        space = x[:, : self.geometry.dim]
        votes = [self.geometry.inside(space)]
        for step in NEAR * self.size * np.eye(self.geometry.dim):
            votes += [self.geometry.inside(space - step), self.geometry.inside(space + step)]
        return np.any(votes, axis=0) & ~np.all(votes, axis=0)

    def axes(self, shape: Sequence[int]) -> list[np.ndarray]:
        """So many values of each coordinate, end points included."""
        if len(shape) != self.dimension or min(shape) < 2:
            raise UserError(
                f"grid: expected {self.dimension} numbers >= 2 for {self.coordinates}, "
                f"got {list(shape)}"
            )
        return [np.linspace(a, b, k) for (a, b), k in zip(self.bounds.T, shape, strict=True)]

    def grid(self, shape: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """A regular grid over the bounding box, end points included.

        Returns:
            Axes, one per coordinate; the points inside `[n, d]`; the mask `shape` of those.
        """
        axes = self.axes(shape)
        x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.dimension)
        mask = self.contains(x)
        return axes, x[mask], mask.reshape(shape)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean `[d]` and standard deviation `[d]` of 100,000 uniform points inside (fixed seed)."""
        x = self.interior(100_000, uniform, np.random.default_rng(0))
        return x.mean(axis=0), x.std(axis=0)

    def __or__(self, other: "Domain") -> "Domain":
        return self._combined("CSGUnion", other, other.surfaces)

    def __and__(self, other: "Domain") -> "Domain":
        return self._combined("CSGIntersection", other, other.surfaces)

    def __sub__(self, other: "Domain") -> "Domain":
        return self._combined("CSGDifference", other, tuple(s.flipped() for s in other.surfaces))

    def _combined(self, operation: str, other: "Domain", surfaces: tuple[Surface, ...]) -> "Domain":
        if self.space != other.space or self.time is not None or other.time is not None:
            raise UserError(
                f"combining domains: expected two steady shapes in {self.space}, got "
                f"{self.coordinates} and {other.coordinates}; combine first, then over_time"
            )
        if self.cloud is not None or other.cloud is not None:
            raise UserError("combining domains: expected shapes, got a cloud of points")
        with double_precision() as deepxde:
            combine = getattr(deepxde.geometry.csg, operation)
            geometry = combine(self.geometry, other.geometry)
        return Domain(geometry, (*self.surfaces, *surfaces), self.space)

"""Where a condition holds: inside, on the boundary, on a face, at the start, at given points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.pinn.domain import Domain
from sciml.pinn.fields import Fields
from sciml.pinn.points import Points
from sciml.pinn.samplers import UnitSampler


class Region(Protocol):
    """Draws points for `sets` steps at once: `[sets·n, d]`, one step after the other."""

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points: ...


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))


def _predicate(
    where: Callable[[Fields], Tensor], domain: Domain
) -> Callable[[np.ndarray], np.ndarray]:
    """A predicate of named coordinates as one of arrays `[n, d]`."""

    def held(x: np.ndarray) -> np.ndarray:
        answer = torch.as_tensor(where(Fields(domain.coordinates, Points(_tensor(x)))))
        if answer.shape != (len(x),) or answer.dtype != torch.bool:
            raise UserError(
                f"where: expected a yes or no per point, bool of shape [{len(x)}], "
                f"got {answer.dtype} of shape {list(answer.shape)}; compare coordinates, "
                "as in lambda f: f.x < 0"
            )
        return answer.numpy()

    return held


@final
@dataclass(frozen=True)
class Interior:
    """Everywhere inside."""

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        return Points(_tensor(domain.interior(n, method, rng, sets)))


@final
@dataclass(frozen=True)
class Boundary:
    """The boundary, or the part where a predicate of the coordinates holds: `lambda f: f.x < 0`.

    Points are uniform and independent, whatever the method of sampling.
    """

    where: Callable[[Fields], Tensor] | None = None

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        where = None if self.where is None else _predicate(self.where, domain)
        x, normals = domain.boundary(sets * n, rng, where)
        return Points(_tensor(x), normal=_tensor(normals))


@final
@dataclass(frozen=True)
class Face:
    """The flat part of the boundary where a coordinate has one value: `Face("x", -1.0)`."""

    axis: str
    value: float

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        x, normals = domain.face(self.axis, self.value, n, method, rng, sets)
        return Points(_tensor(x), normal=_tensor(normals))


@final
@dataclass(frozen=True)
class Opposite:
    """The lowest face along an axis, each point paired with its image on the highest one."""

    axis: str

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        if self.axis not in domain.space:
            raise UserError(f"expected an axis of {domain.space}, got {self.axis!r}")
        column = domain.space.index(self.axis)
        lower, upper = domain.bounds[:, column]
        x, normals = domain.face(self.axis, float(lower), n, method, rng, sets)
        image = x.copy()
        image[:, column] = upper
        if not domain.on_boundary(image).all():
            raise UserError(
                f"lies outside the boundary: the face {self.axis} = {lower:g} has no equal "
                f"opposite one at {self.axis} = {upper:g}"
            )
        return Points(_tensor(x), normal=_tensor(normals), image=_tensor(image))


@final
@dataclass(frozen=True)
class Initial:
    """Everywhere inside at the start of time."""

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        return Points(_tensor(domain.initial(n, method, rng, sets)))


@final
@dataclass(frozen=True, eq=False)
class At:
    """Given points `[m, d]` inside the domain or on its boundary, with values given there.

    Args:
        points: in the order of the domain's coordinates.
        values: name of a field → `[m]`.
        normals: `[m, d]`, for conditions on the normal derivative.
    """

    points: np.ndarray
    values: Mapping[str, np.ndarray] | None = None
    normals: np.ndarray | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=float)
        if points.ndim != 2 or len(points) == 0:
            raise UserError(f"points: expected an array [m, d], got shape {list(points.shape)}")
        object.__setattr__(self, "points", points)
        values = {k: np.asarray(v, dtype=float) for k, v in (self.values or {}).items()}
        for name, value in values.items():
            if value.shape != (len(points),):
                raise UserError(
                    f"values of {name!r}: expected shape [{len(points)}], one per point, "
                    f"got {list(value.shape)}"
                )
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.points)

    def check(self, domain: Domain) -> None:
        """Refuses points of another dimension than the domain's or outside of it."""
        if self.points.shape[1] != domain.dimension:
            raise UserError(
                f"expected points with columns {domain.coordinates}, "
                f"got {self.points.shape[1]} columns"
            )
        outside = ~domain.contains(self.points)
        if outside.any():
            raise UserError(
                f"{int(outside.sum())} of {len(self)} given points lie outside the domain, "
                f"the first at {self.points[outside][0].tolist()}; {domain.extent}"
            )

    def sample(
        self, domain: Domain, n: int, method: UnitSampler, rng: np.random.Generator, sets: int = 1
    ) -> Points:
        """`n` of the points, none twice; all of them in order where `n` is their number."""
        if n > len(self):
            raise UserError(f"expected at most the {len(self)} given points, got {n}")
        if n == len(self):
            row = np.tile(np.arange(n), sets)
        else:
            row = np.concatenate(
                [rng.choice(len(self), size=n, replace=False, shuffle=False) for _ in range(sets)]
            )
        return Points(
            _tensor(self.points[row]),
            normal=None if self.normals is None else _tensor(np.asarray(self.normals)[row]),
            target={k: _tensor(v[row]) for k, v in (self.values or {}).items()} or None,
        )

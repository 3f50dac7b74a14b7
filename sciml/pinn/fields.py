"""What a residual sees: `f.x` a coordinate, `f.u` an unknown, `f.u_xx` a derivative, each `[n]`,
and `f.Re` a constant, one number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.pinn import names
from sciml.pinn.points import Points

#: Attributes of `Fields`, and so no names for unknowns.
RESERVED = (
    *("at_image", "constants", "coordinates", "normal", "normal_derivative", "points", "target"),
)


@final
class Fields:
    """Values at points by name: `f.u_x` and `f["u_x"]` are the same tensor `[n]`.

    Args:
        coordinates: names of the columns of `points.x`.
        points: where.
        values: name of an unknown or a derivative → `[n]`.
        image: the same at the points' images under periodicity.
        constants: name → number; `f.Re` is a float.
    """

    def __init__(
        self,
        coordinates: tuple[str, ...],
        points: Points,
        values: Mapping[str, Tensor] | None = None,
        image: Mapping[str, Tensor] | None = None,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        self.coordinates = coordinates
        self.points = points
        self._values = {} if values is None else values
        self._image = {} if image is None else image
        self.constants = {} if constants is None else constants

    def __getitem__(self, name: str) -> Any:
        if name in self.coordinates:
            return self.points.x[:, self.coordinates.index(name)]
        if name in self.constants:
            return self.constants[name]
        try:
            return self._values[name]
        except KeyError:
            raise UserError(
                f"expected a coordinate or a field, got {name!r}; {self._hint(name)}"
            ) from None

    def _hint(self, name: str) -> str:
        letters = name if len(name) == 1 else name.rpartition("_")[2]
        steady = "t" not in self.coordinates
        if steady and "t" in letters and set(letters) <= {*self.coordinates, "t"}:
            return "the domain is steady: give it time by over_time(start, end)"
        return names.nearest(name, (*self.coordinates, *self.constants, *self._values))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def normal(self) -> Tensor:
        """`[n, d]`: the outward unit normal of the boundary."""
        if self.points.normal is None:
            raise UserError("expected points on a boundary, got points without normals")
        return self.points.normal

    def normal_derivative(self, unknown: str) -> Tensor:
        """`[n]`: du/dn = sum over space of n_i du/dx_i."""
        space = [c for c in self.coordinates if c != "t"]
        return sum(
            (self.normal[:, i] * self[f"{unknown}_{c}"] for i, c in enumerate(space)),
            start=torch.zeros((), dtype=self.points.x.dtype, device=self.points.x.device),
        )

    def target(self, name: str) -> Tensor:
        """`[n]`: the value given with the points, as by measurement."""
        targets = self.points.target or {}
        if name not in targets:
            raise UserError(
                f"expected a value given with the points, got {name!r}; "
                + (names.nearest(name, targets) if targets else "these points have none")
            )
        return targets[name]

    @property
    def at_image(self) -> "Fields":
        """The fields at the points' partners under periodicity."""
        if self.points.image is None:
            raise UserError("expected points of a periodic condition, got points without images")
        there = Points(self.points.image)
        return Fields(self.coordinates, there, self._image, constants=self.constants)


@final
@dataclass(frozen=True)
class Asked:
    """The names of fields that a residual asks for, at its points and at their images."""

    names: frozenset[str]
    image: frozenset[str] = frozenset()


@final
@dataclass(frozen=True)
class Recording(Mapping[str, Tensor]):
    """Stands in for values: hands out harmless tensors and notes what was asked for."""

    unknowns: tuple[str, ...]
    coordinates: tuple[str, ...]
    like: Tensor
    asked: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> Tensor:
        if not names.is_field(name, self.unknowns, self.coordinates):
            raise KeyError(name)
        self.asked.add(name)
        return torch.full_like(self.like, 0.5)

    def __iter__(self) -> Iterator[str]:
        return names.fields(self.unknowns, self.coordinates)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def record(
    function: Any,
    unknowns: tuple[str, ...],
    coordinates: tuple[str, ...],
    points: Points,
    constants: Mapping[str, float] | None = None,
) -> tuple[Any, Asked]:
    """What `function(fields)` returns at `points`, and the names it asked for on the way.

    A name asked for only under some values of the fields is missed: residuals have no branches.
    """
    here = Recording(unknowns, coordinates, points.x[:, 0])
    there = Recording(unknowns, coordinates, points.x[:, 0])
    answer = function(Fields(coordinates, points, here, there, constants))
    return answer, Asked(frozenset(here.asked), frozenset(there.asked))


def check_shape(name: str, value: Any, n: int) -> Tensor:
    """Returns `value` if it is a tensor `[n]`; a `[n, 1]` would broadcast to `[n, n]` silently."""
    if not isinstance(value, Tensor):
        raise UserError(
            f"{name}: expected a tensor of shape [{n}], got {type(value).__name__}; "
            "compute it from the fields with torch"
        )
    if value.shape != (n,):
        raise UserError(
            f"{name}: expected a tensor of shape [{n}], one number per point, "
            f"got {list(value.shape)}; index columns as [:, 0]"
        )
    return value

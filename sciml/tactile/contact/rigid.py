"""Rigid solids by their signed distance: positive outside, negative inside, in the solid's frame.

    d(y)     n(y) = ∇d     H(y) = ∇∇d

Each is smooth where a soft body touches it: edges are rounded. `sampled` makes one of any closed
surface of triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError


@runtime_checkable
class Rigid(Protocol):
    """What a contact asks of a rigid solid; differentiable twice by torch."""

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        """d, m, and its gradient n."""


@runtime_checkable
class Curved(Rigid, Protocol):
    """A solid that knows the curvature of its distance in closed form."""

    def curvature(self, y: Float[Tensor, "q 3"]) -> Float[Tensor, "q 3 3"]:
        """H, 1/m."""


@final
@dataclass(frozen=True)
class HalfSpace:
    """All below the plane z = 0; turn it by π about x to have it above."""

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        up = torch.tensor([0.0, 0.0, 1.0], dtype=y.dtype)
        return y[:, 2], up.expand_as(y) + 0 * y

    def curvature(self, y: Float[Tensor, "q 3"]) -> Float[Tensor, "q 3 3"]:
        return y.new_zeros(len(y), 3, 3)


@final
@dataclass(frozen=True)
class Ball:
    """A ball about the origin; radius in m, > 0."""

    radius: float

    def __post_init__(self) -> None:
        _refuse("ball", radius=self.radius)

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        return _rounded(y, self.radius)

    def curvature(self, y: Float[Tensor, "q 3"]) -> Float[Tensor, "q 3 3"]:
        length = y.norm(dim=-1).clamp(min=1e-300)[:, None, None]
        n = y[:, :, None] / length
        return (torch.eye(3, dtype=y.dtype) - n * n.mT) / length


@final
@dataclass(frozen=True)
class Capsule:
    """A cylinder along x with half balls at its ends; radius and length of the axis in m, > 0."""

    radius: float
    length: float

    def __post_init__(self) -> None:
        _refuse("capsule", radius=self.radius, length=self.length)

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        half = self.length / 2
        along = y[:, 0] - y[:, 0].clamp(-half, half)
        return _rounded(torch.column_stack([along, y[:, 1:]]), self.radius)


@final
@dataclass(frozen=True)
class Box:
    """A box about the origin with rounded edges.

    Args:
        size: edge lengths, m, the rounding included.
        rounding: radius of the edges, m, > 0 and at most half the shortest edge.
    """

    size: Sequence[float]
    rounding: float

    def __post_init__(self) -> None:
        if len(self.size) != 3:
            raise UserError(f"box: expected three edge lengths in m, got {list(self.size)}")
        _refuse("box", size=tuple(self.size), rounding=self.rounding)
        _refuse_rounding("box", self.rounding, min(self.size) / 2)

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        half = torch.tensor(self.size, dtype=y.dtype) / 2 - self.rounding
        return _beyond(y.abs() - half, y.sign(), self.rounding)


@final
@dataclass(frozen=True)
class Punch:
    """A cylinder about z with a rounded rim, centred on the origin.

    Args:
        radius, height: m, the rounding included.
        rounding: radius of the rim, m, > 0, at most the radius and half the height.
    """

    radius: float
    height: float
    rounding: float

    def __post_init__(self) -> None:
        _refuse("punch", radius=self.radius, height=self.height, rounding=self.rounding)
        _refuse_rounding("punch", self.rounding, min(self.radius, self.height / 2))

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        off = y[:, :2]
        squared = (off * off).sum(-1)
        away = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
        radial = off / away.clamp(min=1e-300)[:, None]
        half = torch.tensor(
            [self.radius - self.rounding, self.height / 2 - self.rounding], dtype=y.dtype
        )
        flat = torch.column_stack([away, y[:, 2].abs()]) - half
        d, n = _beyond(flat, torch.ones_like(flat), self.rounding)
        return d, torch.column_stack([n[:, :1] * radial, n[:, 1:] * y[:, 2:].sign()])


def curvature(solid: Rigid, y: Float[Tensor, "q 3"]) -> Float[Tensor, "q 3 3"]:
    """H, 1/m: the solid's own, or by differentiating n point by point."""
    if isinstance(solid, Curved):
        return solid.curvature(y)
    with torch.enable_grad():
        at = y.detach().requires_grad_()
        n = solid.distance(at)[1]
        rows = [torch.autograd.grad(n[:, i].sum(), at, retain_graph=True)[0] for i in range(3)]
    return torch.stack(rows, 1)


def _rounded(v: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Distance from what lies `radius` around a core, v from its nearest point."""
    length = v.norm(dim=-1).clamp(min=1e-300)
    return length - radius, v / length[:, None]


def _beyond(over: Tensor, sign: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """d and n of a box of any dimension: `over` is how far each coordinate is beyond its core."""
    outside = over.clamp(min=0)
    squared = (outside * outside).sum(-1)
    some = squared > 0
    length = torch.where(some, squared, 1.0).sqrt()
    most, axis = over.max(-1)
    straight = torch.nn.functional.one_hot(axis, over.shape[-1]).to(over.dtype)
    d = torch.where(some, length, most) - rounding
    n = torch.where(some[:, None], outside / length[:, None], straight + 0 * over)
    return d, n * sign


def _refuse(solid: str, **values: float | tuple[float, ...]) -> None:
    for name, value in values.items():
        found = value if isinstance(value, tuple) else (value,)
        if not all(0 < one < float("inf") for one in found):
            raise UserError(f"{solid}: expected {name} > 0 in m, got {value!r}")


def _refuse_rounding(solid: str, rounding: float, most: float) -> None:
    if rounding > most:
        raise UserError(f"{solid}: expected rounding ≤ {most:g} m, got {rounding:g}")

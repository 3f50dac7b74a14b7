"""A part of a problem's domain between given values of some coordinates, as a window of time.

Points inside are drawn in the window. So are those of a face, or of the start of time, along their
other coordinates: a condition stays where it holds, and keeps its term, also where the window does
not touch it. Given points are used whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.pinn import domain as shapes
from sciml.pinn import names
from sciml.pinn.domain import Domain
from sciml.pinn.fields import Fields
from sciml.pinn.regions import At, Boundary, Face, Initial, Opposite, Region

#: Name of a coordinate → (lowest, highest) value.
Window = dict[str, tuple[float, float]]


def window(within: Mapping[str, Sequence[float]] | None, domain: Domain) -> Window:
    """A phase's `within`, checked against the domain.

    Raises:
        UserError: an unknown coordinate, an empty or outer range, space in a shape that is no box.
    """
    found: Window = {}
    for name, ends in (within or {}).items():
        if name not in domain.coordinates:
            raise UserError(
                f"within: expected coordinates of {domain.coordinates}, got {name!r}; "
                + names.nearest(name, domain.coordinates)
            )
        if name != "t" and not domain.fills_box:
            raise UserError(
                f"within: expected a window of time, got {name!r}: the domain is no interval, "
                "rectangle or box, whose parts could be drawn from"
            )
        lower, upper = domain.bounds[:, domain.coordinates.index(name)]
        pair = isinstance(ends, Sequence) and not isinstance(ends, str) and len(ends) == 2
        if not pair or not lower <= ends[0] < ends[1] <= upper:
            raise UserError(
                f"within: expected {name}: [lowest, highest] inside [{lower:g}, {upper:g}], "
                f"got {ends}"
            )
        found[name] = (float(ends[0]), float(ends[1]))
    return found


def part(domain: Domain, within: Window) -> Domain:
    """The domain between the values of the window."""
    space = {name: ends for name, ends in within.items() if name != "t"}
    if space:
        lower, upper = domain.bounds[:, : domain.geometry.dim].copy()
        for name, ends in space.items():
            column = domain.space.index(name)
            lower[column], upper[column] = ends
        shape = (shapes.interval, shapes.rectangle, shapes.box)[len(lower) - 1]
        corners = (lower[0], upper[0]) if len(lower) == 1 else (lower, upper)
        domain = replace(shape(*corners, coordinates=domain.space), time=domain.time)
    return replace(domain, time=within["t"]) if "t" in within else domain


def restricted(region: Region, domain: Domain, within: Window) -> tuple[Region, Domain]:
    """The region and the domain to draw its points from, so that they lie in the window."""
    space = {name: ends for name, ends in within.items() if name != "t"}
    if isinstance(region, At):
        within = {}
    elif isinstance(region, Initial):
        within = space
    elif isinstance(region, Face | Opposite):
        within = {name: ends for name, ends in within.items() if name != region.axis}
    elif isinstance(region, Boundary) and space:
        region = Boundary(_Both(region.where, space))
        within = {name: ends for name, ends in within.items() if name == "t"}
    return region, part(domain, within)


@final
@dataclass(frozen=True)
class _Both:
    """Where a predicate holds and the coordinates lie in the window."""

    where: Callable[[Fields], Tensor] | None
    space: Window

    def __call__(self, f: Fields) -> Tensor:
        held = [(f[name] >= a) & (f[name] <= b) for name, (a, b) in self.space.items()]
        if self.where is not None:
            held.append(self.where(f))
        return torch.stack(held).all(0)

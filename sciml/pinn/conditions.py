"""Conditions beside the equations: on the boundary, at the start, at measured points.

Each has a residual `[n]` that vanishes where it is met. Conditions with the same `term` are summed
into one term of the loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from sciml.contracts import UserError
from sciml.pinn.fields import Fields
from sciml.pinn.regions import At, Initial, Opposite, Region

#: A number, or a function of the fields `[n]` (usually of the coordinates alone).
Value = float | Callable[[Fields], Tensor]


@final
@dataclass(frozen=True)
class Condition:
    """A residual on a region.

    Args:
        name: key of its points in `Sampling.points`.
        term: name of the loss term it belongs to.
        region: where it holds.
        residual: `fields -> [n]`, zero where it is met.
    """

    name: str
    term: str
    region: Region
    residual: Callable[[Fields], Tensor]


def _value(value: Value, f: Fields) -> float | Tensor:
    return value(f) if callable(value) else value


def dirichlet(
    unknown: str, value: Value, *, on: Region, name: str, term: str | None = None
) -> Condition:
    """u = value."""
    return Condition(name, term or name, on, lambda f: f[unknown] - _value(value, f))


def neumann(
    unknown: str, value: Value, *, on: Region, name: str, term: str | None = None
) -> Condition:
    """du/dn = value, n the outward unit normal."""
    return Condition(
        name, term or name, on, lambda f: f.normal_derivative(unknown) - _value(value, f)
    )


def robin(
    unknown: str,
    a: Value,
    b: Value,
    value: Value,
    *,
    on: Region,
    name: str,
    term: str | None = None,
) -> Condition:
    """a u + b du/dn = value, n the outward unit normal."""

    def residual(f: Fields) -> Tensor:
        flux = _value(b, f) * f.normal_derivative(unknown)
        return _value(a, f) * f[unknown] + flux - _value(value, f)

    return Condition(name, term or name, on, residual)


def periodic(
    unknown: str, *, axis: str, derivatives: int = 0, name: str, term: str | None = None
) -> Condition:
    """u (`derivatives=0`) or du/d axis (`derivatives=1`) is the same on opposite faces."""
    if derivatives not in (0, 1):
        raise UserError(f"periodic: expected derivatives = 0 or 1, got {derivatives!r}")
    field = unknown if derivatives == 0 else f"{unknown}_{axis}"
    return Condition(name, term or name, Opposite(axis), lambda f: f[field] - f.at_image[field])


def initial_value(
    unknown: str, value: Value, *, name: str = "initial_value", term: str | None = None
) -> Condition:
    """u = value at the start of time."""
    return dirichlet(unknown, value, on=Initial(), name=name, term=term)


def initial_velocity(
    unknown: str, value: Value, *, name: str = "initial_velocity", term: str | None = None
) -> Condition:
    """u_t = value at the start of time."""
    return dirichlet(f"{unknown}_t", value, on=Initial(), name=name, term=term)


def point_data(
    unknown: str,
    points: np.ndarray,
    values: np.ndarray,
    *,
    name: str = "point_data",
    term: str | None = None,
) -> Condition:
    """u equals `values` `[m]` at `points` `[m, d]`, columns in the order of the coordinates."""
    region = At(points, {unknown: values})
    return Condition(name, term or name, region, lambda f: f[unknown] - f.target(unknown))

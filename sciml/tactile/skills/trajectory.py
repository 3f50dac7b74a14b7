"""Smooth motions with few unknowns: cubic B-splines between physical bounds, and planar poses.

    q(s) = Σ_k q_k B_k(s),  s in [0, 1]      q_k = low + (high - low) / (1 + exp(-(z_k + o_k)/w))

Uniform clamped knots. A spline stays between the least and the largest q_k, so that q keeps the
bounds of its coefficients everywhere. z is what an optimiser sees, in units in which 1 matters;
w = (high - low)/4 in those units, so that dq/dz = 1 unit amid the bounds.

Source: C. de Boor, A Practical Guide to Splines (1978).
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import BSpline
from torch import Tensor, nn

from sciml.contracts import UserError

DEGREE = 3


@final
class Curve(nn.Module):
    """One coordinate of a motion over its increments.

    Args:
        start: where it begins as an unknown: one value, or the first and the last of a line.
        low, high: bounds, in its own unit, strictly around the start.
        knots: number of coefficients, ≥ 2.
        unit: a change that matters, > 0.
        spread: standard deviation by which `scatter` moves the coefficients.

    Raises:
        UserError: values out of these ranges.
    """

    def __init__(
        self,
        start: float | list[float],
        low: float,
        high: float,
        knots: int,
        unit: float,
        spread: float = 0.0,
    ) -> None:
        super().__init__()
        ends = [start, start] if isinstance(start, int | float) else list(start)
        if len(ends) != 2 or not all(low < end < high for end in ends):
            raise UserError(
                f"curve: expected start, or its first and last value, between {low:g} and "
                f"{high:g}, got {start!r}"
            )
        if knots < 2 or not unit > 0 or not spread >= 0:
            raise UserError(
                f"curve: expected knots >= 2, unit > 0 and spread >= 0, got {knots!r}, {unit!r}, "
                f"{spread!r}"
            )
        self.low, self.high, self.unit, self.spread = low, high, unit, spread
        self.width = (high - low) / (4 * unit)
        first, last = ends
        line = first + (last - first) * torch.from_numpy(_greville(knots))
        self.z = nn.Parameter(self._free(line))

    def scatter(self, seed: int) -> None:
        """Another start, by `spread`, within the bounds."""
        draw = torch.randn(
            len(self.z), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        edge = 0.01 * (self.high - self.low)
        with torch.no_grad():
            moved = self.coefficients() + self.spread * draw
            self.z.copy_(self._free(moved.clamp(self.low + edge, self.high - edge)))

    def coefficients(self) -> Float[Tensor, " k"]:
        """q_k."""
        return self.low + (self.high - self.low) * torch.sigmoid(self.z / self.width)

    def forward(self, increments: int) -> Float[Tensor, " t"]:
        """q at the start and after every increment.

        Raises:
            UserError: more knots than that.
        """
        knots = len(self.z)
        if knots > increments + 1:
            raise UserError(
                f"curve: expected at most {increments + 1} knots for {increments} increments, got "
                f"{knots}; take fewer knots or more increments"
            )
        return torch.from_numpy(basis(knots, increments)) @ self.coefficients()

    def _free(self, values: Tensor) -> Tensor:
        share = (values.double() - self.low) / (self.high - self.low)
        return self.width * torch.logit(share)


def basis(knots: int, increments: int) -> Float[np.ndarray, "t k"]:
    """B_k(s) at equal distances of s."""
    degree = min(DEGREE, knots - 1)
    at = np.linspace(0, 1, increments + 1)
    return BSpline.design_matrix(at, _clamped(knots, degree), degree).toarray()


def _clamped(knots: int, degree: int) -> np.ndarray:
    inner = np.linspace(0, 1, knots - degree + 1)
    return np.concatenate([np.zeros(degree), inner, np.ones(degree)])


def _greville(knots: int) -> Float[np.ndarray, " k"]:
    """s at which coefficients of a straight line lie on it."""
    degree = min(DEGREE, knots - 1)
    t = _clamped(knots, degree)
    return np.array([t[k + 1 : k + degree + 1].mean() for k in range(knots)])


def roughness(values: Float[Tensor, " t"], unit: float) -> Float[Tensor, " s"]:
    """Second differences from increment to increment, in units."""
    return (values[2:] - 2 * values[1:-1] + values[:-2]) / unit


def seen(
    x: Float[Tensor, " t"], z: Float[Tensor, " t"], pitch: Float[Tensor, " t"], pole: float
) -> Float[Tensor, "t 6"]:
    """Poses of the world in the frame of a sensor that moves in the world's x-z plane.

    Args:
        x, z: of the sensor's pole in the world, m.
        pitch: of the sensor about y, rad; at 0 its axis is the world's z.
        pole: height of the pole in the sensor's own frame, m.
    """
    none = torch.zeros_like(x)
    across, up = x * pitch.cos() - z * pitch.sin(), x * pitch.sin() + z * pitch.cos()
    return torch.stack([-across, none, pole - up, none, -pitch, none], 1)


def approached(
    x: Float[Tensor, " t"],
    z: Float[Tensor, " t"],
    pitch: Float[Tensor, " t"],
    clear: float,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same motion after a straight one along the sensor's axis.

    Args:
        clear: its length, m.
        steps: of it, ≥ 1.
    """
    back = clear * torch.linspace(1, 0, steps + 1, dtype=x.dtype)[:-1]
    before = x[0] - back * pitch[0].sin(), z[0] - back * pitch[0].cos(), pitch[0].expand(steps)
    return tuple(torch.cat(parts) for parts in zip(before, (x, z, pitch), strict=True))  # type: ignore[return-value]

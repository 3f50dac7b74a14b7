"""Cameras: from points to pixels and from pixels to rays, differentiable by torch.

The camera's axes are x to the right, y down and z ahead; pixels are (column, row), whole numbers
at the centres of pixels, (0, 0) being the centre of the upper left one.

    pinhole         column = cx + fx x/z       row = cy + fy y/z
    equidistant     (column, row) = (cx, cy) + f θ (x, y)/ρ,   ρ = |(x, y)|,  θ = atan2(ρ, z)

| symbol | meaning | unit |
|---|---|---|
| fx, fy | focal length of a pinhole | pixel |
| f | of an equidistant fisheye | pixel/rad |
| cx, cy | where the optical axis meets the image | pixel |

Rays are straight: refraction at the gel's window is not modelled, so that intrinsics calibrated
through the window belong here.

Source: J. Kannala, S. S. Brandt, A generic camera model and calibration method for conventional,
wide-angle, and fish-eye lenses, IEEE TPAMI 28 (2006), eqs. (1) and (3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciml.contracts import UserError

#: A number, or a scalar that requires gradients: what a calibration may find.
Constant = float | int | Tensor
#: Three numbers, as a configuration has them.
Vector = Sequence[float | int]
#: Largest distance of a camera from the sensor's origin that is believed, m.
FURTHEST = 1.0
#: ρ/z below which θ/ρ comes from its series, whose next term is (ρ/z)⁶/7.
NEAR_AXIS = 1e-2


@runtime_checkable
class Lens(Protocol):
    """A projection in the camera's axes."""

    def pixels(self, at: Tensor) -> Tensor:
        """`[…, 3]` m → `[…, 2]` pixels."""

    def directions(self, pixels: Tensor) -> Tensor:
        """`[…, 2]` → unit vectors `[…, 3]`."""

    def reaches(self, at: Tensor) -> Tensor:
        """`[…, 3]` → `[…]`, whether there is a pixel for a point at all."""

    def scaled(self, share: float) -> "Lens":
        """The same view in an image of so many times the pixels across."""


@final
@dataclass(frozen=True, eq=False)
class Pinhole:
    """A perspective lens; arguments in pixels, focal lengths > 0."""

    fx: Constant
    fy: Constant
    cx: Constant
    cy: Constant

    def __post_init__(self) -> None:
        _refuse_focal(self, "fx", "fy")

    def pixels(self, at: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
        x, y, z = at.unbind(-1)
        return torch.stack([self.cx + self.fx * x / z, self.cy + self.fy * y / z], dim=-1)

    def directions(self, pixels: Float[Tensor, "*p 2"]) -> Float[Tensor, "*p 3"]:
        column, row = pixels.unbind(-1)
        x, y = (column - self.cx) / self.fx, (row - self.cy) / self.fy
        ahead = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        return ahead / ahead.norm(dim=-1, keepdim=True)

    def reaches(self, at: Float[Tensor, "*p 3"]) -> Bool[Tensor, "*p"]:
        return at[..., 2] > 0

    def scaled(self, share: float) -> "Pinhole":
        cx, cy = ((c + 0.5) * share - 0.5 for c in (self.cx, self.cy))
        return Pinhole(self.fx * share, self.fy * share, cx, cy)


@final
@dataclass(frozen=True, eq=False)
class Fisheye:
    """An equidistant lens: f in pixel/rad, > 0; cx, cy in pixels."""

    f: Constant
    cx: Constant
    cy: Constant

    def __post_init__(self) -> None:
        _refuse_focal(self, "f")

    def pixels(self, at: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
        across, z = at[..., :2], at[..., 2]
        squared = (across**2).sum(-1)
        near = (z > 0) & (squared < (NEAR_AXIS * z) ** 2)
        # both branches are finite everywhere, or the gradient of the unused one would be NaN
        rho = torch.where(near, torch.ones_like(z), squared).sqrt()
        z_near = torch.where(near, z, torch.ones_like(z))
        t = torch.where(near, squared, torch.zeros_like(z)) / z_near**2
        series = (1 - t / 3 + t**2 / 5 - t**3 / 7 + t**4 / 9) / z_near
        per_rho = torch.where(near, series, torch.atan2(rho, z) / rho)
        centre = torch.stack([torch.as_tensor(c, dtype=at.dtype) for c in (self.cx, self.cy)])
        return centre + self.f * per_rho[..., None] * across

    def directions(self, pixels: Float[Tensor, "*p 2"]) -> Float[Tensor, "*p 3"]:
        column, row = pixels.unbind(-1)
        across = torch.stack([column - self.cx, row - self.cy], dim=-1) / self.f
        squared = (across**2).sum(-1)
        on_axis = squared < 1e-24
        theta = torch.where(on_axis, torch.ones_like(squared), squared).sqrt()
        sinc = torch.where(on_axis, torch.ones_like(theta), torch.sin(theta) / theta)
        ahead = torch.where(on_axis, torch.ones_like(theta), torch.cos(theta))
        return torch.cat([across * sinc[..., None], ahead[..., None]], dim=-1)

    def reaches(self, at: Float[Tensor, "*p 3"]) -> Bool[Tensor, "*p"]:
        return (at[..., 2] > 0) | (at[..., :2] ** 2).sum(-1).gt(0)

    def scaled(self, share: float) -> "Fisheye":
        cx, cy = ((c + 0.5) * share - 0.5 for c in (self.cx, self.cy))
        return Fisheye(self.f * share, cx, cy)


@final
@dataclass(frozen=True, eq=False)
class Pose:
    """Where a camera is and how it is turned, in the sensor's frame.

    Args:
        position: `[3]`, m.
        rotation: `[3, 3]`; its columns are the camera's axes right, down, ahead.

    Raises:
        UserError: a position that looks like millimetres; a matrix that does not turn.
    """

    position: Float[Tensor, "3"]
    rotation: Float[Tensor, "3 3"]

    def __post_init__(self) -> None:
        distance = float(self.position.detach().norm())
        if not distance <= FURTHEST:
            raise UserError(
                f"camera: expected a position in metres within {FURTHEST:g} m of the sensor, got "
                f"{distance:g} m away; if these are millimetres multiply by 1e-3"
            )
        turn = self.rotation.detach()
        wrong = float((turn.T @ turn - torch.eye(3).to(turn)).abs().max())
        if wrong > 1e-9 or torch.linalg.det(turn) < 0:
            raise UserError(
                "camera: expected a rotation with right, down and ahead as orthonormal columns, "
                f"got one that is off by {wrong:.2g}; build it with looking(position, at, right)"
            )

    def moved(self, turn: Float[Tensor, "3"], shift: Float[Tensor, "3"]) -> "Pose":
        """Turned about its own axes by a rotation vector, rad, and shifted along them, m."""
        x, y, z = turn.unbind()
        zero = torch.zeros_like(x)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
        rotation = self.rotation @ torch.linalg.matrix_exp(cross)
        return Pose(self.position + self.rotation @ shift, rotation)


def looking(
    position: Sequence[float | int],
    at: Sequence[float | int],
    right: Sequence[float | int] = (1.0, 0.0, 0.0),
) -> Pose:
    """The pose at `position` that looks towards `at`, m, with `right` to the right of the image.

    Raises:
        UserError: a direction that vanishes, or `right` along it.
    """
    here, there, aside = (_vector(v) for v in (position, at, right))
    ahead = there - here
    if not ahead.norm() > 0:
        raise UserError(f"camera: expected to look away from its position {list(position)} m")
    ahead = ahead / ahead.norm()
    aside = aside - (aside @ ahead) * ahead
    if not aside.norm() > 1e-6:
        raise UserError(f"camera: expected right = {list(right)} across the direction it looks in")
    aside = aside / aside.norm()
    down = torch.linalg.cross(ahead, aside)
    return Pose(here, torch.stack([aside, down, ahead], dim=1))


@final
@dataclass(frozen=True, eq=False)
class Camera:
    """A lens with an image, somewhere in the sensor.

    Args:
        lens: pinhole or equidistant.
        width, height: of the image, pixels, ≥ 1.
        pose: in the sensor's frame.

    Raises:
        UserError: an image without pixels.
    """

    lens: Lens
    width: int
    height: int
    pose: Pose

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise UserError(
                f"camera: expected an image of at least one pixel, got {self.width} x {self.height}"
            )

    def within(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 3"]:
        """Points of the sensor's frame in the camera's axes, m."""
        return (points - self.pose.position) @ self.pose.rotation

    def project(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
        """Pixels of points in the sensor's frame, m; differentiable in points, lens and pose."""
        return self.lens.pixels(self.within(points))

    def sees(self, points: Float[Tensor, "*p 3"]) -> Bool[Tensor, "*p"]:
        """Whether points lie ahead of the camera and inside its image; hidden ones count."""
        column, row = self.project(points).unbind(-1)
        across = (column >= -0.5) & (column <= self.width - 0.5)
        return (
            self.lens.reaches(self.within(points))
            & across
            & (row >= -0.5)
            & (row <= self.height - 0.5)
        )

    def rays(
        self, pixels: Float[Tensor, "*p 2"]
    ) -> tuple[Float[Tensor, "3"], Float[Tensor, "*p 3"]]:
        """Where the rays of pixels start, m, and their unit directions, in the sensor's frame."""
        return self.pose.position, self.lens.directions(pixels) @ self.pose.rotation.T

    def grid(self) -> Float[Tensor, "height width 2"]:
        """(column, row) of all pixels."""
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in (self.height, self.width))
        row, column = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([column, row], dim=-1)

    def scaled(self, share: float) -> "Camera":
        """The same view with `share` times the pixels across, rounded."""
        width, height = round(self.width * share), round(self.height * share)
        return replace(self, lens=self.lens.scaled(share), width=width, height=height)


def _vector(values: Vector) -> Float[Tensor, "3"]:
    return torch.tensor(list(values), dtype=torch.float64)


def _refuse_focal(lens: "Pinhole | Fisheye", *names: str) -> None:
    for name in names:
        value = float(torch.as_tensor(getattr(lens, name)).detach())
        if not value > 0:
            raise UserError(f"camera: expected {name} > 0 pixels, got {value:g}")

"""Rigid bodies: driven along a path, or free in six degrees under gravity and contact.

    m (v' - v) = Δt (m g + f)       c' = c + Δt v'
    L' = L + Δt τ                   R' = exp(Δt ω) R,    ω = R_m J⁻¹ R_mᵀ L',  R_m = exp(Δt ω/2) R

symbol   meaning                                                      unit
c, v     position and velocity of the centre of mass                  m, m/s
R, L     rotation from the body's axes, angular momentum about c      -, kg m² s⁻¹
J        inertia about the centre of mass, in the body's axes         kg m²
f, τ     force of the contact and its moment about c                  N, N m

Forces are those at the end of the step (backward Euler: first order, stable however stiff the
contact). Without a moment the angular momentum stays to the last digit, and the rotation is second
order (the midpoint rule).

Source: E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration, 2nd ed. (2006), § VII.5.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact.pose import into_frame, rotation
from sciml.tactile.contact.rigid import Rigid
from sciml.tactile.mesh import LARGEST, mass_properties
from sciml.tactile.objects.seam import State

if TYPE_CHECKING:
    import trimesh

#: Standard gravity, m s⁻² (CGPM 1901), and the same downwards.
GRAVITY = 9.80665
DOWNWARDS = torch.tensor([0.0, 0.0, -GRAVITY], dtype=torch.float64)
NONE = torch.zeros(3, dtype=torch.float64)


@final
@dataclass(frozen=True, eq=False)
class RigidBody:
    """A free rigid body; its place is the pose `[6]` of its solid's frame.

    Args:
        solid: its shape, for the contact.
        mass: kg, > 0; a scalar tensor.
        inertia: `[3, 3]` about the centre of mass in the solid's axes, kg m².
        at: pose at the start (see `contact.pose`).
        centre: of mass, in the solid's frame, m.
        velocity: of the centre of mass at the start, m/s.
        spin: angular velocity at the start, rad/s.
        gravity: `[3]`, m s⁻².
    """

    solid: Rigid
    mass: Tensor
    inertia: Float[Tensor, "3 3"]
    at: Float[Tensor, "6"]
    centre: Float[Tensor, "3"] = NONE
    velocity: Float[Tensor, "3"] = NONE
    spin: Float[Tensor, "3"] = NONE
    gravity: Float[Tensor, "3"] = DOWNWARDS

    def __post_init__(self) -> None:
        if not float(self.mass.detach()) > 0:
            raise UserError(f"rigid body: expected mass > 0 kg, got {float(self.mass.detach()):g}")
        inertia = self.inertia.detach()
        least = float(torch.linalg.eigvalsh(inertia).min())
        if not torch.allclose(inertia, inertia.T) or not least > 0:
            raise UserError(
                "rigid body: expected a symmetric, positive definite inertia in kg m², got "
                f"{inertia.tolist()}"
            )

    @property
    def implicit(self) -> bool:
        return True

    def start(self) -> State:
        """c, v, ω of the pose, L."""
        R = rotation(self.at[3:])
        momentum = R @ self.inertia @ R.T @ self.spin
        return self.at[:3] + R @ self.centre, self.velocity, self.at[3:], momentum

    def place(self, state: State) -> Float[Tensor, "6"]:
        c, _, turned, _ = state
        return torch.cat([c - rotation(turned) @ self.centre, turned])

    def step(
        self,
        state: State,
        place: Float[Tensor, "6"],
        reaction: Float[Tensor, "6"],
        duration: float,
    ) -> State:
        c, v, turned, momentum = state
        force, arm = reaction[:3], rotation(place[3:]) @ self.centre
        moment = reaction[3:] - torch.linalg.cross(arm, force)
        v = v + duration * (self.gravity + force / self.mass)
        momentum = momentum + duration * moment
        turn = self._turn(rotation(turned), momentum, duration)
        return c + duration * v, v, composed(turn, turned), momentum

    def gap(
        self, state: State, x: Float[Tensor, "q 3"]
    ) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        return _gap(self.solid, self.place(state), x)

    def energy(self, state: State) -> Float[Tensor, ""]:
        """Kinetic and of gravity, J."""
        c, v, turned, momentum = state
        L = rotation(turned).T @ momentum
        spinning = L @ torch.linalg.solve(self.inertia, L) / 2
        return self.mass * ((v * v).sum() / 2 - self.gravity @ c) + spinning

    def _turn(self, R: Tensor, momentum: Tensor, duration: float) -> Tensor:
        """Δt ω, by iteration: it contracts where a step turns the body by less than about 1 rad."""
        turn = torch.zeros_like(momentum)
        for _ in range(100):
            middle = rotation(turn / 2) @ R
            new = duration * middle @ torch.linalg.solve(self.inertia, middle.T @ momentum)
            change, turn = float((new - turn).detach().abs().max()), new
            if change < 1e-15:
                return turn
        raise UserError(
            f"rigid body: expected less than about 1 rad in a step, got {float(turn.norm()):.3g}; "
            "take smaller steps"
        )


def weighed(
    surface: "trimesh.Trimesh | str | Path",
    density: float,
    solid: Rigid,
    at: Float[Tensor, "6"],
    scale: float = 1.0,
    largest: float = LARGEST,
) -> RigidBody:
    """A free body at rest whose mass, centre and inertia are those of a closed surface.

    Args:
        surface: a trimesh or a file; see `mesh.from_surface`.
        density: kg m⁻³, > 0.
        solid: the same shape for the contact (`contact.sampled`, or an analytic one).
        at: pose at the start.
        scale, largest: see `mesh.from_surface`.

    Raises:
        UserError: as `mesh.from_surface`; a density that is not positive.
    """
    mass, centre, inertia = mass_properties(surface, density, scale, largest)
    return RigidBody(
        solid,
        torch.tensor(mass, dtype=torch.float64),
        torch.from_numpy(inertia),
        at,
        torch.from_numpy(centre),
    )


@final
@dataclass(frozen=True, eq=False)
class Driven:
    """A rigid body that goes its way whatever it touches; a fixed one has one pose throughout.

    Args:
        solid: its shape.
        path: `[steps + 1, 6]` poses.
    """

    solid: Rigid
    path: Float[Tensor, "times 6"]

    @property
    def implicit(self) -> bool:
        return False

    def start(self) -> State:
        """The poses from now on."""
        return (self.path,)

    def place(self, state: State) -> Float[Tensor, "6"]:
        return state[0][0]

    def step(
        self,
        state: State,
        place: Float[Tensor, "6"],
        reaction: Float[Tensor, "6"],
        duration: float,
    ) -> State:
        if len(state[0]) < 2:
            raise UserError(
                f"driven body: expected a pose for every step, got {len(self.path)} poses"
            )
        return (state[0][1:],)

    def gap(
        self, state: State, x: Float[Tensor, "q 3"]
    ) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        return _gap(self.solid, self.place(state), x)


def _gap(
    solid: Rigid, place: Float[Tensor, "6"], x: Float[Tensor, "q 3"]
) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
    y, R = into_frame(x, place)
    d, n = solid.distance(y)
    return d, n @ R.T


def composed(turn: Float[Tensor, "3"], turned: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """log(exp(turn) exp(turned)), of the equal rotation vectors the one nearest to `turned`."""
    a, b = _quaternion(turn), _quaternion(turned)
    w = a[0] * b[0] - a[1:] @ b[1:]
    v = a[0] * b[1:] + b[0] * a[1:] + torch.linalg.cross(a[1:], b[1:])
    sine = (v * v).sum()
    small = sine < 1e-16
    length = torch.where(small, 1.0, sine).sqrt()
    half = torch.atan2(length, w)
    found = torch.where(small, 2 * v / w, 2 * half / length * v)
    angle = float(found.detach().norm())
    if angle < 1e-12:
        return found
    along = float(turned.detach() @ found.detach()) / angle
    turns = round((along - angle) / (2 * torch.pi))
    return found * (1 + 2 * torch.pi * turns / found.norm())


def _quaternion(omega: Float[Tensor, "3"]) -> Float[Tensor, "4"]:
    """(cos |ω|/2, sin |ω|/2 ω/|ω|), smooth at ω = 0."""
    squared = (omega * omega).sum() / 4
    small = squared < 1e-8
    half = torch.where(small, 1.0, squared).sqrt()
    sinc = torch.where(small, 1 - squared / 6 + squared**2 / 120, half.sin() / half)
    cosine = torch.where(small, 1 - squared / 2 + squared**2 / 24, half.cos())
    return torch.cat([cosine[None], sinc * omega / 2])

"""A rigid object that turns about a fixed axis, in balance with the gel that touches it.

    Π(u) = min over θ of  Π_c(u; pose(θ)) + V(θ),     V = m g z_c(θ) + ½ k ⟨θ_s - θ⟩²

    0 = ∂Π/∂θ = -(M_gel + m g x_c(θ) + k ⟨θ_s - θ⟩)            moments about the axis
    ∂²Π/∂u² = K_uu - k_uθ k_uθᵀ / K_θθ

The angle is found within every evaluation of the term, so that gel and object are in balance
together, and nothing is solved twice. The axis is y of the object's frame, through its origin; z
is up at θ = 0 in the frame of the hinge. There the object rests on a stop (the ground), which
just carries its weight and can only push.

symbol   meaning                                                      unit
θ        angle, positive about y: what lies at x < 0 rises            rad
x_c, z_c centre of mass in the hinge's frame                          m
k, θ_s   stiffness of the stop, and what its weight presses it in     N m/rad, rad
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import contact as law
from sciml.tactile.contact.penalty import RigidContact
from sciml.tactile.contact.pose import into_frame, rotation
from sciml.tactile.objects.rigid import GRAVITY, composed
from sciml.tactile.simulator.newton import Unconverged

AXIS = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
#: rad to which θ is found, and by which it may change in one iteration.
ACCURACY, LONGEST = 1e-15, 0.05
#: Iterations for θ, at most.
ITERATIONS = 60
#: Memory of the contact, the angle, and the displacement at the start of the step.
Memory = tuple[Tensor, ...]


@final
@dataclass(frozen=True, eq=False)
class HingedContact:
    """An external term; its parameters are the pose `[6]` of the hinge's frame and μ.

    Args:
        contact: of the gel with the object's solid, whose frame has its origin on the axis.
        mass: of the object, kg, > 0.
        centre: (x, z) of its centre of mass in its own frame, m; x ≤ 0, so that it rests.
        stop: k, N m/rad, > 0.

    Raises:
        UserError: values out of these ranges.
    """

    contact: RigidContact
    mass: float
    centre: Sequence[float]
    stop: float

    def __post_init__(self) -> None:
        if not self.mass > 0 or not self.stop > 0:
            raise UserError(
                f"hinge: expected mass > 0 kg and stop > 0 N m/rad, got {self.mass!r} and "
                f"{self.stop!r}"
            )
        if len(self.centre) != 2 or not self.centre[0] <= 0:
            raise UserError(
                "hinge: expected the centre of mass as (x, z) in m with x <= 0, so that the "
                f"object rests on its stop, got {list(self.centre)}"
            )

    # ---- the term -------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> Int[np.ndarray, " k"]:
        """Of the gel's front, rising: all are coupled by the angle."""
        return np.unique(self.contact.points.nodes.numpy())

    @cached_property
    def pairs(self) -> Int[np.ndarray, "p 2"]:
        a, b = np.triu_indices(len(self.nodes))
        return np.concatenate([self.contact.pairs, self.nodes[np.column_stack([a, b])]])

    def energy(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, ""]:
        theta = self._solved(u, before, hinge, friction, memory)[0]
        pressed = (self._rest - theta).clamp(min=0)
        of_contact = self.contact.energy(u, before, placed(hinge, theta), friction, *memory[:3])
        return of_contact + self._weight * self._height(theta) + self.stop * pressed**2 / 2

    def force(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "n 3"]:
        at = placed(hinge, self.angle(u, before, hinge, friction, *memory))
        return self.contact.force(u, before, at, friction, *memory[:3])

    def blocks(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "p 3 3"]:
        return self._blocks(self.contact.blocks, u, before, hinge, friction, memory)

    def convex_blocks(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "p 3 3"]:
        """With the contact's own."""
        return self._blocks(self.contact.convex_blocks, u, before, hinge, friction, memory)

    def _blocks(
        self,
        of_contact: Callable[..., Tensor],
        u: Tensor,
        before: Tensor,
        hinge: Tensor,
        friction: Tensor,
        memory: tuple[Tensor, ...],
    ) -> Tensor:
        theta, slope = self._solved(u, before, hinge, friction, memory)
        own = of_contact(u, before, placed(hinge, theta), friction, *memory[:3])
        with torch.enable_grad():
            moved = u.detach().requires_grad_()
            given = (before.detach(), hinge.detach(), friction)
            left = self._moment(theta, moved, *given, memory)
            coupling = torch.autograd.grad(left, moved)[0][self.nodes]
        return torch.cat([own, self._condensed(coupling, slope)])

    # ---- memory ---------------------------------------------------------------------------------

    def start(self, u: Tensor, hinge: Tensor, friction: Tensor) -> Memory:
        """The memory at the initial state, at rest on the stop."""
        return (*self.contact.start(u, hinge, friction), torch.zeros((), dtype=u.dtype), u)

    def again(
        self, u: Tensor, parameters: tuple[Tensor, ...], memory: Memory, solves: int
    ) -> Memory | None:
        """The memory with which the step is solved once more, or None."""
        hinge, friction = parameters
        at = placed(hinge, self.angle(u, memory[4], hinge, friction, *memory))
        renewed = self.contact.again(u, (at, friction), memory[:3], solves)
        return None if renewed is None else (*renewed, *memory[3:])

    def after(
        self, u: Tensor, before: Tensor, parameters: tuple[Tensor, ...], memory: Memory
    ) -> Memory:
        """The memory at the end of a step."""
        hinge, friction = parameters
        theta = self.angle(u, before, hinge, friction, *memory)
        kept = self.contact.after(u, before, (placed(hinge, theta), friction), memory[:3])
        return (*kept, theta, u)

    # ---- what came out --------------------------------------------------------------------------

    def angle(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, ""]:
        """θ, rad; differentiable, by one step of Newton's method from where it is already."""
        theta, slope = self._solved(u, before, hinge, friction, memory)
        given = (u, before, hinge, friction, *memory)
        if not torch.is_grad_enabled() or not any(value.requires_grad for value in given):
            return theta
        left = self._moment(theta, u, before, hinge, friction, memory)
        return theta - (left - left.detach()) / slope

    def pose(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "6"]:
        """Of the object, in the gel's frame."""
        return placed(hinge, self.angle(u, before, hinge, friction, *memory))

    # ---- inner ----------------------------------------------------------------------------------

    @property
    def _weight(self) -> float:
        return self.mass * GRAVITY

    @property
    def _rest(self) -> float:
        """θ_s."""
        return -self._weight * self.centre[0] / self.stop

    def _height(self, theta: Tensor) -> Tensor:
        x, z = self.centre
        return z * theta.cos() - x * theta.sin()

    def _moment(
        self,
        theta: Tensor,
        u: Tensor,
        before: Tensor,
        hinge: Tensor,
        friction: Tensor,
        memory: tuple[Tensor, ...],
    ) -> Float[Tensor, ""]:
        """∂Π/∂θ, N m: the moment that is missing for a balance."""
        wrench = self.contact.wrench(u, before, placed(hinge, theta), friction, *memory[:3])
        return -(wrench[3:] @ (rotation(hinge[3:]) @ AXIS) + self._own(theta)[0])

    def _own(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Moment of weight and stop, N m, and its slope."""
        x, z = self.centre
        pressed = self._rest - theta
        moment = self._weight * (x * theta.cos() + z * theta.sin())
        slope = self._weight * (z * theta.cos() - x * theta.sin())
        return moment + self.stop * pressed.clamp(min=0), slope - self.stop * (pressed > 0)

    def _solved(
        self,
        u: Tensor,
        before: Tensor,
        hinge: Tensor,
        friction: Tensor,
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        """θ and K_θθ, both detached; asked for several times at the same place."""
        given = tuple(v.detach() for v in (u, before, hinge, friction, *memory))
        last = self._latest
        if last and all(a.equal(b) for a, b in zip(last[0], given, strict=True)):
            return last[1]
        found = self._sought(given)
        self._latest[:] = [tuple(value.clone() for value in given), found]
        return found

    def _sought(self, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Newton's method between bounds that close in on a change of sign, rising."""
        u, before, hinge, friction, *memory = given
        side = self._side(u, before, hinge, friction, memory)
        theta, low, high = self._guess(given), -np.inf, np.inf
        for _ in range(ITERATIONS):
            left, rises = side(theta)
            low, high = (theta, high) if left < 0 else (low, theta)
            step = -left / rises if rises > 0 else -np.sign(left) * LONGEST
            new = theta + float(np.clip(step, -LONGEST, LONGEST))
            if rises > 0 and abs(new - theta) <= ACCURACY:
                return self._with_slope(new, given)
            theta = new if low < new < high else (low + high) / 2
            if high - low <= ACCURACY:
                return self._with_slope(theta, given)
        raise Unconverged(f"the object finds no balance about its hinge ({left:.3g} N m are left)")

    def _guess(self, given: tuple[Tensor, ...]) -> float:
        """θ found last in the same solve of a step, else that at the step's start."""
        if self._latest:
            last, found = self._latest
            if all(a.equal(b) for a, b in zip(last[1:], given[1:], strict=True)):
                return float(found[0])
        return float(given[-2])

    def _with_slope(self, theta: float, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """θ, and K_θθ with the curvature of the solid in it."""
        u, before, hinge, friction, *memory = given
        with torch.enable_grad():
            at = torch.tensor(theta, dtype=u.dtype, requires_grad=True)
            left = self._moment(at, u, before, hinge, friction, tuple(memory))
            return at.detach(), torch.autograd.grad(left, at)[0]

    def _side(
        self, u: Tensor, before: Tensor, hinge: Tensor, friction: Tensor, memory: list[Tensor]
    ) -> Callable[[float], tuple[float, float]]:
        """θ → ∂Π/∂θ and its slope without the curvature of the solid, for one u."""
        contact, limit = self.contact, friction * memory[0]
        began, _ = into_frame(contact.points.at(before), memory[2])
        n = contact.solid.distance(began)[1]
        T = law.tangential(n / n.norm(dim=-1, keepdim=True).clamp(min=1e-12))
        still, _ = into_frame(contact.points.at(u), hinge)
        augmented = contact.penetration is not None
        multiplier = memory[0] if augmented else torch.zeros_like(memory[0])
        rubs = law.rubs(limit)

        def side(theta: float) -> tuple[float, float]:
            c, s = math.cos(theta), math.sin(theta)
            x, z = still[:, 0] * c - still[:, 2] * s, still[:, 0] * s + still[:, 2] * c
            y = torch.stack([x, still[:, 1], z], 1)
            way = torch.stack([-z, torch.zeros_like(x), x], 1)
            gap, n = contact.solid.distance(y)
            p = law.pressure(gap, contact.stiffness, multiplier)
            t = p[:, None] * n
            stiffer = contact.stiffness * (p > 0) * (n * way).sum(1)
            dt = -stiffer[:, None] * n
            if rubs:
                slip = _along(T, memory[1] + y - began)
                t = t - law.traction(slip, limit, contact.stick)
                slope = law.traction_slope(slip, limit, contact.stick, T)
                dt = dt - _along(slope, way)
            A, at = contact.areas, torch.tensor(theta, dtype=u.dtype)
            moment = (A * (x * t[:, 2] - z * t[:, 0])).sum()
            of_it = (A * (x * dt[:, 2] - z * t[:, 2] - z * dt[:, 0] - x * t[:, 0])).sum()
            own = self._own(at)
            return float(-(moment + own[0])), float(-(of_it + own[1]))

        return side

    def _condensed(self, coupling: Tensor, slope: Tensor) -> Tensor:
        """-k_uθ k_uθᵀ / K_θθ of all pairs of nodes."""
        a, b = np.triu_indices(len(self.nodes))
        return -coupling[a][:, :, None] * coupling[b][:, None, :] / slope

    @cached_property
    def _latest(self) -> list:
        return []


def _along(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]


def placed(hinge: Float[Tensor, "6"], theta: Float[Tensor, ""]) -> Float[Tensor, "6"]:
    """The pose of an object turned by θ about y in the frame of the hinge."""
    return torch.cat([hinge[:3], composed(hinge[3:], theta * AXIS)])

"""A body's surface against one rigid solid: pressure by penalty, friction with a memory.

    Π = Σ_q A_q [ψ_n(g_q) + ψ_t(s_q)]       g = d(y),   y = Rᵀ (x - c),   x = X + u

Points q are those of `points`. All is reckoned in the solid's frame, where a solid that turns does
not drag its friction along:

    s = T (s_0 + y - y_0)     T = I - n_0 n_0ᵀ     0: at the start of the step

The limit of friction μ p takes the pressure p of the solve before (lagged), so that a step stays
the minimum of an energy with a symmetric tangent. A step is solved again with the pressure just
found where that changed much (first contact), and, if `penetration` is given, with it as the
multiplier of the augmented Lagrangian until no point lies deeper. Every solve is differentiated as
it was done: gradients are those of the numbers that came out.

The laws are in `physics.contact`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import contact as law
from sciml.tactile.contact.points import Points
from sciml.tactile.contact.pose import into_frame
from sciml.tactile.contact.rigid import Rigid, curvature
from sciml.tactile.elements import Elements
from sciml.tactile.simulator.newton import Unconverged

#: Metres by which a solid may overlap the body at the start without being refused.
TOUCHING = 1e-8
#: Shares of a step at which it is asked whether a point is inside the solid.
BETWEEN = (0.2, 0.4, 0.6, 0.8)
#: λ (or the lagged pressure), s_0 and the solid's pose at the start of a step.
Memory = tuple[Tensor, Tensor, Tensor]


@final
@dataclass(frozen=True)
class RigidContact:
    """An external term; its parameters are the solid's pose `[6]` and the friction coefficient μ.

    Args:
        elements: the body.
        surface: of the body that may touch.
        solid: see `rigid`.
        stiffness: ε, Pa/m. A penalty leaves a penetration p/ε: of a gel of modulus E under a
            punch of radius a, p is about E d/a at a depth d, so that 100 E/a leaves 1 % of d.
        stick: slip before a point slides, m, > 0.
        penetration: m; the augmented Lagrangian goes on until no point is deeper. None: penalty.
        lag: share of the pressure that may have changed since it was lagged.
        solves: of one step, at most.
    """

    elements: Elements
    surface: str
    solid: Rigid
    stiffness: float
    stick: float = 1e-5
    penetration: float | None = None
    lag: float = 0.5
    solves: int = 6

    def __post_init__(self) -> None:
        for name in ("stiffness", "stick", "lag"):
            value = getattr(self, name)
            if not value > 0:
                raise UserError(f"contact: expected {name} > 0, got {value!r}")
        if self.penetration is not None and not self.penetration > 0:
            raise UserError(f"contact: expected penetration > 0 m, got {self.penetration!r}")

    @cached_property
    def points(self) -> Points:
        """Where the surface is asked whether it touches."""
        return Points(self.elements, self.surface)

    @property
    def areas(self) -> Float[Tensor, " q"]:
        """Of the points at rest, m²."""
        return self.points.areas

    @property
    def pairs(self) -> Int[np.ndarray, "p 2"]:
        return self.points.pairs

    # ---- the term -------------------------------------------------------------------------------

    def energy(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, ""]:
        y, _, gap, _ = self._place(u, pose)
        stored = law.energy(gap, self.stiffness, self._multiplier(memory))
        limit = friction * memory[0]
        if law.rubs(limit):
            slip = self._slip(y, before, memory)
            stored = stored + law.traction_energy(slip, limit, self.stick)
        return (self.areas * stored).sum()

    def force(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "n 3"]:
        return self.points.spread(-self.tractions(u, before, pose, friction, *memory), u)

    def blocks(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "p 3 3"]:
        return self._blocks(u, before, pose, friction, memory, curved=True)

    def convex_blocks(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "p 3 3"]:
        """Without the curvature of the solid, which softens by pressure over radius."""
        return self._blocks(u, before, pose, friction, memory, curved=False)

    def _blocks(
        self,
        u: Tensor,
        before: Tensor,
        pose: Tensor,
        friction: Tensor,
        memory: tuple[Tensor, ...],
        curved: bool,
    ) -> Tensor:
        y, R, gap, n = self._place(u, pose)
        p = law.pressure(gap, self.stiffness, self._multiplier(memory))
        found = torch.zeros(len(y), 3, 3, dtype=y.dtype)
        near = torch.nonzero(p > 0)[:, 0]
        if len(near):
            m = n[near]
            found[near] = self.stiffness * m[:, :, None] * m[:, None, :]
            if curved:
                found[near] -= p[near, None, None] * curvature(self.solid, y[near])
        limit = friction * memory[0]
        if law.rubs(limit):
            slope = law.traction_slope(self._slip(y, before, memory), limit, self.stick)
            T = self._begun(before, memory)[1]
            found = found + T @ slope @ T
        return self.points.blocks(R @ found @ R.T)

    # ---- memory ---------------------------------------------------------------------------------

    def start(self, u: Tensor, pose: Tensor, friction: Tensor) -> Memory:
        """The memory at the initial state.

        Raises:
            UserError: the solid overlaps the body.
        """
        gap = self._place(u, pose)[2]
        if float(gap.detach().min()) < -TOUCHING:
            deepest = -float(gap.detach().min())
            raise UserError(
                f"contact: expected the indenter outside '{self.surface}' at the start, got it "
                f"{deepest:.3g} m inside; start it further away and let it move in"
            )
        nothing = torch.zeros_like(gap)
        return nothing, nothing[:, None].expand(-1, 3), pose

    def again(
        self, u: Tensor, parameters: tuple[Tensor, ...], memory: Memory, solves: int
    ) -> Memory | None:
        """The memory with which the step is solved once more, or None."""
        gap = self.gaps(u, parameters[0])
        p = law.pressure(gap, self.stiffness, self._multiplier(memory))
        if solves >= self.solves:
            return None
        changed = float((p - memory[0]).detach().abs().sum())
        lagging = law.rubs(parameters[1]) and changed > self.lag * float(p.detach().sum())
        inside = self.penetration is not None and float(-gap.detach().min()) > self.penetration
        return (p, *memory[1:]) if inside or (lagging and solves < 2) else None

    def after(
        self, u: Tensor, before: Tensor, parameters: tuple[Tensor, ...], memory: Memory
    ) -> Memory:
        """The memory at the end of a step.

        Raises:
            Unconverged: a point passed through the solid.
        """
        y, _, gap, _ = self._place(u, parameters[0])
        self._refuse_tunnels(self._place(before, memory[2])[0].detach(), y.detach())
        p = law.pressure(gap, self.stiffness, self._multiplier(memory))
        slip = law.stuck(self._slip(y, before, memory), self.stick)
        return p, torch.where((p > 0)[:, None], slip, 0.0), parameters[0]

    # ---- what came out --------------------------------------------------------------------------

    def tractions(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "q 3"]:
        """Force per area at rest, Pa, with which the solid acts on the points."""
        y, R, gap, n = self._place(u, pose)
        p = law.pressure(gap, self.stiffness, self._multiplier(memory))
        found = p[:, None] * n
        limit = friction * memory[0]
        if law.rubs(limit) or limit.requires_grad:
            found = found - law.traction(self._slip(y, before, memory), limit, self.stick)
        return found @ R.T

    def wrench(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "6"]:
        """Force, N, and moment about the solid's origin, N m, with which the body acts on it."""
        push = -self.areas[:, None] * self.tractions(u, before, pose, friction, *memory)
        arm = self.points.at(u) - pose[:3]
        return torch.cat([push.sum(0), torch.linalg.cross(arm, push).sum(0)])

    def touching(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> tuple[Bool[Tensor, " q"], Bool[Tensor, " q"]]:
        """Which points bear pressure, and which of these slide instead of sticking."""
        y, _, gap, _ = self._place(u, pose)
        borne = law.pressure(gap, self.stiffness, self._multiplier(memory)) > 0
        slip = self._slip(y, before, memory).norm(dim=-1)
        return borne, borne & (slip >= self.stick)

    def gaps(self, u: Tensor, pose: Tensor) -> Float[Tensor, " q"]:
        """g at the points, m; negative inside the solid."""
        return self._place(u, pose)[2]

    def _refuse_tunnels(self, start: Tensor, end: Tensor) -> None:
        """A step so large that a point went in at one side of the solid and out at another."""
        way = end - start
        ends = torch.minimum(self.solid.distance(start)[0], self.solid.distance(end)[0])
        for share in BETWEEN:
            between = self.solid.distance(start + share * way)[0]
            if bool((between < ends.clamp(max=0) - 0.1 * way.norm(dim=1)).any()):
                raise Unconverged("the indenter moves further than its size and passes points by")

    # ---- inner ----------------------------------------------------------------------------------

    def _place(self, u: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y, R, g and n."""
        y, R = into_frame(self.points.at(u), pose)
        gap, n = self.solid.distance(y)
        return y, R, gap, n

    def _multiplier(self, memory: tuple[Tensor, ...]) -> Tensor:
        return memory[0] if self.penetration is not None else torch.zeros_like(memory[0])

    def _begun(self, before: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """y_0 and T `[q, 3, 3]`; found once for the many calls of one step without gradients."""
        last, pose = self._latest, memory[2]
        free = not torch.is_grad_enabled()
        if free and last and last[0] is before and last[1] is pose:
            return last[2], last[3]
        y, _, _, n = self._place(before, pose)
        n = n / n.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        T = law.tangential(n)
        if free:
            self._latest[:] = [before, pose, y, T]
        return y, T

    @cached_property
    def _latest(self) -> list[Tensor]:
        return []

    def _slip(self, y: Tensor, before: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        y_0, T = self._begun(before, memory)
        way = memory[1] + y - y_0
        return (T @ way[:, :, None])[:, :, 0]

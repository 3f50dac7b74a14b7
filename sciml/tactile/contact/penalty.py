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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import contact as law
from sciml.tactile.contact.points import Points
from sciml.tactile.contact.pose import rotation
from sciml.tactile.contact.rigid import Rigid, curvature
from sciml.tactile.elements import Elements
from sciml.tactile.simulator.newton import Unconverged

#: Metres by which a solid may overlap the body at the start without being refused.
TOUCHING = 1e-8
#: Shares of a step at which it is asked whether a point is inside the solid.
BETWEEN = (0.2, 0.4, 0.6, 0.8)
#: λ (or the lagged pressure), s_0 and the solid's pose at the start of a step.
Memory = tuple[Tensor, Tensor, Tensor]


class Felt(NamedTuple):
    """What the points meet: y, R, g, n, p, the last solve's μ p, and s (None where none rubs)."""

    y: Tensor
    R: Tensor
    gap: Tensor
    n: Tensor
    p: Tensor
    limit: Tensor
    slip: Tensor | None


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
        felt = self._felt(u, before, pose, friction, *memory)
        stored = law.energy(felt.gap, self.stiffness, self._multiplier(memory))
        if felt.slip is not None:
            stored = stored + law.traction_energy(felt.slip, felt.limit, self.stick)
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
        felt = self._felt(u, before, pose, friction, *memory)
        y, R, n, p = felt.y, felt.R, felt.n, felt.p
        found = torch.zeros(len(y), 3, 3, dtype=y.dtype)
        near = torch.nonzero(p > 0)[:, 0]
        if len(near):
            m = n[near]
            found[near] = self.stiffness * m[:, :, None] * m[:, None, :]
            if curved:
                found[near] -= p[near, None, None] * curvature(self.solid, y[near])
        if felt.slip is not None:
            T = self._begun(before, memory)[1]
            found = found + law.traction_slope(felt.slip, felt.limit, self.stick, T)
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
        felt = self._felt(u, before, pose, friction, *memory)
        found = felt.p[:, None] * felt.n
        if felt.slip is not None:
            found = found - law.traction(felt.slip, felt.limit, self.stick)
        return found @ felt.R.T

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
        return self._kept("place", self._placed, u, pose)

    def _placed(self, u: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        R = self._kept("turn", rotation, pose[3:])
        y = (self.points.at(u) - pose[:3]) @ R
        gap, n = self.solid.distance(y)
        return y, R, gap, n

    def _multiplier(self, memory: tuple[Tensor, ...]) -> Tensor:
        return memory[0] if self.penetration is not None else torch.zeros_like(memory[0])

    def _felt(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Felt:
        return self._kept("felt", self._feel, u, before, pose, friction, *memory)

    def _feel(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> Felt:
        y, R, gap, n = self._place(u, pose)
        p = law.pressure(gap, self.stiffness, self._multiplier(memory))
        limit = friction * memory[0]
        rubs = law.rubs(limit) or limit.requires_grad
        return Felt(y, R, gap, n, p, limit, self._slip(y, before, memory) if rubs else None)

    def _begun(self, before: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """y_0 and T `[q, 3, 3]`."""
        return self._kept("begin", self._begin, before, memory[2])

    def _begin(self, before: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        y, _, _, n = self._placed(before, pose)
        n = n / n.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return y, law.tangential(n)

    def _slip(self, y: Tensor, before: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        y_0, T = self._begun(before, memory)
        way = memory[1] + y - y_0
        return (T @ way[:, :, None])[:, :, 0]

    def _kept(self, name: str, function: Callable[..., Any], *given: Tensor) -> Any:
        """The function's value, found once for the many calls at one state without gradients.

        A state is known by where its tensors lie and how often torch changed them; what numpy
        writes into their memory goes unseen.
        """
        if torch.is_grad_enabled():
            return function(*given)
        key = [(value.data_ptr(), value._version) for value in given]
        if name not in self._last or self._last[name][0] != key:
            held = [value.detach() for value in given]  # the memory, without a graph behind it
            self._last[name] = key, held, function(*given)
        return self._last[name][2]

    @cached_property
    def _last(self) -> dict[str, Any]:
        return {}

"""Contact that allows no penetration at all: a barrier between triangles, friction with a lag.

    Π(u) = B(x) + μ D(x; x_0, x_lag)        x = X + u on surfaces of the body, c + R y on a solid

Bodies are surfaces of elastic bodies in one mesh, against each other, or against one rigid solid of
triangles. Vertices of a solid are given, but are vertices like others: derivatives by its pose are
columns of the same Hessian. See `collisions` for B and D.

No state between two triangles is ever passed: Newton's steps are cut where bodies would meet, and a
step begins where its way there is free (`simulator.approach`). Vertices and flat triangles count:
linear triangles as they are, quadratic ones cut into four through their six nodes, because corners
alone would leave midpoints free to penetrate.

The limit of friction μ N has the normal force N of the solve before (at first that at the start of
the step); a step is solved again where that changed much. Slip is that of a step: a point at rest
under a load along the surface creeps by a share of `stick` per step.

Not here: a body against itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import contact as law
from sciml.tactile.contact.collisions import Collisions, pressed, rubbed
from sciml.tactile.contact.shell import Shell
from sciml.tactile.contact.skin import Skin
from sciml.tactile.elements import Elements
from sciml.tactile.simulator.newton import Unconverged

#: Distance, in edges of the triangles, within which nodes may be coupled soon.
SOON = 0.5


@final
@dataclass(frozen=True)
class BarrierContact:
    """An external term; its parameters are the pose `[6]` of the solid, if any, and friction μ.

    Args:
        elements: the body, or several in one mesh (`parts.united`).
        surfaces: one or several that may touch; what is not named is not in the way.
        solid: rigid; None for elastic bodies only.
        dhat: distance at which the barrier begins, m. Bodies press on each other from about half
            of it: take a small share of the depth.
        stiffness: κ, Pa. A pressure of 4.3 κ is borne at half of `dhat`, 0.2 κ at nine tenths.
        stick: slip in a step up to which a point sticks, m, > 0.
        lag: share of the normal forces that may have changed since they were lagged.

    Raises:
        UserError: no such surface; values that are not positive; one body and no solid; ipctk not
            installed.
    """

    elements: Elements
    surfaces: str | Sequence[str]
    dhat: float
    stiffness: float
    solid: Shell | None = None
    stick: float = 1e-5
    lag: float = 0.5

    def __post_init__(self) -> None:
        for name in ("dhat", "stiffness", "stick", "lag"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise UserError(f"contact: expected {name} > 0, got {value!r}")
        if not self._names:
            raise UserError("contact: expected one surface or more, got none")
        if self.solid is None and len(np.unique(self.skin.body)) < 2:
            raise UserError(
                f"contact: expected surfaces of two bodies or a solid, got {self.skin.named} of "
                "one body; contact of a body with itself is not offered"
            )
        positions = self.elements.positions
        if positions is not None and positions.requires_grad:
            raise UserError(
                "contact: expected positions at rest without gradients, which a barrier does not "
                "give, got some that ask for them; detach them, or use RigidContact or MeshContact"
            )
        _ = self.collisions

    @cached_property
    def skin(self) -> Skin:
        """The vertices."""
        return Skin(self.elements, self._names, self.solid)

    @cached_property
    def collisions(self) -> Collisions:
        """What depends on the positions of the vertices only."""
        skin = self.skin
        return Collisions(
            skin.rest, skin.triangles, skin.body, self.dhat, self.stiffness, self.stick
        )

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.surfaces,) if isinstance(self.surfaces, str) else tuple(self.surfaces)

    def vertices(self, u: Tensor, pose: Tensor | None = None) -> Float[Tensor, "v 3"]:
        """x, m: those on the surfaces, then those of the solid."""
        return self.skin.vertices(u, pose)

    def _given(self, parameters: Sequence[Tensor]) -> "_Given":
        if self.solid is None:
            friction, lag = parameters
            return _Given(None, friction, lag, None, None)
        return _Given(*parameters)

    def _lagged(self, given: "_Given") -> Float[Tensor, "v 3"]:
        return self.vertices(given.lag, given.lag_pose)

    # ---- which nodes are coupled ----------------------------------------------------------------

    @property
    def pairs(self) -> Int[np.ndarray, "0 2"]:
        return np.empty((0, 2), dtype=np.int64)

    def coupled(self, u: Tensor, *parameters: Tensor) -> Int[np.ndarray, "k 2"]:
        """Those of `blocks`."""
        given = self._given(parameters)
        x = self.vertices(u, given.pose).detach().numpy()
        lagged = self._lagged(given).detach().numpy() if law.rubs(given.friction) else None
        return self.skin.coupling(self.collisions.stencils(x, lagged))

    def vicinity(self, u: Tensor, *parameters: Tensor) -> Int[np.ndarray, "k 2"]:
        """Those that may be coupled soon."""
        x = self.vertices(u, self._given(parameters).pose).detach().numpy()
        return self.skin.coupling(self.collisions.stencils_within(x, SOON * self.collisions.edge))

    # ---- the term -------------------------------------------------------------------------------

    def energy(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Float[Tensor, ""]:
        given = self._given(parameters)
        x = self.vertices(u, given.pose)
        found = self.collisions.energy(x.detach().numpy())
        if law.rubs(given.friction):
            way, lagged = x - self.vertices(before, given.began), self._lagged(given)
            rubbed = self.collisions.rubbed(way.detach().numpy(), lagged.detach().numpy())
            found += float(given.friction) * rubbed
        return torch.tensor(found, dtype=torch.float64)

    def force(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Float[Tensor, "n 3"]:
        return self.skin.to_nodes(self._slope(u, before, parameters))

    def blocks(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Float[Tensor, "k 3 3"]:
        return self._blocks(u, before, parameters, convex=False)

    def convex_blocks(
        self, u: Tensor, before: Tensor, *parameters: Tensor
    ) -> Float[Tensor, "k 3 3"]:
        """Every pair of triangles' own made positive semi-definite."""
        return self._blocks(u, before, parameters, convex=True)

    def _slope(
        self, u: Tensor, before: Tensor, parameters: Sequence[Tensor]
    ) -> Float[Tensor, "v 3"]:
        """∂Π/∂x, N: what holds the vertices where they are."""
        given = self._given(parameters)
        x = self.vertices(u, given.pose)
        found = pressed(x, self.collisions)
        if law.rubs(given.friction) or given.friction.requires_grad:
            began = self.vertices(before, given.began)
            found = found + given.friction * rubbed(x, began, self._lagged(given), self.collisions)
        return found

    def _blocks(
        self, u: Tensor, before: Tensor, parameters: Sequence[Tensor], convex: bool
    ) -> Float[Tensor, "k 3 3"]:
        given = self._given(parameters)
        x = self.vertices(u, given.pose)
        H = self.collisions.curvature(x.detach().numpy(), convex)
        if law.rubs(given.friction):
            way, lagged = x - self.vertices(before, given.began), self._lagged(given)
            of_friction = self.collisions.rub_curvature(
                way.detach().numpy(), lagged.detach().numpy(), convex
            )
            H = H + float(given.friction) * of_friction
        return torch.from_numpy(self.skin.blocks(H, self.coupled(u, *parameters)))

    # ---- ways and memory ------------------------------------------------------------------------

    def free_share(self, start: Sequence[Tensor], end: Sequence[Tensor]) -> float:
        """Share of the straight way of all vertices on which none passes a triangle."""
        ends = [self.vertices(u, self._given(rest).pose) for u, *rest in (start, end)]
        return self.collisions.free_share(*(x.detach().numpy() for x in ends))

    def start(self, u: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """The memory at the initial state: lagged u, with a solid its pose then and at the start.

        Raises:
            UserError: bodies cross, touch or lie in each other.
        """
        pose = parameters[0] if self.solid is not None else None
        self._refuse_overlap(u.detach(), None if pose is None else pose.detach())
        return (u,) if pose is None else (u, pose, pose)

    def again(
        self, u: Tensor, parameters: tuple[Tensor, ...], memory: tuple[Tensor, ...], solves: int
    ) -> tuple[Tensor, ...] | None:
        """The memory with which the step is solved once more, or None."""
        given = self._given((*parameters, *memory))
        if solves > 1 or not law.rubs(given.friction):
            return None
        x, lagged = self.vertices(u, given.pose), self._lagged(given)
        now, then = (self.collisions.slope(one.detach().numpy()) for one in (x, lagged))
        if np.abs(now - then).sum() <= self.lag * np.abs(now).sum():
            return None
        return (u,) if given.pose is None else (u, given.pose, given.began)

    def after(
        self,
        u: Tensor,
        before: Tensor,
        parameters: tuple[Tensor, ...],
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """The memory at the end of a step.

        Raises:
            Unconverged: bodies cross, which is looked at once more for safety.
        """
        pose = parameters[0] if self.solid is not None else None
        if self.collisions.crossing(self.vertices(u, pose).detach().numpy()):
            raise Unconverged("bodies have passed each other")
        return (u,) if pose is None else (u, pose, pose)

    def _refuse_overlap(self, u: Tensor, pose: Tensor | None) -> None:
        x = self.vertices(u, pose).numpy()
        apart = self.collisions.distance(x) > 0
        where = "outside each other" if pose is None else "and the solid apart"
        if not apart or self.collisions.crossing(x) or self.skin.nested(u, x):
            raise UserError(
                f"contact: expected {self.skin.named} {where} at the start, got overlapping or "
                "touching triangles; start further away and let them move in"
            )

    # ---- what came out --------------------------------------------------------------------------

    def wrench(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Float[Tensor, "6"]:
        """Force, N, and moment about the solid's origin, N m, with which the body acts on it."""
        given = self._given(parameters)
        if given.pose is None:
            raise UserError("wrench: expected a contact with a solid; see `push` for two bodies")
        hard = slice(self.skin.count, None)
        push = -self._slope(u, before, parameters)[hard]
        arm = self.vertices(u, given.pose)[hard] - given.pose[:3]
        return torch.cat([push.sum(0), torch.linalg.cross(arm, push).sum(0)])

    def push(
        self, surface: str, u: Tensor, before: Tensor, *parameters: Tensor
    ) -> Float[Tensor, "3"]:
        """Force, N, with which all others act on a named surface."""
        return -self.force(u, before, *parameters)[self.elements.on(surface)].sum(0)

    def distance(self, u: Tensor, pose: Tensor | None = None) -> float:
        """The smallest between two bodies, m, > 0; infinite beyond `dhat`."""
        return self.collisions.distance(self.vertices(u, pose).detach().numpy())


class _Given(NamedTuple):
    """Parameters and memory; poses are None without a solid."""

    pose: Tensor | None
    friction: Tensor
    lag: Tensor
    lag_pose: Tensor | None
    began: Tensor | None

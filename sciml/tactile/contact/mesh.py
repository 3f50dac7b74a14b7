"""Two elastic bodies of one mesh against each other: points of one face triangles of the other.

    Π = Σ_q A_q [ψ_n(g_q) + ψ_t(s_q)]       g = n·(x - Σ_a N_a x_a),    x = X + u

    s = T (s_0 + δ - δ_0)     δ = x - Σ_a N_a x_a,   T = I - n nᵀ     0: at the start of the step

Points q are the nodes of one surface that carry area; which place of the other surface they face,
its weights N_a and the normal n (see `pairing`) stay fixed while a step is solved, so that the gap
is linear in u, its energy convex and the forces on the two bodies opposite to the last digit.
After a solve the pairs are found again; the step is solved once more where that changes the
pressures, as it is for what else lags (see `penalty`). Every solve is differentiated as it was
done, pairs included.

Not here: a body against itself. What a point remembers of its slip does not turn with the bodies.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import contact as law
from sciml.tactile.contact.pairing import Facing, Pairs
from sciml.tactile.contact.penalty import TOUCHING
from sciml.tactile.elements import Elements
from sciml.tactile.parts import bodies
from sciml.tactile.simulator.newton import Unconverged
from sciml.tactile.surface import Surface

#: Share of the reach within which points count as touching in the tangent while none presses, so
#: that bodies which lie on each other do not start as if they were apart.
CLOSE = 1e-7
#: λ (or the lagged pressure), s_0 and what the points face: triangle, weights, normal.
Memory = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@final
@dataclass(frozen=True)
class MeshContact:
    """An external term; its parameter is the coefficient of friction μ.

    Args:
        elements: of both bodies in one mesh (`parts.united`).
        points: surface whose nodes touch; take the finer, softer one.
        facets: surface of the other body that they touch.
        stiffness: ε, Pa/m, see `RigidContact`.
        reach: m; points further away are not looked at in a step. None: an edge of the facets.
        stick: slip before a point slides, m, > 0.
        penetration: m; the augmented Lagrangian goes on until no point is deeper. None: penalty.
        lag: share of the pressure that may have changed since it was lagged.
        refresh: share of the pressure that may change as the pairs are found again.
        solves: of one step, at most.
    """

    elements: Elements
    points: str
    facets: str
    stiffness: float
    reach: float | None = None
    stick: float = 1e-5
    penetration: float | None = None
    lag: float = 0.5
    refresh: float = 0.01
    solves: int = 8

    def __post_init__(self) -> None:
        for name in ("stiffness", "reach", "stick", "penetration", "lag", "refresh"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"contact: expected {name} > 0, got {value!r}")
        body = bodies(self.elements)
        both = [
            set(body[self.elements.mesh.surface(s)].ravel()) for s in (self.points, self.facets)
        ]
        if both[0] & both[1]:
            raise UserError(
                f"contact: expected surfaces of two bodies, got '{self.points}' and "
                f"'{self.facets}' of one; contact of a body with itself is not offered"
            )

    @cached_property
    def nodes(self) -> Int[Tensor, " q"]:
        """The points."""
        return torch.from_numpy(np.flatnonzero(self.elements.surface_weights(self.points)))

    @property
    def areas(self) -> Float[Tensor, " q"]:
        """At rest, m²; differentiable like `Elements.rest`."""
        shaped = self.elements.shaped
        return self.elements.shares(self.points)[self.nodes] if shaped else self._areas

    @cached_property
    def _areas(self) -> Float[Tensor, " q"]:
        return torch.from_numpy(self.elements.surface_weights(self.points))[self.nodes]

    @cached_property
    def facing(self) -> Facing:
        surface = Surface(self.elements, self.facets)
        corners = self.elements.nodes[surface.triangles[:, :3].numpy()]
        longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=-1).max()
        return Facing(surface, self.reach or float(longest))

    @property
    def _rest(self) -> Float[Tensor, "q 3"]:
        return self.elements.rest[self.nodes]

    # ---- which nodes are coupled ----------------------------------------------------------------

    @cached_property
    def pairs(self) -> Int[np.ndarray, "k 2"]:
        """Those that lie in reach at rest."""
        still = torch.zeros(self.elements.n, 3, dtype=torch.float64)
        return self.vicinity(still, *self._found(still).tensors)

    def coupled(self, u: Tensor, *parameters: Tensor) -> Int[np.ndarray, "k 2"]:
        """Those of `blocks`."""
        pairs = Pairs(*parameters[-3:])
        stencil = self._stencil(pairs)[pairs.paired].numpy()
        i, j = np.triu_indices(stencil.shape[1])
        return np.sort(np.stack([stencil[:, i], stencil[:, j]], -1).reshape(-1, 2), axis=1)

    def vicinity(self, u: Tensor, *parameters: Tensor) -> Int[np.ndarray, "k 2"]:
        """Those that may be coupled soon."""
        facet, nodes = parameters[-3], self.nodes.numpy()
        point, other = self.facing.around(facet).T
        ends = np.column_stack([nodes[point], other])
        own = np.column_stack([nodes, nodes])
        return np.unique(np.sort(np.concatenate([ends, own]), axis=1), axis=0)

    # ---- the term -------------------------------------------------------------------------------

    def energy(
        self, u: Tensor, before: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, ""]:
        stored = law.energy(self._gap(u, memory), self.stiffness, self._multiplier(memory))
        limit = friction * memory[0]
        if law.rubs(limit):
            slip = self._slip(u, before, memory)
            stored = stored + law.traction_energy(slip, limit, self.stick)
        return (self.areas * stored).sum()

    def force(
        self, u: Tensor, before: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "n 3"]:
        pairs = Pairs(*memory[2:])
        push = self.areas[:, None] * self.tractions(u, before, friction, *memory)
        back = (pairs.weights[:, :, None] * push[:, None]).reshape(-1, 3)
        found = torch.zeros_like(u).index_add(0, self.nodes, -push)
        return found.index_add(0, self._stencil(pairs)[:, 1:].reshape(-1), back)

    def blocks(
        self, u: Tensor, before: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "k 3 3"]:
        pairs = Pairs(*memory[2:])
        n = pairs.normal
        over = self._multiplier(memory) / self.stiffness - self._gap(u, memory)
        little = CLOSE * self.facing.reach
        touching = over > (0.0 if bool((over > little).any()) else -little)
        found = self.stiffness * touching[:, None, None] * (n[:, :, None] * n[:, None, :])
        limit = friction * memory[0]
        if law.rubs(limit):
            slip = self._slip(u, before, memory)
            found = found + law.traction_slope(slip, limit, self.stick, law.tangential(n))
        found = (self.areas[:, None, None] * found)[pairs.paired]
        signs = torch.cat([torch.ones_like(pairs.weights[:, :1]), -pairs.weights], 1)[pairs.paired]
        i, j = torch.triu_indices(signs.shape[1], signs.shape[1])
        return ((signs[:, i] * signs[:, j])[..., None, None] * found[:, None]).reshape(-1, 3, 3)

    # ---- memory ---------------------------------------------------------------------------------

    def start(self, u: Tensor, friction: Tensor) -> Memory:
        """The memory at the initial state.

        Raises:
            UserError: the bodies overlap.
        """
        pairs = self._found(u)
        nothing = torch.zeros(len(self.nodes), dtype=u.dtype)
        memory = (nothing, nothing[:, None].expand(-1, 3), *pairs.tensors)
        deepest = -float(self._gap(u, memory).detach().min())
        if deepest > TOUCHING:
            raise UserError(
                f"contact: expected '{self.points}' outside '{self.facets}' at the start, got it "
                f"{deepest:.3g} m inside; start further away and let it move in"
            )
        return memory

    def again(
        self, u: Tensor, parameters: tuple[Tensor, ...], memory: Memory, solves: int
    ) -> Memory | None:
        """The memory with which the step is solved once more, or None."""
        if solves >= self.solves:
            return None
        renewed = (*memory[:2], *self._found(u).tensors)
        p, q = (
            law.pressure(self._gap(u, one), self.stiffness, self._multiplier(memory))
            for one in (memory, renewed)
        )
        whole = float((self.areas * p).detach().sum())
        turned = float((self.areas * (q - p)).detach().abs().sum()) > self.refresh * whole
        changed = float((self.areas * (p - memory[0])).detach().abs().sum())
        lagging = law.rubs(parameters[0]) and changed > self.lag * whole and solves < 2
        depth = -float(self._gap(u, renewed).detach().min())
        inside = self.penetration is not None and depth > self.penetration
        return (p, *renewed[1:]) if turned or lagging or inside else None

    def after(
        self, u: Tensor, before: Tensor, parameters: tuple[Tensor, ...], memory: Memory
    ) -> Memory:
        """The memory at the end of a step.

        Raises:
            Unconverged: the bodies moved so far against each other that contacts may be missed.
        """
        self._refuse_leaps(u.detach() - before.detach())
        p = law.pressure(self._gap(u, memory), self.stiffness, self._multiplier(memory))
        slip = law.stuck(self._slip(u, before, memory), self.stick)
        return p, torch.where((p > 0)[:, None], slip, 0.0), *self._found(u).tensors

    # ---- what came out --------------------------------------------------------------------------

    def tractions(
        self, u: Tensor, before: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "q 3"]:
        """Force per area at rest, Pa, with which the facets act on the points."""
        p = law.pressure(self._gap(u, memory), self.stiffness, self._multiplier(memory))
        found = p[:, None] * memory[4]
        limit = friction * memory[0]
        if law.rubs(limit) or limit.requires_grad:
            found = found - law.traction(self._slip(u, before, memory), limit, self.stick)
        return found

    def push(
        self, u: Tensor, before: Tensor, friction: Tensor, *memory: Tensor
    ) -> Float[Tensor, "3"]:
        """Force, N, with which the facets' body acts on that of the points."""
        return (self.areas[:, None] * self.tractions(u, before, friction, *memory)).sum(0)

    def gaps(self, u: Tensor) -> Float[Tensor, " q"]:
        """g at the points as they lie, m; the reach where nothing is nearer."""
        found = self._found(u)
        nothing = torch.zeros(len(self.nodes), dtype=u.dtype)
        return self._gap(u, (nothing, nothing, *found.tensors))

    # ---- inner ----------------------------------------------------------------------------------

    def _found(self, u: Tensor) -> Pairs:
        return self.facing.pairs(self._rest + u[self.nodes], u)

    def _apart(self, u: Tensor, pairs: Pairs) -> Float[Tensor, "q 3"]:
        """δ."""
        return self._rest + u[self.nodes] - self.facing.place(u, pairs)

    def _gap(self, u: Tensor, memory: tuple[Tensor, ...]) -> Float[Tensor, " q"]:
        pairs = Pairs(*memory[2:])
        gap = (pairs.normal * self._apart(u, pairs)).sum(1)
        return torch.where(pairs.paired, gap, self.facing.reach)

    def _slip(self, u: Tensor, before: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        pairs = Pairs(*memory[2:])
        way = memory[1] + self._apart(u, pairs) - self._apart(before, pairs)
        along = (law.tangential(pairs.normal) @ way[:, :, None])[:, :, 0]
        return torch.where(pairs.paired[:, None], along, 0.0)

    def _multiplier(self, memory: tuple[Tensor, ...]) -> Tensor:
        return memory[0] if self.penetration is not None else torch.zeros_like(memory[0])

    def _stencil(self, pairs: Pairs) -> Int[Tensor, "q nodes"]:
        nodes = self.facing.surface.triangles[pairs.facet.clamp(min=0)]
        return torch.cat([self.nodes[:, None], nodes], 1)

    def _refuse_leaps(self, way: Tensor) -> None:
        """A step in which points may have come from out of reach and gone in."""
        points, facets = way[self.nodes], way[self.facing.surface.nodes]
        middle = facets.mean(0)
        if float((points - middle).norm(dim=1).max()) > self.facing.reach + float(
            (facets - middle).norm(dim=1).max()
        ):
            raise Unconverged(
                "the bodies move against each other further than the contact's reach of "
                f"{self.facing.reach:.3g} m"
            )

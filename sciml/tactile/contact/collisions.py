"""Triangles that must not pass each other: barrier, friction and ways between states, by ipctk.

    B(x) = κ d̂ Σ_k A_k b(d_k/d̂)     b(r) = -(r² - 1)² ln r²  for 0 < r < 1,   0 beyond

    D(x) = μ Σ_k A_k N_k f₀(|s_k|)     s = T_kᵀ (x - x_0),   f₀' = 2 s/a - (s/a)²  below a, 1 beyond

k runs over pairs of a vertex and a triangle and of two edges, of different bodies and nearer than
d̂; areas A_k, m², are such that a gap between two surfaces has the energy κ d̂ b per area, once.
B grows beyond all bounds as a distance d goes to zero. N and T are those at lagged positions.

symbol   meaning                                                        unit
x, x_0   positions of the vertices, at the end and start of a step      m
d̂        distance at which the barrier begins                           m
κ        stiffness: a pressure κ b'(r) is borne at the distance r d̂     Pa
a        slip in a step at which a point begins to slide                m

This is the one door to ipctk (extra `barrier`).

Source: M. Li et al., ACM Trans. Graph. 39 (2020) 49 (barrier, friction); M. Li et al., Convergent
incremental potential contact, arXiv:2307.15908 (2023) (areas and physical units).
"""

from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csc_matrix
from torch import Tensor

from sciml.contracts import UserError

if TYPE_CHECKING:
    import ipctk


@final
class Collisions:
    """All that depends on the positions of the vertices only.

    Args:
        rest: `[v, 3]` positions at rest, m, from which areas are taken.
        triangles: `[k, 3]` vertices.
        body: `[v]` number of each vertex's body; a body does not collide with itself.
        dhat, stiffness, stick: d̂, κ and a.

    Raises:
        UserError: ipctk is not installed.
    """

    def __init__(
        self,
        rest: Float[np.ndarray, "v 3"],
        triangles: Int[np.ndarray, "k 3"],
        body: Int[np.ndarray, " v"],
        dhat: float,
        stiffness: float,
        stick: float,
    ) -> None:
        self.ipctk = ipc = _door()
        self.dhat = dhat
        triangles = triangles.astype(np.int32)
        self.edges = ipc.edges(triangles)
        self.mesh = ipc.CollisionMesh(np.asfortranarray(rest), self.edges, triangles)
        self.mesh.can_collide = ipc.make_vertex_patches_filter(body.astype(np.int32))
        #: Longest edge at rest, m.
        self.edge = float(ipc.max_edge_length(rest, rest, self.edges))
        self.barrier = ipc.BarrierPotential(dhat, stiffness, True)
        self.friction = ipc.FrictionPotential(stick)
        self._near: tuple[bytes, Any] = (b"", None)
        self._rubbing: tuple[bytes, Any] = (b"", None)

    # ---- barrier --------------------------------------------------------------------------------

    def near(self, x: Float[np.ndarray, "v 3"]) -> "ipctk.NormalCollisions":
        """The pairs nearer than d̂; found once for the many calls with the same x."""
        key = x.tobytes()
        if self._near[0] != key:
            self._near = key, self._within(x, self.dhat)
        return self._near[1]

    def energy(self, x: Float[np.ndarray, "v 3"]) -> float:
        """B, J."""
        return self.barrier(self.near(x), self.mesh, _columns(x))

    def slope(self, x: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """∂B/∂x, N."""
        return self.barrier.gradient(self.near(x), self.mesh, _columns(x)).reshape(-1, 3)

    def curvature(self, x: Float[np.ndarray, "v 3"], convex: bool = False) -> csc_matrix:
        """∂²B/∂x² `[3 v, 3 v]`, N/m; `convex`: without negative eigenvalues, pair by pair."""
        kind = self.ipctk.PSDProjectionMethod
        method = kind.CLAMP if convex else kind.NONE
        return self.barrier.hessian(self.near(x), self.mesh, _columns(x), method)

    # ---- friction, with μ = 1 -------------------------------------------------------------------

    def rubbing(self, lagged: Float[np.ndarray, "v 3"]) -> "ipctk.TangentialCollisions":
        """The pairs that rub, with their normal forces and tangents at lagged positions."""
        key = lagged.tobytes()
        if self._rubbing[0] != key:
            found = self.ipctk.TangentialCollisions()
            x = _columns(lagged)
            found.build(self.mesh, x, self._within(lagged, self.dhat), self.barrier, 1.0)
            self._rubbing = key, found
        return self._rubbing[1]

    def rubbed(self, way: Float[np.ndarray, "v 3"], lagged: Float[np.ndarray, "v 3"]) -> float:
        """D, J; `way` is x - x_0."""
        return self.friction(self.rubbing(lagged), self.mesh, _columns(way))

    def rub_slope(
        self, way: Float[np.ndarray, "v 3"], lagged: Float[np.ndarray, "v 3"]
    ) -> Float[np.ndarray, "v 3"]:
        """∂D/∂x, N."""
        found = self.friction.gradient(self.rubbing(lagged), self.mesh, _columns(way))
        return found.reshape(-1, 3)

    def rub_curvature(
        self, way: Float[np.ndarray, "v 3"], lagged: Float[np.ndarray, "v 3"], convex: bool = False
    ) -> csc_matrix:
        """∂²D/∂x², N/m."""
        kind = self.ipctk.PSDProjectionMethod
        method = kind.CLAMP if convex else kind.NONE
        return self.friction.hessian(self.rubbing(lagged), self.mesh, _columns(way), method)

    def rub_lag(
        self, way: Float[np.ndarray, "v 3"], lagged: Float[np.ndarray, "v 3"]
    ) -> csc_matrix:
        """∂²D/∂x∂(lagged positions), N/m; not symmetric."""
        rest = self.mesh.rest_positions
        return -self.friction.force_jacobian(
            self.rubbing(lagged),
            self.mesh,
            rest,
            _columns(lagged - rest),
            _columns(way),
            self.barrier,
            self.ipctk.FrictionPotential.DiffWRT.LAGGED_DISPLACEMENTS,
        )

    # ---- which and whether ----------------------------------------------------------------------

    def stencils(self, x: np.ndarray, lagged: np.ndarray | None = None) -> Int[np.ndarray, "p 4"]:
        """Vertices of every pair that the curvatures couple, -1 where there are fewer than four."""
        sets = [self.near(x)] + ([self.rubbing(lagged)] if lagged is not None else [])
        faces = self.mesh.faces
        rows = [s[i].vertex_ids(self.edges, faces) for s in sets for i in range(len(s))]
        return np.array(rows, dtype=np.int64).reshape(-1, 4)

    def stencils_within(self, x: np.ndarray, distance: float) -> Int[np.ndarray, "p 4"]:
        """Vertices of every pair that a distance, m, bounds."""
        found = self.ipctk.Candidates()
        found.build(self.mesh, _columns(x), distance / 2)
        faces = self.mesh.faces
        both = (found.fv_candidates, found.ee_candidates)
        rows = [one.vertex_ids(self.edges, faces) for some in both for one in some]
        return np.array(rows, dtype=np.int64).reshape(-1, 4)

    def distance(self, x: np.ndarray) -> float:
        """Between the two bodies nearest to each other, m; infinite beyond d̂."""
        return float(np.sqrt(self.near(x).compute_minimum_distance(self.mesh, _columns(x))))

    def crossing(self, x: Float[np.ndarray, "v 3"]) -> bool:
        """Whether triangles of different bodies cut each other."""
        return self.ipctk.has_intersections(self.mesh, _columns(x))

    def free_share(self, start: np.ndarray, end: np.ndarray) -> float:
        """Share of the straight way of all vertices on which none passes a triangle."""
        method = self.ipctk.AdditiveCCD()
        return self.ipctk.compute_collision_free_stepsize(
            self.mesh, _columns(start), _columns(end), narrow_phase_ccd=method
        )

    def _within(self, x: np.ndarray, distance: float) -> "ipctk.NormalCollisions":
        found = self.ipctk.NormalCollisions()
        found.use_area_weighting = True
        found.collision_set_type = self.ipctk.NormalCollisions.IMPROVED_MAX_APPROX
        found.build(self.mesh, _columns(x), distance)
        return found


def pressed(x: Float[Tensor, "v 3"], collisions: Collisions) -> Float[Tensor, "v 3"]:
    """∂B/∂x, N, differentiable by torch."""
    return _Pressed.apply(x, collisions)


def rubbed(
    x: Float[Tensor, "v 3"],
    start: Float[Tensor, "v 3"],
    lagged: Float[Tensor, "v 3"],
    collisions: Collisions,
) -> Float[Tensor, "v 3"]:
    """∂D/∂x with μ = 1, N, differentiable by torch."""
    return _Rubbed.apply(x - start, lagged, collisions)


@final
class _Pressed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, collisions: Collisions) -> Tensor:
        ctx.collisions = collisions
        ctx.save_for_backward(x)
        return torch.from_numpy(collisions.slope(x.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _Product.apply(g, ctx.collisions.curvature(x.detach().numpy())), None


@final
class _Rubbed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, way: Tensor, lagged: Tensor, collisions: Collisions) -> Tensor:
        ctx.collisions = collisions
        ctx.save_for_backward(way, lagged)
        return torch.from_numpy(collisions.rub_slope(way.detach().numpy(), lagged.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        way, lagged = (value.detach().numpy() for value in ctx.saved_tensors)
        found: list[Tensor | None] = [None, None]
        if ctx.needs_input_grad[0]:
            found[0] = _Product.apply(g, ctx.collisions.rub_curvature(way, lagged))
        if ctx.needs_input_grad[1]:
            found[1] = _Product.apply(g, ctx.collisions.rub_lag(way, lagged).T)
        return found[0], found[1], None


@final
class _Product(torch.autograd.Function):
    """A g of a sparse matrix that is constant, so that a slope of the slope can be taken along."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, A: Any) -> Tensor:
        ctx.A = A
        return torch.from_numpy(A @ g.detach().numpy().reshape(-1)).reshape(g.shape)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, None]:
        return _Product.apply(h, ctx.A.T), None


def _columns(x: np.ndarray) -> np.ndarray:
    return np.asfortranarray(x)


def _door() -> Any:
    try:
        import ipctk
    except ImportError as error:
        raise UserError(
            f"contact by a barrier: expected ipctk, got '{error}'; install the extra: "
            "pip install 'sciml-suite[barrier]'"
        ) from None
    ipctk.set_num_threads(1)  # sums by several threads differ in their last digits
    return ipctk

"""One step as a differentiable function: Newton forward, one linear solve backward.

    u, R = step(X, û, c, u_D, u_before, θ)   r(u; X, û, c, u_before, θ) = 0 at free nodes, R = r
                                             at held ones

For cotangents g of u and h of R, with λ = -h at held nodes and K_ff λ_f = g_f + K_fD h,

    dθ = -λ·∂r/∂θ      du_before = -λ·∂r/∂u_before      du_D = g_D - (K λ)_D
    dû = c M λ         dc = -λ·M (u - û)     dX = -λ·∂r/∂X, if the elements' positions ask for it

A body with pressures has them in u, r and λ, and a saddle for K. Nothing but u and what the step
was given is stored from the forward pass.

Source: D. A. Tortorelli, P. Michaleris, Inverse Problems Eng. 1 (1994) 71-105 (adjoint method).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.tactile.materials import AnySolid, Material, MixedSolid
from sciml.tactile.simulator.balance import Balance
from sciml.tactile.simulator.body import Body
from sciml.tactile.simulator.geometry import cells
from sciml.tactile.simulator.mixed import MixedBalance
from sciml.tactile.simulator.newton import AnyBalance, AnySolver, Newton
from sciml.tactile.simulator.solver import superlu

#: Share of the largest right side met so far to which adjoint systems are solved.
ADJOINT = 1e-9


@final
@dataclass
class Adjoint:
    """The solver of the adjoint systems, and the largest right side met so far."""

    solver: AnySolver
    cotangent: float = 0.0

    def __call__(self, K: csr_matrix, right: np.ndarray) -> np.ndarray:
        """λ of K λ = right, as accurate as the largest right side so far deserves."""
        size = float(np.linalg.norm(right))
        self.cotangent = max(self.cotangent, size)
        accuracy = min(1e-2, ADJOINT * self.cotangent / size)
        try:
            return self.solver(K, right, accuracy)
        except RuntimeError:  # an unstable balance: PARDISO asks for a positive definite matrix
            return superlu(K)(right)


@final
@dataclass
class March:
    """What the steps of one simulation share: solvers, and the largest force met so far.

    Attributes:
        iterations: Newton iterations of every step taken.
        force: largest force, N.
    """

    body: Body
    newton: Newton
    forward: AnySolver
    adjoint: Adjoint
    iterations: list[int] = field(default_factory=list)
    force: float = 0.0


#: Where Newton's method may begin, of the balance and the held nodes' motion.
Starts = Callable[[AnyBalance, Tensor], Iterator[np.ndarray]]


@final
@dataclass(frozen=True)
class Step:
    """One step's plain settings: its law, and how its inputs divide."""

    march: March
    law: Callable[..., AnySolid]
    materials: int
    terms: tuple[int, ...]


def advance(
    step: Step,
    starts: Starts,
    material: Material,
    drift: Tensor,
    inertia: Tensor,
    motion: Tensor,
    before: Tensor,
    parameters: tuple[tuple[Tensor, ...], ...],
) -> tuple[Tensor, Tensor, Tensor]:
    """u `[n, 3]` after the step, the forces `[h, 3]`, N, that hold the held nodes, and p.

    Args:
        step: its settings.
        starts: where Newton's method may begin.
        material: of the body.
        drift: û `[n, 3]`.
        inertia: c times the density, kg m⁻³ s⁻²; zero in statics.
        motion: `[h, 3]` displacements of the held nodes after the step.
        before: `[n, 3]` displacement before the step.
        parameters: of the external terms after the step.

    Returns:
        p: `[c]`, Pa, of the corners; empty without a pressure field.

    Raises:
        Unconverged: no balance was found.
    """
    flat = [value for values in parameters for value in values]
    shape = step.march.body.elements.positions
    given = drift, inertia, motion, before, *material.parameters, *flat
    return _Advance.apply(step, starts, shape, *given)


@final
class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, step: Step, starts: Starts, shape: Tensor | None, *inputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        march = step.march
        balance = _balance(step, *(value.detach() for value in inputs))
        begin = starts(balance, inputs[2].detach())
        at, iterations = march.newton(balance, begin, march.forward, march.force)
        march.iterations.append(iterations)
        march.force = max(march.force, at.force_scale)
        u, p = (torch.from_numpy(part) for part in balance.parts(at.u))
        forces = at.residual.reshape(-1)[march.body.pattern.held]
        ctx.step = step
        moves = ctx.needs_input_grad[2] or ctx.needs_input_grad[4]
        drift = inputs[0] if moves else u  # its value is needed for dX and dc alone
        ctx.save_for_backward(u, p, drift, *inputs[1:])
        return u, torch.from_numpy(march.body.at_nodes(forces)), p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, h: Tensor, g_p: Tensor) -> tuple[Tensor | None, ...]:
        u, p, drift, *given = ctx.saved_tensors
        step: Step = ctx.step
        body = step.march.body
        balance = _balance(step, drift.detach(), *(value.detach() for value in given))
        F = body.elements.deformation(u.numpy())
        at = balance.joined(u.numpy(), p.numpy())
        tangent = balance.tangent(at, F)
        rows, free = balance.of_held(tangent), balance.free
        g_u = balance.cotangent(g.numpy(), g_p.numpy()).reshape(-1)
        held = -h.numpy().reshape(-1)[body.components]
        right = (g_u - rows.T @ held)[free]
        lam = np.zeros(at.size)
        lam[body.pattern.held] = held
        if right.any():
            lam[free] = step.march.adjoint(balance.among_free(tangent), right)
        d_motion = torch.from_numpy(body.at_nodes(g_u[body.pattern.held] - rows @ lam))
        pulled = torch.from_numpy(body.mass @ lam[: u.numel()].reshape(-1, 3))
        d_drift = given[0] * pulled if given[0] else None
        d_inertia = -(pulled * (u - drift)).sum() if ctx.needs_input_grad[4] else None
        d_shape, *slopes = _slopes(ctx, balance, F, at, lam, *given[2:])
        return (None, None, d_shape, d_drift, d_inertia, d_motion, *slopes)


def _balance(step: Step, drift: Tensor, inertia: Tensor, *rest: Tensor) -> AnyBalance:
    """The balance with the inputs of the function, in their order."""
    _, before, *parameters = rest
    solid = step.law(*parameters[: step.materials])
    values, parts = iter(parameters[step.materials :]), []
    for count in step.terms:
        parts.append(tuple(next(values) for _ in range(count)))
    body = step.march.body
    given = float(inertia), drift.numpy(), before, tuple(parts)
    if not isinstance(solid, MixedSolid):
        return Balance(body, solid, *given)
    scale = solid.shear_modulus() / body.pressure.size
    return MixedBalance(Balance(body, solid.under(torch.zeros(()).double()), *given), solid, scale)


def _slopes(
    ctx: Any, balance: AnyBalance, F: Tensor, at: np.ndarray, lam: np.ndarray, *given: Tensor
) -> list[Tensor | None]:
    """-λ·∂r/∂(X, u_before, parameters), by torch through stresses and external forces."""
    step, body, wanted = ctx.step, balance.body, ctx.needs_input_grad[6:]
    inputs = [
        value.detach().requires_grad_(wants) for value, wants in zip(given, wanted, strict=True)
    ]
    asked = [value for value in inputs if value.requires_grad]
    positions = body.elements.positions if ctx.needs_input_grad[2] else None
    if not asked and positions is None:
        return [None] * (1 + len(inputs))
    values = inputs[1 : 1 + step.materials]
    u = torch.from_numpy(balance.parts(at)[0])
    adjoint = torch.from_numpy(lam[: u.numel()].reshape(-1, 3))
    work = inputs[0].new_zeros(())
    with torch.enable_grad():
        if positions is not None:
            work = work - _shape_work(balance, step.law(*values), u, adjoint, at, lam)
        elif any(value.requires_grad for value in values):
            along = body.elements.deformation(adjoint.numpy()) - torch.eye(3, dtype=u.dtype)
            weights = body.elements.weights_tensor
            work = work - balance.work(step.law(*values), F, along, weights, at, lam)
        rest = iter(inputs[1 + step.materials :])
        for term, count in zip(body.terms, step.terms, strict=True):
            own = [next(rest) for _ in range(count)]
            work = work - (adjoint * term.force(u, inputs[0], *own)).sum()
    if not work.requires_grad:
        return [None] * (1 + len(inputs))
    whole = asked if positions is None else [positions, *asked]
    found = iter(torch.autograd.grad(work, whole, allow_unused=True))
    d_shape = None if positions is None else next(found)
    return [d_shape, *(next(found) if value.requires_grad else None for value in inputs)]


def _shape_work(
    balance: AnyBalance,
    solid: AnySolid,
    u: Tensor,
    adjoint: Tensor,
    at: np.ndarray,
    lam: np.ndarray,
) -> Tensor:
    """λ·r without external terms, by torch through the constants of `solid` and X.

    Args:
        balance, solid: of the step.
        u, adjoint: displacements and their part of λ `[n, 3]`.
        at, lam: all unknowns and λ.
    """
    shape = cells(balance.body.elements)
    F = shape.gradient(u) + torch.eye(3, dtype=u.dtype)
    found = balance.work(solid, F, shape.gradient(adjoint), shape.weights, at, lam)
    if balance.inertia:
        moved = u - torch.from_numpy(balance.drift)
        found = found + balance.inertia * shape.inertia(adjoint, moved)
    return found

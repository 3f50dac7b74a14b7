"""One step as a differentiable function: Newton forward, one linear solve backward.

    u, R = step(û, u_D, u_before, θ)      r(u; û, u_before, θ) = 0 at free nodes, R = r at held ones

For cotangents g of u and h of R, with λ = -h at held nodes and K_ff λ_f = g_f + K_fD h,

    dθ = -λ·∂r/∂θ      dû = c M λ      du_before = -λ·∂r/∂u_before      du_D = g_D - (K λ)_D

Nothing but u and the parameters is stored from the forward pass.

Source: D. A. Tortorelli, P. Michaleris, Inverse Problems Eng. 1 (1994) 71-105 (adjoint method).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.tactile.materials import Material, Solid
from sciml.tactile.simulator.balance import Balance, Body
from sciml.tactile.simulator.newton import Newton
from sciml.tactile.simulator.solver import Solver, superlu

#: Share of the largest right side met so far to which adjoint systems are solved.
ADJOINT = 1e-10


@final
@dataclass
class March:
    """What the steps of one simulation share: solvers, and the largest loads met so far.

    Attributes:
        iterations: Newton iterations of every step taken.
        force: largest force, N.
        cotangent: largest right side of an adjoint system.
    """

    body: Body
    law: Callable[..., Solid]
    newton: Newton
    forward: Solver
    backward: Solver
    iterations: list[int] = field(default_factory=list)
    force: float = 0.0
    cotangent: float = 0.0

    def adjoint(self, K: csr_matrix, right: np.ndarray) -> np.ndarray:
        """λ of K λ = right, as accurate as the largest right side so far deserves."""
        size = float(np.linalg.norm(right))
        self.cotangent = max(self.cotangent, size)
        accuracy = min(1e-2, ADJOINT * self.cotangent / size)
        try:
            return self.backward(K, right, accuracy)
        except RuntimeError:  # an unstable balance: PARDISO asks for a positive definite matrix
            return superlu(K)(right)


@final
@dataclass(frozen=True)
class Step:
    """One step's plain settings: c ρ, where Newton's method starts, and how its inputs divide."""

    march: March
    inertia: float
    starts: Callable[[Balance, Tensor], Any]
    materials: int
    terms: tuple[int, ...]


def advance(
    step: Step,
    material: Material,
    drift: Tensor,
    motion: Tensor,
    before: Tensor,
    parameters: tuple[tuple[Tensor, ...], ...],
) -> tuple[Tensor, Tensor]:
    """u `[n, 3]` after the step and the forces `[h, 3]`, N, that hold the held nodes.

    Args:
        step: its settings.
        material: of the body.
        drift: û `[n, 3]`.
        motion: `[h, 3]` displacements of the held nodes after the step.
        before: `[n, 3]` displacement before the step.
        parameters: of the external terms after the step.

    Raises:
        Unconverged: no balance was found.
    """
    flat = [value for values in parameters for value in values]
    return _Advance.apply(step, drift, motion, before, *material.parameters, *flat)


@final
class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, step: Step, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        march = step.march
        balance = _balance(step, *(value.detach() for value in inputs))
        starts = step.starts(balance, inputs[1].detach())
        at, iterations = march.newton(balance, starts, march.forward, march.force)
        march.iterations.append(iterations)
        march.force = max(march.force, at.force_scale)
        u = torch.from_numpy(at.u)
        forces = at.residual.reshape(-1)[march.body.pattern.held]
        ctx.step = step
        ctx.save_for_backward(u, *inputs[1:])  # û enters r linearly: its value is not needed
        return u, torch.from_numpy(march.body.at_nodes(forces))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor | None, ...]:
        u, motion, before, *parameters = ctx.saved_tensors
        step: Step = ctx.step
        body = step.march.body
        pattern = body.pattern
        detached = [value.detach() for value in (motion, before, *parameters)]
        balance = _balance(step, u.detach(), *detached)
        F = body.elements.deformation(u.numpy())
        blocks = balance.tangent(u.numpy(), F)
        rows = pattern.of_held(blocks)
        g_u, held = g.numpy().reshape(-1), -h.numpy().reshape(-1)[body.components]
        right = (g_u - rows.T @ held)[pattern.free]
        lam = np.zeros(u.shape)
        lam.reshape(-1)[pattern.held] = held
        if right.any():
            lam.reshape(-1)[pattern.free] = step.march.adjoint(pattern.among_free(blocks), right)
        d_motion = body.at_nodes(g_u[pattern.held] - rows @ lam.reshape(-1))
        d_drift = torch.from_numpy(step.inertia * (body.mass @ lam)) if step.inertia else None
        slopes = _parameter_slopes(ctx, balance, F, u, lam, before, parameters)
        return (None, d_drift, torch.from_numpy(d_motion), *slopes)


def _balance(step: Step, drift: Tensor, *rest: Tensor) -> Balance:
    """The balance with the inputs of the function, in their order."""
    _, before, *parameters = rest
    solid = step.march.law(*parameters[: step.materials])
    values, parts = iter(parameters[step.materials :]), []
    for count in step.terms:
        parts.append(tuple(next(values) for _ in range(count)))
    body = step.march.body
    return Balance(body, solid, step.inertia, drift.numpy(), before, tuple(parts))


def _parameter_slopes(
    ctx: Any,
    balance: Balance,
    F: Tensor,
    u: Tensor,
    lam: np.ndarray,
    before: Tensor,
    parameters: list[Tensor],
) -> list[Tensor | None]:
    """-λ·∂r/∂(u_before, parameters), by torch through stresses and external forces."""
    step, body = ctx.step, balance.body
    wanted = ctx.needs_input_grad[3:]
    inputs = [
        value.detach().requires_grad_(wants)
        for value, wants in zip((before, *parameters), wanted, strict=True)
    ]
    if not any(wanted):
        return [None] * len(inputs)
    values = inputs[1 : 1 + step.materials]
    work = inputs[0].new_zeros(())
    with torch.enable_grad():
        if any(value.requires_grad for value in values):
            gradient = body.elements.deformation(lam) - torch.eye(3, dtype=torch.float64)
            weighted = gradient * body.elements.weights_tensor[..., None, None]
            work = work - (weighted * step.march.law(*values).stress(F)).sum()
        rest = iter(inputs[1 + step.materials :])
        adjoint = torch.from_numpy(lam)
        for term, count in zip(body.terms, step.terms, strict=True):
            own = [next(rest) for _ in range(count)]
            work = work - (adjoint * term.force(u.detach(), inputs[0], *own)).sum()
    asked = [value for value in inputs if value.requires_grad]
    if not work.requires_grad:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad(work, asked, allow_unused=True))
    return [next(found) if value.requires_grad else None for value in inputs]

"""AMSE of one field from coefficients by degree, and its slope by hand.

With ε the coefficients of e = f - t, α those of t, and by degree P_e = Σ|ε|², X = Σ Re ε conj α,
P_t = Σ|α|²:

    P_f = P_t + D,   D = 2X + P_e,   d = √P_f - √P_t = D / (√P_f + √P_t)
    AMSE = P_e + I R,    I = P_e - d² = 2 √(P_f P_t) (1 - C),    R = max(P_f, P_t) / √(P_f P_t) - 1

No difference of large numbers is taken, and R = |d| / min(√P_f, √P_t). The slopes, with P_t fixed:

    ∂d/∂D = 1 / 2√P_f,   ∂R/∂D = 1 / 2√(P_f P_t) where d > 0,  -√P_t / 2 P_f^{3/2} where d < 0
    ∂AMSE/∂P_e = 1 + R + g,   ∂AMSE/∂X = 2 g,    g = I ∂R/∂D - R d / √P_f

By hand they cost a fifth less of the whole loss than recorded step by step: arrays by degree are
so small that recording is what they cost. `test_spectral` compares the two.
"""

from collections.abc import Callable
from math import pi
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Of two powers; their maximum gives AMSE, their geometric mean the mean square.
MeanOfTwo = Callable[[Tensor, Tensor], Tensor]


def recorded(
    error: Float[Tensor, "*b c cell"],
    epsilon: Float[Tensor, "*b c l m 2"],
    alpha: Float[Tensor, "*b c l m 2"],
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    floor: float,
    mean: MeanOfTwo = torch.maximum,
) -> Float[Tensor, "*b c"]:
    """Σ_l γ_l AMSE_l / 4π + γ_T (⟨e²⟩ - Σ_l P_e / 4π) in units of σ², for any mean of two powers.

    Args:
        error: e on the grid.
        epsilon: its coefficients for m >= 0.
        alpha: those of t.
        weights: areas `[cell]`; 1 or 2 `[m, 1]`, for m and -m; 1/σ² `[c]`; γ `[c or 1, l]`.
        floor: added to the powers of f and t, in units of σ².
        mean: of P_f and P_t.
    """
    area, twice, unit, gamma = weights
    products = (epsilon.square(), epsilon * alpha, alpha.square())
    sums = ((both * twice).sum((-2, -1)) * unit[:, None] for both in products)
    of_error, shared, truth = sums
    difference = 2 * shared + of_error
    power_f, power_t = (truth + difference).clamp_min(0) + floor, truth + floor
    root_f, root_t = power_f.sqrt(), power_t.sqrt()
    incoherent = (of_error - (difference / (root_f + root_t)).square()).clamp_min(0)
    extra = incoherent * (mean(power_f, power_t) / (root_f * root_t) - 1)
    extra = torch.cat([torch.zeros_like(extra[..., :1]), extra[..., 1:]], dim=-1)
    last = gamma[:, -1]
    spectral = ((gamma - last[:, None]) * of_error + gamma * extra).sum(-1) / (4 * pi)
    return last * unit * (error.square() @ area) + spectral


@final
class ByHand(torch.autograd.Function):
    """`recorded` with the maximum; slopes with respect to e and ε alone."""

    @staticmethod
    def forward(
        ctx: Any,
        error: Tensor,
        epsilon: Tensor,
        alpha: Tensor,
        weights: tuple[Tensor, Tensor, Tensor, Tensor],
        floor: float,
    ) -> Tensor:
        area, twice, unit, gamma = weights
        weighed, epsilon2, alpha2 = error * area, epsilon * twice, alpha * twice
        of_error = (epsilon2 * epsilon).sum((-2, -1)) * unit[:, None]
        power_t = (alpha2 * alpha).sum((-2, -1)) * unit[:, None] + floor
        difference = 2 * unit[:, None] * (alpha2 * epsilon).sum((-2, -1)) + of_error
        power_f = (power_t + difference).clamp_min(floor)
        root_f, root_t = power_f.sqrt(), power_t.sqrt()
        d = difference / (root_f + root_t)
        incoherent = (of_error - d.square()).clamp_min(0)  # rounding: C <= 1
        ratio = d.abs() / torch.minimum(root_f, root_t)
        turn = torch.where(d > 0, 0.5 / (root_f * root_t), -0.5 * root_t / (power_f * root_f))
        ratio[..., 0], turn[..., 0] = 0, 0
        last = gamma[:, -1]
        slope = gamma * (incoherent * turn - ratio * d / root_f)
        along = gamma + gamma * ratio + slope - last[:, None]
        scale = unit[:, None] / (2 * pi)
        ctx.save_for_backward(
            weighed, epsilon2, alpha2, 2 * last * unit, along * scale, slope * scale
        )
        spectral = (gamma - last[:, None]) * of_error + gamma * incoherent * ratio
        return last * unit * (weighed * error).sum(-1) + spectral.sum(-1) / (4 * pi)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        weighed, epsilon2, alpha2, whole, along, across = ctx.saved_tensors
        of_error = weighed * (slope * whole)[..., None]
        along, across = ((slope[..., None] * part)[..., None, None] for part in (along, across))
        of_epsilon = torch.addcmul(alpha2 * across, epsilon2, along)
        return of_error, of_epsilon, None, None, None

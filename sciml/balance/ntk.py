"""Weights from the neural tangent kernel: terms with a small kernel learn slowly, so they gain."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from sciml.balance.base import NamedTensors, by_name, require, seed_of, vector
from sciml.contracts import Step, Weights


@final
class NTK(nn.Module):
    """λ_k = Σ_j t_j / t_k with t_k = tr(J_k J_kᵀ)/n_k, the mean square of a residual's gradient.

    J_k [n_k, P] is the Jacobian of the residuals of term k. With equally many points in all terms
    this is the source's tr(K)/tr(K_kk); with means the number of points does not matter. Where a
    Jacobian is known already (least squares) its traces are free; otherwise they are estimated:
    E |J_kᵀ v|² = tr(J_k J_kᵀ) over random signs v (Hutchinson). Where the objective has signs that
    ranks agree on (`contracts.Signed`), J_kᵀ v is averaged over ranks before it is squared; else
    the traces are.

    Args:
        alpha: share of the new estimate in the moving average of λ, in (0, 1].
        every: steps between updates, >= 1.
        probes: random vectors per term, >= 1.

    Raises:
        UserError: the objective has no residuals.

    Source: S. Wang, X. Yu, P. Perdikaris, "When and why PINNs fail to train: a neural tangent
    kernel perspective", J. Comput. Phys. 449 (2022) 110768, Algorithm 1; signs: M. Hutchinson,
    Commun. Stat. Simul. Comput. 18 (1989) 1059.
    Cost: nothing beside a Jacobian; else one evaluation of the residuals and K·probes backward
    passes, every `every` steps.
    """

    needs = "residuals"

    def __init__(self, alpha: float = 0.1, every: int = 100, probes: int = 1) -> None:
        super().__init__()
        require("alpha", alpha, above=0, most=1)
        require("every", every, least=1)
        require("probes", probes, least=1)
        self.alpha, self.every, self.probes = alpha, every, probes
        self.weights = NamedTensors()

    def forward(self, step: Step) -> Weights:
        if step.index % self.every == 0:
            self._update(step)
        names = list(step.losses)
        ones = torch.ones_like(vector(step.losses))
        return by_name(names, self.weights.stacked(names, ones), step.losses)

    def _update(self, step: Step) -> None:
        found = known(step) if step.has_jacobian else estimated(step, self.probes)
        traces = vector(found)
        estimate = traces.sum() / traces
        estimate = torch.where(torch.isfinite(estimate), estimate, torch.ones_like(estimate))
        old = self.weights.stacked(found, estimate)  # the first estimate is taken as it is
        new = (1 - self.alpha) * old + self.alpha * estimate
        self.weights.put_all(found, torch.where(traces > 0, new, old))


def known(step: Step) -> dict[str, Tensor]:
    """t_k from the Jacobian by term."""
    jacobian = step.jacobian()
    traces = [rows.square().sum() / len(rows) for rows in jacobian.values()]
    return dict(zip(jacobian, step.average(torch.stack(traces)).unbind(), strict=True))


def estimated(step: Step, probes: int) -> dict[str, Tensor]:
    """t_k by `probes` random signs per term, drawn from (step, probe)."""
    every = [one_probe(step, seed_of("NTK", step.index, probe)) for probe in range(probes)]
    return {name: sum(traces[name] for traces in every) / probes for name in every[0]}


def one_probe(step: Step, seed: int) -> dict[str, Tensor]:
    """t_k by one vector of signs per term."""
    agreed, rows = step.signs(seed), step.residuals()
    if agreed is not None:
        return {
            name: step.average(along(agreed[name], r, step.parameters) / len(r) ** 0.5)
            .square()
            .sum()
            for name, r in rows.items()
        }
    traces = [
        along(signs(r, seed_of("NTK", seed, name)), r, step.parameters).square().sum() / len(r)
        for name, r in rows.items()
    ]
    return dict(zip(rows, step.average(torch.stack(traces)).unbind(), strict=True))


def signs(like: Tensor, seed: int) -> Tensor:
    """±1 with equal chances."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 2, like.shape, generator=generator)
    return (2 * drawn - 1).to(like)


def along(v: Tensor, rows: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Jᵀ v `[P]` of the residual rows, by one backward pass; 0 where they see no parameter."""
    if not rows.requires_grad:
        return rows.new_zeros(sum(parameter.numel() for parameter in parameters.values()))
    gradients = torch.autograd.grad(
        rows, tuple(parameters.values()), v.to(rows), retain_graph=True,
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return torch.cat([gradient.reshape(-1) for gradient in gradients]).detach()

"""Every member of `sciml.balance`, a network of three terms to try them on, ways to ask them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sciml.balance.conflict import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    ConFIG,
    NashMTL,
    PCGrad,
    UPGrad,
)
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.gradients import Annealing
from sciml.balance.gradnorm import GradNorm
from sciml.balance.losses import DWA, ReLoBRaLo, SoftAdapt, Uncertainty
from sciml.balance.ntk import NTK
from sciml.balance.samgs import SAMGS
from sciml.balance.samo import SAMO
from sciml.contracts import Direction
from sciml.training.step import Step

MEMBERS = {
    "fixed": lambda: Fixed({"walls": 3.0}),
    "annealing_paper": lambda: Annealing(alpha=0.9, every=1),
    "annealing_released_code": lambda: Annealing(
        denominator="weighted", reduce="layer_mean", params="weights", every=1
    ),
    "annealing_cavity": lambda: Annealing(reduce="layer_ratio_max", params="weights"),
    "softadapt": lambda: SoftAdapt(beta=2.0),
    "softadapt_by_loss": lambda: SoftAdapt(by_loss=True),
    "dwa": lambda: DWA(every=2),
    "relobralo": lambda: ReLoBRaLo(alpha=0.8, rho=0.5),
    "uncertainty": lambda: Uncertainty(lr=0.1),
    "gradnorm": lambda: GradNorm(lr=0.1),
    "ntk": lambda: NTK(every=1, probes=2),
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "mgda": MGDA,
    "imtlg": IMTLG,
    "nashmtl": NashMTL,
    "nashmtl_seldom": lambda: NashMTL(every=2, max_norm=0.0),
    "alignedmtl": AlignedMTL,
    "config": ConFIG,
    "upgrad": UPGrad,
    "gcond": GCond,
    "gcond_weak": lambda: GCond(weak=0.1),
    "gcond_weights": lambda: GCond({"walls": 2.0}, momentum=0.0),
    "samgs": SAMGS,
    "samgs_alike": lambda: SAMGS(gamma=0.0, cap=1e3),
    "samo": lambda: SAMO(MGDA()),
    "samo_of_directions": lambda: SAMO(GCond()),
}

ORDER = ("residual", "walls", "initial")


class Three(nn.Module):
    """Mean squares of u − 1 everywhere, of u² + u/3 on the left, of 3 (u − 2) on the right.

    The first and the last conflict as soon as u is between 1 and 2.

    Args:
        part: of the points of each term, of how many.
        order: the terms, in their order.
    """

    def __init__(
        self,
        scale: float = 1.0,
        order: Sequence[str] = ORDER,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.scale, self.terms, self.part = scale, tuple(order), part

    def residuals(self, model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        u = model(batch)[:, 0]
        left, right = u[: len(u) // 2], u[len(u) // 2 :]
        every = {"residual": u - 1, "walls": left**2 + left / 3, "initial": 3 * (right - 2)}
        rank, ranks = self.part
        return {name: self.scale**0.5 * every[name][rank::ranks] for name in self.terms}

    def forward(self, model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        return {name: r.square().mean() for name, r in self.residuals(model, batch).items()}


class Given:
    """A step whose gradient rows are given."""

    index = 0

    def __init__(self, rows):
        self._rows = rows
        self.losses = {name: rows.new_ones(()) for name in "abcdefgh"[: len(rows)]}
        self.parameters = {"weight": nn.Parameter(torch.zeros_like(rows[0]))}

    def rows(self, within=None):
        return self._rows


def points(index: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """16 points of step `index`."""
    generator = torch.Generator().manual_seed(index)
    return (2 * torch.rand(16, 2, generator=generator, dtype=torch.float64) - 1).to(dtype)


def network(dtype: torch.dtype = torch.float64, seed: int = 1) -> nn.Module:
    """2-7-1, with the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 1)).to(dtype)
    with torch.no_grad():
        model[2].bias.fill_(1.5)
    return model


def step_of(
    model: nn.Module,
    objective: Callable,
    index: int = 0,
    average: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    batches: int = 1,
    **keys,
) -> Step:
    dtype = next(model.parameters()).dtype
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    drawn = [points(100 * index + number, dtype) for number in range(batches)]
    return Step(objective, model, drawn, index, parameters, average, **keys)


def gradient(step: Step, answer) -> Tensor:
    """What the optimiser would get."""
    return answer.gradient if isinstance(answer, Direction) else step.gradient(answer)


def descend(
    balancer: nn.Module, model: nn.Module, objective: Callable, indices: Sequence[int], **keys
) -> list[tuple[Step, object, Tensor]]:
    """Steps of gradient descent of length 0.05: the step, the balancer's answer, the gradient."""
    found = []
    for index in indices:
        step = step_of(model, objective, index, **keys)
        answer = balancer(step)
        row = gradient(step, answer).detach()
        found.append((step, answer, row))
        with torch.no_grad():
            move = 0.05 * row / (row.norm() + 1e-30)
            for parameter, piece in zip(
                step.parameters.values(),
                move.split([p.numel() for p in step.parameters.values()]),
                strict=True,
            ):
                parameter -= piece.view_as(parameter)
    return found

"""Self-scaled quasi-Newton methods with the whole inverse Hessian, for up to some 5,000 parameters.

    d = -H g,   x⁺ = x + α d  (strong Wolfe),   H⁺ from s = x⁺ - x, y = g⁺ - g  (`scaling`)

Both gradients of a pair are of the same batch and the same weights of the terms, because a pair is
made within one step. H is kept when the next step brings other points.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.training.least_squares.memory import SHARE, free_bytes
from sciml.training.optimizers.line_search import Trial, strong_wolfe
from sciml.training.optimizers.scaling import ssbroyden

#: Longest step of a line search, in quasi-Newton steps, or in first steps where H knows nothing.
LONGEST = 1000.0
#: Share of its length at which the next search begins where even the gradient led nowhere; the
#: least length, below which parameters of size 1 hardly change.
NEARER, NEAREST = 0.1, 1e-12


@final
class SelfScaled(torch.optim.Optimizer):
    """A quasi-Newton method of Broyden's family: `scaling` says which.

    A step makes `iterations` iterations on its batch: 1 + about 1.05 `iterations` gradients. Memory
    8 P² bytes, as much in every checkpoint; arithmetic 10 P² per iteration. It never ends by
    itself: where a line search finds nothing, H becomes the identity again and the next iteration
    goes down the gradient; where that finds nothing, the next step begins nearer. A pair
    with y·s <= 0 is skipped.

    Args:
        parameters: float64 at the first step.
        scaling: `(b, h, n) -> (τ, φ)`, see `scaling`.
        lr: first trial of a line search, 1 is the quasi-Newton step.
        iterations: iterations per step.
        logarithm: minimise log L in place of L > 0: the steps then do not depend on L's size.
        length: Euclidean length of the first step, where H knows nothing yet.
        c1, c2: numbers of the Wolfe conditions.
        evaluations: largest number of gradients per line search.

    Raises:
        UserError: H does not fit into memory; at a step: parameters that are not float64, no
            closure, log L of L < 0.
    """

    #: H is whole, so several ranks would each hold and update the same one.
    single_process = True
    needs_double = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        scaling: Callable[[float, float, int], tuple[float, float]] = ssbroyden,
        lr: float = 1.0,
        iterations: int = 20,
        logarithm: bool = True,
        length: float = 0.1,
        c1: float = 1e-4,
        c2: float = 0.9,
        evaluations: int = 25,
    ) -> None:
        if not 0 < c1 < c2 < 1:
            raise UserError(f"optimizer: expected 0 < c1 < c2 < 1, got c1={c1} and c2={c2}")
        if min(lr, length) <= 0 or min(iterations, evaluations) < 1:
            raise UserError(
                "optimizer: expected lr, length > 0 and iterations, evaluations >= 1, "
                f"got {lr}, {length}, {iterations}, {evaluations}"
            )
        super().__init__(parameters, {"lr": lr})
        self.scaling, self.iterations, self.logarithm = scaling, iterations, logarithm
        self.length, self.c1, self.c2, self.evaluations = length, c1, c2, evaluations
        n = sum(parameter.numel() for parameter in self._parameters)
        refuse_too_large(n, self._parameters[0].device)

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return self.param_groups[0]["params"]

    @property
    def _kept(self) -> dict[str, Any]:
        """H, what is known of it, and counts; in the checkpoint as the first parameter's state."""
        return self.state[self._parameters[0]]

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """`iterations` iterations on one batch; the loss before them.

        Args:
            closure: loss at the current parameters, whose gradient it leaves in `.grad`.
        """
        if closure is None:
            raise UserError("this optimiser evaluates the loss itself: call step(closure)")
        self._prepare()
        closure = torch.enable_grad()(closure)
        loss = closure()
        x, here = self._read(), self._trial(loss, 0.0, None)
        for _ in range(self.iterations):
            found = self._iterate(closure, x, here)
            if found is None:
                break
            x, here = found
        return loss

    def _prepare(self) -> None:
        for parameter in self._parameters:
            if parameter.dtype != torch.float64:
                raise UserError(
                    f"quasi-Newton: expected parameters in float64, got {parameter.dtype}; "
                    "set phases.NAME.precision=float64"
                )
        if not self._kept:
            n = sum(parameter.numel() for parameter in self._parameters)
            inverse = torch.eye(n, dtype=torch.float64, device=self._parameters[0].device)
            self._kept.update(inverse=inverse, fresh=True, length=self.length, decrease=0.0)
            self._kept.update(iterations=0, evaluations=0, skipped=0, resets=0)

    def _iterate(
        self, closure: Callable[[], Tensor], x: Float[Tensor, " n"], here: Trial
    ) -> tuple[Tensor, Trial] | None:
        """One move and one update of H; None where not even the gradient leads down."""
        kept, gradient = self._kept, here.gradient
        direction = gradient.neg() if kept["fresh"] else -(kept["inverse"] @ gradient)
        slope = float(direction @ gradient)
        if slope == 0:
            return None
        found = None
        if slope < 0:
            found = strong_wolfe(
                self._along(closure, x, direction), Trial(0.0, here.value, slope, gradient),
                *self._trials(slope), self.c1, self.c2, self.evaluations,
            )  # fmt: skip
        if found is None:
            self._write(x)
            if kept["fresh"]:  # the same search would fail again, so the next one begins nearer
                kept["length"] = max(NEARER * kept["length"], NEAREST)
                return None
            self._reset()
            return x, here
        s = found.step * direction
        self._write(x + s)
        kept["iterations"] += 1
        kept["length"], kept["decrease"] = float(s.norm()), here.value - found.value
        self._learn(s, found.gradient - gradient, -found.step * float(s @ gradient))
        return self._read(), found

    def _trials(self, slope: float) -> tuple[float, float]:
        """The first trial: 1, or less where the last decrease would be had for less; the longest.

        Source: Nocedal & Wright 2006, equation 3.60.
        """
        kept, lr = self._kept, self.param_groups[0]["lr"]
        if kept["fresh"]:
            first = lr * kept["length"] / math.sqrt(-slope)
            return first, LONGEST * first
        foreseen = 2.02 * kept["decrease"] / -slope
        return lr * min(1.0, foreseen) if foreseen > 0 else lr, LONGEST * lr

    def _learn(self, s: Float[Tensor, " n"], y: Float[Tensor, " n"], sBs: float) -> None:
        """Update H by the pair (s, y); skip one without positive curvature."""
        kept, ys, yy = self._kept, float(s @ y), float(y @ y)
        if not ys > 1e-16 * math.sqrt(yy) * kept["length"]:
            kept["skipped"] += 1
            return
        inverse = kept["inverse"]
        if kept["fresh"]:
            inverse.zero_().diagonal().fill_(ys / yy)
            update(inverse, s, y, 1.0, 1.0)
            kept["fresh"] = False
            return
        u = inverse @ y
        tau, phi = self.scaling(sBs / ys, float(y @ u) / ys, len(s))
        update(inverse, s, y, tau, phi, u)

    def _reset(self) -> None:
        self._kept["fresh"] = True
        self._kept["resets"] += 1

    def _along(
        self, closure: Callable[[], Tensor], x: Tensor, direction: Tensor
    ) -> Callable[[float], Trial]:
        """φ(a) = f(x + a d)."""

        def evaluate(step: float) -> Trial:
            self._write(torch.add(x, direction, alpha=step))
            self._kept["evaluations"] += 1
            return self._trial(closure(), step, direction)

        return evaluate

    def _trial(self, loss: Tensor, step: float, direction: Tensor | None) -> Trial:
        """The loss just evaluated, or its logarithm, with the gradient in `.grad`."""
        value, gradient = float(loss), self._gradient()
        if self.logarithm:
            if value < 0:
                raise UserError(
                    f"quasi-Newton: expected a loss > 0 for its logarithm, got {value:.3g}; "
                    "set optimizer.logarithm=false"
                )
            gradient = gradient / max(value, 1e-300)
            value = math.log(max(value, 1e-300)) if math.isfinite(value) else value
        slope = 0.0 if direction is None else float(direction @ gradient)
        return Trial(step, value, slope, gradient)

    def _gradient(self) -> Float[Tensor, " n"]:
        return torch.cat(
            [
                torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1)
                for p in self._parameters
            ]
        )

    def _read(self) -> Float[Tensor, " n"]:
        return torch.cat([parameter.reshape(-1) for parameter in self._parameters])

    def _write(self, x: Float[Tensor, " n"]) -> None:
        pieces = x.split([parameter.numel() for parameter in self._parameters])
        for parameter, piece in zip(self._parameters, pieces, strict=True):
            parameter.copy_(piece.view_as(parameter))


def refuse_too_large(n: int, device: torch.device) -> None:
    """Refuses an inverse Hessian of `n` parameters that would not fit.

    Raises:
        UserError: with both numbers.
    """
    free = free_bytes(device)
    if free is not None and 8 * n**2 > SHARE * free:
        raise UserError(
            f"optimizer: the inverse Hessian of {n} parameters takes {8 * n**2 / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free; use lbfgs or soap, or train fewer parameters"
        )


def update(
    inverse: Float[Tensor, "n n"],
    s: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
    tau: float,
    phi: float,
    u: Float[Tensor, " n"] | None = None,
) -> None:
    """H⁺ of `scaling`, in place, in one pass over H; symmetric to the last bit.

    Args:
        u: H y, where it is known.
    """
    u = inverse @ y if u is None else u
    ys, yu = float(s @ y), float(y @ u)
    v = s / ys - u / yu
    vectors = torch.stack([u, v, s], 1)
    factors = torch.tensor([-1 / (tau * yu), phi * yu / tau, 1 / ys], dtype=s.dtype)
    roots = vectors * factors.abs().sqrt().to(s.device)
    inverse.addmm_(roots * factors.sign().to(s.device), roots.T, beta=1 / tau)

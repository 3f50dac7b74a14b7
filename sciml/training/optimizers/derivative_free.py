"""Optimisers that ask for losses only: what adjoint gradients are measured against.

    Evolution            θ ~ N(m, σ² C), ranked by their loss; m, σ and C follow the better half
    FiniteDifferences    ∂L/∂θ_i = (L(θ + h e_i) - L(θ))/h, or central, to any gradient method

`Fit` hands over the step; every evaluation is `step.again(parameters).losses`. Both need a loss
that does not change from step to step.

Source: N. Hansen, The CMA evolution strategy: a tutorial (2016), arXiv:1604.00772; the `cma`
package is its author's.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError, Weights
from sciml.training.step import Step
from sciml.training.vectors import unflatten, weighted

if TYPE_CHECKING:
    import cma

#: Loss of what cannot be evaluated: the worst of its generation.
WORST = 1e100


@final
class Evolution(torch.optim.Optimizer):
    """CMA-ES; one step of training is one generation. The parameters are the best ever met.

    Candidates that the objective refuses (`UserError`) or whose loss is not finite are the worst
    of their generation. All draws follow from the seed, so that a checkpoint holds the losses
    alone: a resumed run tells the strategy again what it was told.

    Args:
        parameters: float64; their values at the first step are the first mean.
        sigma: first standard deviation of every parameter, > 0.
        population: of a generation, ≥ 3; 4 + 3 ln P if None.
        generations: in a step of training, ≥ 1.
        seed: of the draws.

    Attributes:
        evaluations: of the loss so far; `Fit` makes one more in every step, of the best.

    Raises:
        UserError: values out of these ranges; `cma` is not installed; one parameter alone.
    """

    asks_for_losses = True
    single_process = True
    needs_double = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        sigma: float = 0.5,
        population: int | None = None,
        generations: int = 1,
        seed: int = 0,
    ) -> None:
        if not sigma > 0 or generations < 1 or (population is not None and population < 3):
            raise UserError(
                "optimizer: expected sigma > 0, generations >= 1 and population >= 3 or null, got "
                f"{sigma!r}, {generations!r} and {population!r}"
            )
        super().__init__(list(parameters), {"lr": sigma})
        self.sigma, self.population, self.generations = sigma, population, generations
        self.seed = seed
        self._strategy: cma.CMAEvolutionStrategy | None = None

    @property
    def evaluations(self) -> int:
        return self._kept["told"].numel() if "told" in self._kept else 0

    def look(self, step: Step) -> None:
        """Nothing is known before the balancer is asked."""

    @torch.no_grad()
    def step(self, closure: Any = None, *, step: Step, weights: Weights) -> Tensor:
        """One step of training; returns the loss before it."""
        loss = weighted(step.losses, weights)
        kept = self._kept
        if not kept:
            kept["mean"], kept["least"] = flat(step), loss.clone()
            kept["told"] = torch.zeros(0, dtype=torch.float64)
        strategy = self._strategy = self._strategy or self._again(kept["mean"], kept["told"])
        for _ in range(self.generations):
            candidates = strategy.ask()
            losses = [_at(step, weights, torch.from_numpy(x)) for x in candidates]
            strategy.tell(candidates, losses)
            kept["told"] = torch.cat([kept["told"], torch.tensor(losses, dtype=torch.float64)])
            least = int(np.argmin(losses))
            if losses[least] < kept["least"]:
                kept["least"] = torch.full_like(kept["least"], losses[least])
                put(torch.from_numpy(candidates[least]), step)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._strategy = None

    @property
    def _kept(self) -> dict[str, Tensor]:
        """With the first parameter, so that it is in the checkpoint."""
        return self.state[self.param_groups[0]["params"][0]]

    def _again(
        self, mean: Float[Tensor, " p"], told: Float[Tensor, " n"]
    ) -> "cma.CMAEvolutionStrategy":
        """The strategy after all that it was told."""
        if len(mean) < 2:
            raise UserError("optimizer: expected two unknowns or more for CMA-ES, got one")
        try:
            import cma
        except ImportError:
            raise UserError(
                "optimizer: CMA-ES needs the package cma; install the extra: pip install "
                "'sciml-suite[identify]'"
            ) from None
        draws = np.random.default_rng(self.seed)
        options = {"seed": np.nan, "verbose": -9, "randn": lambda *n: draws.standard_normal(n)}
        if self.population is not None:
            options["popsize"] = self.population
        strategy = cma.CMAEvolutionStrategy(mean.numpy(), self.sigma, options)
        for losses in told.reshape(-1, strategy.popsize).tolist():
            strategy.tell(strategy.ask(), losses)
        return strategy


@final
class FiniteDifferences(torch.optim.Optimizer):
    """Any optimiser, its gradients by differences of the loss instead of by the adjoint.

    Args:
        parameters: float64.
        optimizer: factory `(parameters) -> Optimizer` of one that follows gradients.
        change: h of every parameter, > 0.
        central: 2 P evaluations a gradient instead of P.

    Attributes:
        evaluations: of the loss so far, in this process.

    Raises:
        UserError: h that is not positive; an optimiser of residual rows or losses.
    """

    asks_for_losses = True
    single_process = True
    needs_double = True

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        change: float = 1e-4,
        central: bool = False,
    ) -> None:
        if not change > 0:
            raise UserError(f"optimizer: expected change > 0, got {change!r}")
        self.inner, self.change, self.central = optimizer(parameters), change, central
        for asks in ("asks_for_residuals", "asks_for_losses"):
            if getattr(self.inner, asks, False):
                raise UserError(
                    "finite differences: expected an optimiser that follows gradients, got "
                    f"{type(self.inner).__name__}; choose lbfgs or adam"
                )
        super().__init__(self.inner.param_groups, {})
        self.evaluations = 0
        self._share()

    def _share(self) -> None:
        """One set of groups and one state, so that schedules and checkpoints see the inner ones."""
        self.param_groups, self.state = self.inner.param_groups, self.inner.state
        self.defaults = self.inner.defaults

    def look(self, step: Step) -> None:
        """Nothing is known before the balancer is asked."""

    def step(self, closure: Any = None, *, step: Step, weights: Weights) -> Tensor:
        """One step of training; returns the loss before it."""
        first = weighted(step.losses, weights)
        self.evaluations += 1
        known: list[Tensor] = [first]

        @torch.no_grad()
        def loss() -> Tensor:
            here = flat(step)
            value = known.pop() if known else first.new_tensor(self._value(step, weights, here))
            gradient = self._gradient(step, weights, here, float(value))
            for name, piece in unflatten(gradient, step.parameters).items():
                step.parameters[name].grad = piece.clone()
            return value

        self.inner.step(loss)
        return first

    def _gradient(self, step: Step, weights: Weights, here: Tensor, value: float) -> Tensor:
        found = torch.zeros_like(here)
        for i in range(len(here)):
            change = torch.zeros_like(here)
            change[i] = self.change
            ahead = self._value(step, weights, here + change)
            behind = self._value(step, weights, here - change) if self.central else value
            found[i] = (ahead - behind) / (self.change * (2 if self.central else 1))
        return found

    def _value(self, step: Step, weights: Weights, theta: Tensor) -> float:
        self.evaluations += 1
        return float(weighted(_losses(step, theta), weights))

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.inner.load_state_dict(state_dict)
        self._share()


def flat(step: Step) -> Float[Tensor, " p"]:
    """The trained parameters as one vector."""
    return torch.cat([value.detach().reshape(-1) for value in step.parameters.values()])


def put(theta: Float[Tensor, " p"], step: Step) -> None:
    """The values of one vector into the trained parameters."""
    for name, value in unflatten(theta, step.parameters).items():
        step.parameters[name].copy_(value)


def _losses(step: Step, theta: Tensor) -> dict[str, Tensor]:
    with torch.enable_grad():  # a term is refused that depends on no parameter
        return step.again(unflatten(theta, step.parameters)).losses


def _at(step: Step, weights: Weights, theta: Tensor) -> float:
    """The loss at one candidate."""
    try:
        value = float(weighted(_losses(step, theta), weights))
    except UserError:  # the case itself is sound: `Fit` has evaluated it where it is
        return WORST
    return value if np.isfinite(value) else WORST

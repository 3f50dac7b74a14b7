"""Assembles a PINN: problem + network + sampling + derivatives → `contracts.System`."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from sciml.contracts import System, UserError
from sciml.pinn import figures, surrogate
from sciml.pinn.data import CollocationData, Sampling
from sciml.pinn.evaluate import GridPredictor, RelativeL2
from sciml.pinn.networks import Standardise
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.problem import Problem


def assemble(
    problem: Problem,
    network: Callable[..., nn.Module],
    sampling: Sampling,
    derivatives: Engine | None = None,
    seed: int = 0,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
) -> System:
    """Everything a PINN brings.

    Args:
        problem: equations, conditions, truth.
        network: `(inputs=, outputs=, generator=) -> module`, width and depth already given.
        sampling: how many points, how drawn.
        derivatives: how derivatives are taken; nested autograd where None.
        seed: of the weights and of the points.
        wrap: around the standardised network, such as a partial `networks.HardConstraint`.

    The network sees coordinates standardised by the mean and standard deviation of uniform points.
    """
    _check(problem, network, sampling)
    generator = torch.Generator().manual_seed(seed)
    mean, std = map(torch.from_numpy, problem.domain.moments())
    inner = network(
        inputs=len(problem.coordinates), outputs=len(problem.unknowns), generator=generator
    )
    standardised = Standardise(inner, mean, std)
    model = standardised if wrap is None else wrap(standardised)
    data = CollocationData(problem, sampling, seed)
    known = problem.exact is not None or problem.reference is not None
    return System(
        model=model,
        objective=CollocationLoss(problem, derivatives),
        data=data,
        metric=RelativeL2(problem) if known else None,
        predictor=GridPredictor(problem, data),
        figures=figures.Figures(problem),
        surrogate=partial(surrogate.surrogate, problem),
    )


def _check(problem: object, network: object, sampling: object) -> None:
    """Refuses a part that a configuration left out or set to another thing."""
    for name, part, sound, example in (
        ("problem", problem, isinstance(problem, Problem), "problem._target_=…case.problem"),
        ("network", network, callable(network), "network=mlp"),
        ("sampling", sampling, isinstance(sampling, Sampling), "sampling=uniform"),
    ):
        if not sound:
            raise UserError(f"{name}: expected a {name}, got {part!r}; set {example}")

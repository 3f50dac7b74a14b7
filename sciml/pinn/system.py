"""Assembles a PINN: problem + network + sampling + derivatives → `contracts.System`."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from sciml.contracts import System, UserError
from sciml.pinn import figures, surrogate
from sciml.pinn.coefficients import Coefficients
from sciml.pinn.data import CollocationData, Sampling
from sciml.pinn.evaluate import GridPredictor, RelativeL2
from sciml.pinn.networks import Standardise
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.point_weights import PointWeights
from sciml.pinn.problem import Problem
from sciml.pinn.uncertainty import Laplace


def assemble(
    problem: Problem,
    network: Callable[..., nn.Module],
    sampling: Sampling,
    derivatives: Engine | None = None,
    seed: int = 0,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    inputs: Callable[..., nn.Module] | None = None,
    point_weights: Callable[[Problem, CollocationData], PointWeights] | None = None,
    uncertainty: Laplace | Mapping[str, Any] | None = None,
) -> System:
    """Everything a PINN brings.

    Args:
        problem: equations, conditions, truth.
        network: `(inputs=, outputs=, generator=) -> module`, width and depth already given.
        sampling: how many points, how drawn.
        derivatives: how derivatives are taken; nested autograd where None.
        seed: of the weights and of the points.
        wrap: around the standardised network, such as a partial `networks.HardConstraint`.
        inputs: `(bounds=) -> module` of the coordinates, such as a partial `inputs.Periodic`, in
            place of the standardisation.
        point_weights: rule by which equations weigh their points, such as a partial
            `point_weights.RBA`; None leaves all alike.
        uncertainty: adds error bars to the solution; for a model trained by least squares.

    The network sees coordinates standardised by the mean and standard deviation of uniform points.
    """
    _check(problem, network, sampling)
    _check_growth(sampling, derivatives)
    generator = torch.Generator().manual_seed(seed)
    plain = _network(problem, network, inputs, generator)
    model = plain if wrap is None else wrap(plain)
    if problem.coefficients:
        model = Coefficients(model, problem.coefficients)
    data = CollocationData(problem, sampling, seed)
    rule = None if point_weights is None else point_weights(problem, data)
    objective = CollocationLoss(problem, derivatives, rule)
    chosen = isinstance(uncertainty, Laplace)  # a case's settings of it may be there without it
    bars = uncertainty.of(objective, data) if chosen else None
    known = problem.exact or problem.reference or problem.coefficients
    return System(
        model=model,
        objective=objective,
        data=data,
        metric=RelativeL2(problem) if known else None,
        predictor=GridPredictor(problem, data, bars),
        figures=figures.Figures(problem),
        surrogate=partial(surrogate.surrogate, problem),
    )


def _network(
    problem: Problem,
    network: Callable[..., nn.Module],
    inputs: Callable[..., nn.Module] | None,
    generator: torch.Generator,
) -> nn.Module:
    """The network of the coordinates, standardised or mapped by `inputs`."""
    outputs = len(problem.unknowns)
    if inputs is None:
        inner = network(inputs=len(problem.coordinates), outputs=outputs, generator=generator)
        return Standardise(inner, *map(torch.from_numpy, problem.domain.moments()))
    mapped = inputs(bounds=problem.domain.bounds)
    inner = network(inputs=mapped.outputs, outputs=outputs, generator=generator)
    return nn.Sequential(OrderedDict(inputs=mapped, network=inner))


def _check(problem: object, network: object, sampling: object) -> None:
    """Refuses a part that a configuration left out or set to another thing."""
    for name, part, sound, example in (
        ("problem", problem, isinstance(problem, Problem), "problem._target_=…case.problem"),
        ("network", network, callable(network), "network=mlp"),
        ("sampling", sampling, isinstance(sampling, Sampling), "sampling=uniform"),
    ):
        if not sound:
            raise UserError(f"{name}: expected a {name}, got {part!r}; set {example}")


def _check_growth(sampling: Sampling, derivatives: Engine | None) -> None:
    """Refuses a set that grows under compiled terms: every size would be compiled anew."""
    grows = sampling.adaptive is not None and sampling.adaptive.growth > 0
    if grows and derivatives is not None and derivatives.compiled:
        raise UserError(
            "sampling: expected sets of one size for compiled derivatives, got an adaptive rule "
            "that adds points; set derivatives=taylor"
        )

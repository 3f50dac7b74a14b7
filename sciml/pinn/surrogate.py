"""A trained PINN as a module to be carried away: unknowns, their derivatives and derived fields.

Derivatives are Taylor streams, so that the module is a plain forward pass an exporter can trace.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from sciml.calculus.pointwise import taylor
from sciml.contracts import Surrogate, UserError
from sciml.pinn.evaluate import asked_by
from sciml.pinn.fields import Fields
from sciml.pinn.points import Points
from sciml.pinn.problem import Problem
from sciml.pinn.samplers import uniform

#: Rows of the stored sample.
SAMPLE = 64


@final
class Columns(nn.Module):
    """x `[n, d]` → `[n, k]` with the columns `names`: u, u_x, …, then the derived fields.

    Args:
        problem: names of unknowns and coordinates, derived fields.
        network: `[n, d] -> [n, m]`.
        derivatives: names of unknowns and derivatives, in column order.
    """

    def __init__(self, problem: Problem, network: nn.Module, derivatives: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.derivatives, self.derived = derivatives, dict(problem.derived)
        self.outputs, self.coordinates = problem.outputs, problem.coordinates
        self.constants = dict(problem.constants)
        self.wanted = asked_by(problem, (*derivatives, *problem.derived))

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.derivatives, *self.derived)

    def forward(self, x: Tensor) -> Tensor:
        values = taylor.derivatives(self.network, x, self.outputs, self.coordinates, self.wanted)
        fields = Fields(self.coordinates, Points(x), values, constants=self.constants)
        columns = [values[name] for name in self.derivatives]
        columns += [function(fields) for function in self.derived.values()]
        return torch.stack(columns, dim=1)


def surrogate(
    problem: Problem, model: nn.Module, orders: int = 1, tolerance: float = 1e-5
) -> Surrogate:
    """What an exporter needs of a trained PINN.

    Args:
        model: `[n, d] -> [n, m]`, coordinates and unknowns in the problem's units.
        orders: derivatives of every unknown up to this order are outputs, >= 0.
        tolerance: see `contracts.Surrogate`.

    Raises:
        UserError: the network uses an operation without a Taylor rule.
    """
    derivatives = tuple(
        name
        for unknown in problem.unknowns
        for name in (unknown, *_derivatives(unknown, problem.coordinates, orders))
    )
    module = Columns(problem, model, derivatives)
    parameter = next(model.parameters())
    rng = np.random.default_rng(0)
    points = torch.from_numpy(problem.domain.interior(SAMPLE, uniform, rng))
    sample = points.to(parameter.device, parameter.dtype)
    _check(module, sample, problem.name)
    return Surrogate(
        module=module,
        sample=sample,
        inputs={name: _input(problem, name, i) for i, name in enumerate(problem.coordinates)},
        outputs={name: _output(problem, name) for name in module.names},
        tolerance=tolerance,
    )


def units(problem: Problem, name: str) -> str:
    """Unit of an unknown, a derivative or a derived field: V, m → `u_xx` in `V m-2`."""
    if name in problem.unknowns or name in problem.derived:
        return problem.units.get(name, "1")
    unknown, _, letters = name.rpartition("_")
    powers = Counter(problem.units.get(letter, "1") for letter in letters)
    parts = [problem.units.get(unknown, "1"), *(f"{u}-{n}" for u, n in powers.items() if u != "1")]
    return " ".join(part for part in parts if part != "1") or "1"


def _derivatives(unknown: str, coordinates: tuple[str, ...], orders: int) -> list[str]:
    return [
        f"{unknown}_{''.join(letters)}"
        for order in range(1, orders + 1)
        for letters in combinations_with_replacement(coordinates, order)
    ]


def _input(problem: Problem, name: str, column: int) -> Mapping[str, Any]:
    low, high = np.asarray(problem.domain.bounds)[:, column]
    return {
        "units": problem.units.get(name, "1"),
        "long_name": problem.long_names.get(name, name),
        "range": [float(low), float(high)],
    }


def _output(problem: Problem, name: str) -> Mapping[str, Any]:
    return {"units": units(problem, name), "long_name": _long_name(problem, name)}


def _long_name(problem: Problem, name: str) -> str:
    if name in problem.unknowns or name in problem.derived:
        return problem.long_names.get(name, name)
    unknown, _, letters = name.rpartition("_")
    return f"derivative of {problem.long_names.get(unknown, unknown)} by {', '.join(letters)}"


def _check(module: nn.Module, sample: Tensor, name: str) -> None:
    try:
        with torch.no_grad():
            module(sample[:2])
    except taylor.UnsupportedOperation as error:
        raise UserError(f"{name}: cannot be carried away with its derivatives: {error}") from error

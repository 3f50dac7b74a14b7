"""What a trained network is worth: relative errors against the truth, and the solution on a grid."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
import xarray
from torch import Tensor, nn

from sciml.calculus.pointwise import autograd
from sciml.contracts import UserError
from sciml.pinn import reference
from sciml.pinn.data import CollocationData
from sciml.pinn.fields import Fields
from sciml.pinn.points import Collocation, Points
from sciml.pinn.problem import TRUTH, Problem
from sciml.pinn.regions import Interior

#: Points per evaluation of the network, which bounds the memory of third derivatives.
CHUNK = 4096


def solution(problem: Problem, model: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Unknowns and derived fields of the network at `x` `[n, d]`: name → `[n]`, detached."""
    names = tuple(names)
    pieces = [_solution(problem, model, part, names) for part in x.split(CHUNK)]
    return {name: torch.cat([piece[name] for piece in pieces]) for name in names}


def _solution(problem: Problem, model: nn.Module, x: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    wanted = asked_by(problem, names)
    with torch.no_grad():
        values = autograd.derivatives(model, x, problem.unknowns, problem.coordinates, wanted)
    fields = Fields(problem.coordinates, Points(x), values)
    return {
        name: (problem.derived[name](fields) if name in problem.derived else fields[name]).detach()
        for name in names
    }


def asked_by(problem: Problem, names: Iterable[str]) -> frozenset[str]:
    """The fields that the unknowns and derived fields `names` are made of."""
    wanted: set[str] = set()
    for name in names:
        if name in problem.derived:
            wanted |= problem.record(problem.derived[name], Interior(), f"derived {name!r}")[1].names
        else:
            wanted.add(name)
    return frozenset(wanted)


def evaluation_grid(
    problem: Problem, data: CollocationData
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Axes, the points inside `[n, d]` and their mask: the reference's grid where there is no exact solution.

    Raises:
        UserError: the reference is scattered.
    """
    if problem.exact is None and problem.reference is not None:
        known = data.reference(problem.reference)
        if known.axes is None:
            raise UserError(f"{problem.name}: expected a reference on a grid, got scattered points")
        return known.axes, known.x, known.mask
    return problem.domain.grid(data.grid)


@final
class RelativeL2:
    """‖u − u*‖ / ‖u*‖ over the evaluation grid, for every field whose truth is known.

    The norm is the Euclidean norm of the vector of grid values; the truth may not be zero everywhere.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def statistics(self, model: nn.Module, batch: Collocation) -> dict[str, tuple[Tensor, Tensor]]:
        truth = batch.points[TRUTH]
        found = solution(self.problem, model, truth.x, truth.target)
        statistics = {}
        for name, exact in truth.target.items():
            weight = torch.tensor(float(len(exact)))
            statistics[f"squared_error/{name}"] = ((found[name] - exact).double().square().sum(), weight)
            statistics[f"square/{name}"] = (exact.double().square().sum(), weight)
        return statistics

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        fields = [name.partition("/")[2] for name in means if name.startswith("square/")]
        return {
            f"rel_l2/{name}": (means[f"squared_error/{name}"] / means[f"square/{name}"]) ** 0.5
            for name in fields
        }


@final
class GridPredictor:
    """`contracts.Predictor`: the solution on the evaluation grid as one CF dataset.

    Args:
        problem: names, units, truth.
        data: gives the grid and the truth on it.
    """

    def __init__(self, problem: Problem, data: CollocationData) -> None:
        self.problem, self.data = problem, data

    def __call__(self, model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
        problem = self.problem
        axes, x, mask = evaluation_grid(problem, self.data)
        parameter = next(model.parameters())
        names = (*problem.unknowns, *problem.derived)
        at = torch.from_numpy(x).to(parameter.device, parameter.dtype)
        found = {name: value.cpu().double().numpy() for name, value in solution(problem, model, at, names).items()}
        truth = self.data.truth()
        kind = "exact" if problem.exact is not None else "reference"
        exact = {} if truth is None else {k: v.double().numpy() for k, v in truth.target.items()}
        yield as_dataset(problem, axes, mask, found, exact, kind)


def as_dataset(
    problem: Problem,
    axes: list[np.ndarray],
    mask: np.ndarray,
    found: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    kind: str,
) -> xarray.Dataset:
    """Fields on a grid, slowest coordinate first (t, z, y, x), NaN outside the domain.

    Args:
        axes: `[k_i]` per coordinate.
        mask: shape of the grid in the order of the coordinates; True inside the domain.
        found, exact: name → values `[mask.sum()]`.
        kind: suffix of the truth, "exact" or "reference".
    """
    coordinates = problem.coordinates
    dims = coordinates[::-1]

    def variable(values: np.ndarray, name: str, long_name: str) -> tuple:
        grid = np.full(mask.shape, np.nan)
        grid[mask] = values
        attributes = {"units": problem.units.get(name, "1"), "long_name": long_name}
        return dims, grid.transpose(), attributes

    data = {}
    for name, values in found.items():
        long_name = problem.long_names.get(name, name)
        data[name] = variable(values, name, long_name)
        if name in exact:
            data[f"{name}_{kind}"] = variable(exact[name], name, f"{kind} {long_name}")
            data[f"{name}_error"] = variable(values - exact[name], name, f"error of {long_name}")
    coords = {
        name: (
            name,
            axis,
            {"units": problem.units.get(name, "1"), "long_name": problem.long_names.get(name, name)},
        )
        for name, axis in zip(coordinates, axes, strict=True)
    }
    dataset = xarray.Dataset(data, coords, {"Conventions": "CF-1.11", "title": problem.name})
    for name in coordinates:
        dataset[name].encoding["_FillValue"] = None
    return dataset



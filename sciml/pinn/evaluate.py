"""What a trained network is worth: errors relative to the truth, and the solution on a grid."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import xarray
from torch import Tensor, nn

from sciml.calculus.pointwise import autograd
from sciml.pinn.data import CollocationData
from sciml.pinn.points import Collocation, Points
from sciml.pinn.problem import RESIDUAL, TRUTH, Problem
from sciml.pinn.regions import Interior

#: CF's attribute `axis` of a coordinate.
AXES = {"x": "X", "y": "Y", "z": "Z", "t": "T"}

#: Points per evaluation of the network, which bounds the memory of third derivatives.
CHUNK = 4096


def solution(
    problem: Problem, model: nn.Module, x: Tensor, names: Iterable[str]
) -> dict[str, Tensor]:
    """Unknowns and derived fields of the network at `x` `[n, d]`: name → `[n]`, detached."""
    names = tuple(names)
    wanted = asked_by(problem, names)
    pieces: dict[str, list[Tensor]] = {name: [] for name in names}
    for part in x.split(CHUNK):
        with torch.no_grad():
            values = autograd.derivatives(model, part, problem.outputs, problem.coordinates, wanted)
            fields = problem.fields(Points(part), values)
            for name in names:
                derived = problem.derived.get(name)
                pieces[name].append(fields[name] if derived is None else derived(fields))
    return {name: torch.cat(parts) for name, parts in pieces.items()}


def asked_by(problem: Problem, names: Iterable[str]) -> frozenset[str]:
    """The fields that the unknowns and derived fields `names` are made of."""
    wanted: set[str] = set()
    for name in names:
        if name in problem.derived:
            label = f"derived {name!r}"
            wanted |= problem.record(problem.derived[name], Interior(), label)[1].names
        else:
            wanted.add(name)
    return frozenset(wanted)


#: `model -> (x [n, d], names) -> {name: standard deviation [n]}`.
ErrorBars = Callable[[nn.Module], Callable[[Tensor, Sequence[str]], dict[str, Tensor]]]


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """Where the solution is written.

    Args:
        axes: `[k_i]` per coordinate.
        x: `[n, d]`, the points in the domain.
        mask: of the shape of the grid in the order of the coordinates, True at those points.
        truth: name → values `[n]`, where they are known on this grid.
    """

    axes: list[np.ndarray]
    x: np.ndarray
    mask: np.ndarray
    truth: Mapping[str, np.ndarray]


def evaluation_grid(problem: Problem, data: CollocationData) -> Grid:
    """The reference's grid where it is the truth and has one; else that of the domain."""
    known = data.reference
    if known is not None and known.axes is not None and known.mask is not None:
        return Grid(known.axes, known.x, known.mask, known.values)
    axes, x, mask = problem.domain.grid(data.grid)
    truth = data.truth()
    exact = {} if truth is None or known is not None else truth.target or {}
    return Grid(axes, x, mask, {name: value.numpy() for name, value in exact.items()})


@final
class RelativeL2:
    """‖u − u*‖ / ‖u*‖ over the evaluation grid, for every field whose truth is known.

    The Euclidean norm of the vector of grid values; the truth may not be zero everywhere. Unknown
    numbers c are reported as `coefficient/c`, |c − c*|/|c*| as `rel_error/c` where c* is not zero.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def statistics(self, model: nn.Module, batch: Collocation) -> dict[str, tuple[Tensor, Tensor]]:
        statistics = self._numbers(model, batch)
        if TRUTH not in batch.points:
            return statistics
        truth = batch.points[TRUTH]
        known = truth.target or {}
        found = solution(self.problem, model, truth.x, known)
        for name, exact in known.items():
            weight = exact.new_tensor(len(exact), dtype=torch.float64)
            error = (found[name] - exact).double().square().sum()
            statistics[f"squared_error/{name}"] = (error, weight)
            statistics[f"square/{name}"] = (exact.double().square().sum(), weight)
        return statistics

    def _numbers(self, model: nn.Module, batch: Collocation) -> dict[str, tuple[Tensor, Tensor]]:
        """The unknown numbers, one value each."""
        if not self.problem.coefficients:
            return {}
        found = solution(
            self.problem, model, batch.points[RESIDUAL].x[:1], self.problem.coefficients
        )
        return {
            f"coefficient/{name}": (value.double().sum(), value.new_ones((), dtype=torch.float64))
            for name, value in found.items()
        }

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        fields = [name.partition("/")[2] for name in means if name.startswith("square/")]
        errors = {
            f"rel_l2/{name}": (means[f"squared_error/{name}"] / means[f"square/{name}"]) ** 0.5
            for name in fields
        }
        for name, coefficient in self.problem.coefficients.items():
            value, true = means[f"coefficient/{name}"], coefficient.true
            errors[f"coefficient/{name}"] = value
            if true:
                errors[f"rel_error/{name}"] = abs(value - true) / abs(true)
        return errors


@final
class GridPredictor:
    """`contracts.Predictor`: the solution on the evaluation grid as one CF dataset.

    Args:
        problem: names, units, truth.
        data: gives the grid and the truth on it.
        error_bars: `model -> (x, names) -> {name: [n]}`, standard deviations; none when None.
    """

    def __init__(
        self, problem: Problem, data: CollocationData, error_bars: ErrorBars | None = None
    ) -> None:
        self.problem, self.data, self.error_bars = problem, data, error_bars

    def __call__(self, model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
        problem = self.problem
        grid = evaluation_grid(problem, self.data)
        parameter = next(model.parameters())
        at = torch.from_numpy(grid.x).to(parameter.device, parameter.dtype)
        names = (*problem.unknowns, *problem.derived)
        found = solution(problem, model, at, names).items()
        numbers = solution(problem, model, at[:1], problem.coefficients)
        kind = "exact" if problem.exact is not None else "reference"
        values = {name: value.cpu().double().numpy() for name, value in found}
        dataset = as_dataset(problem, grid, values, kind)
        dataset = dataset.assign(scalars(problem, {k: float(v[0]) for k, v in numbers.items()}))
        if self.error_bars is not None:
            self._add_error_bars(dataset, grid, self.error_bars(model))
        yield dataset

    def _add_error_bars(
        self,
        dataset: xarray.Dataset,
        grid: Grid,
        deviations: Callable[[Tensor, Sequence[str]], dict[str, Tensor]],
    ) -> None:
        """Adds `u_std` beside every field and unknown number u, as CF (section 3.4) has it."""
        problem, at = self.problem, torch.from_numpy(grid.x)
        fields = deviations(at, (*problem.unknowns, *problem.derived))
        numbers = deviations(at[:1], tuple(problem.coefficients)) if problem.coefficients else {}
        for name, found in {**fields, **numbers}.items():
            about = {
                "units": problem.units.get(name, "1"),
                "long_name": f"standard deviation of {problem.long_names.get(name, name)}",
            }
            dataset[name].attrs["ancillary_variables"] = f"{name}_std"
            if name in numbers:
                dataset[f"{name}_std"] = ((), float(found[0]), about)
            else:
                placed = on_grid(grid, found.numpy())
                dataset[f"{name}_std"] = (dataset[name].dims, placed, about)


def scalars(problem: Problem, found: Mapping[str, float]) -> dict[str, tuple]:
    """The unknown numbers as variables without dimension, and their true values where known."""
    variables: dict[str, tuple] = {}
    for name, value in found.items():
        long_name = problem.long_names.get(name, name)
        units, true = problem.units.get(name, "1"), problem.coefficients[name].true
        variables[name] = ((), value, {"units": units, "long_name": long_name})
        if true is not None:
            about = {"units": units, "long_name": f"exact {long_name}"}
            variables[f"{name}_exact"] = ((), true, about)
    return variables


def on_grid(grid: Grid, values: np.ndarray) -> np.ndarray:
    """Values `[n]` on the whole grid, slowest coordinate first, NaN outside the domain."""
    filled = np.full(grid.mask.shape, np.nan)
    filled[grid.mask] = values
    return filled.transpose()


def as_dataset(
    problem: Problem, grid: Grid, found: Mapping[str, np.ndarray], kind: str
) -> xarray.Dataset:
    """Fields on a grid, slowest coordinate first (t, z, y, x), NaN outside the domain.

    Args:
        found: name → values `[n]` at the points of the grid.
        kind: suffix of the truth, "exact" or "reference".
    """
    coordinates = problem.coordinates
    dims = coordinates[::-1]

    def units(name: str) -> str:
        return problem.units.get(name, "1")

    def variable(values: np.ndarray, name: str, long_name: str) -> tuple:
        return dims, on_grid(grid, values), {"units": units(name), "long_name": long_name}

    data = {}
    for name, values in found.items():
        long_name = problem.long_names.get(name, name)
        data[name] = variable(values, name, long_name)
        if name in grid.truth:
            truth = grid.truth[name]
            data[f"{name}_{kind}"] = variable(truth, name, f"{kind} {long_name}")
            data[f"{name}_error"] = variable(values - truth, name, f"error of {long_name}")
    coords = {
        name: (
            name,
            axis,
            {"units": units(name), "long_name": problem.long_names.get(name, name)}
            | ({"axis": AXES[name]} if name in AXES else {}),
        )
        for name, axis in zip(coordinates, grid.axes, strict=True)
    }
    dataset = xarray.Dataset(data, coords, {"Conventions": "CF-1.11", "title": problem.name})
    for name in coordinates:
        dataset[name].encoding["_FillValue"] = None
    return dataset

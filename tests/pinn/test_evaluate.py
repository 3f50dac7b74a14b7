"""Errors against hand numbers, derived fields against an analytic flow, and what is written."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from sciml.evaluation import write_dataset
from sciml.pinn import Problem, Sampling, disk, interval, rectangle
from sciml.pinn import evaluate as evaluation
from sciml.pinn.data import CollocationData
from sciml.pinn.evaluate import GridPredictor, RelativeL2, evaluation_grid, solution
from sciml.pinn.points import Collocation, Points
from sciml.training.means import Means

PI = math.pi


class Given(nn.Module):
    """A function of the columns in place of a network; the parameter carries the precision."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))

    def forward(self, x):
        return self.scale * torch.stack(self.function(*x.unbind(1)), dim=1)


def line(**changes):
    """u = 1 + x on [0, 1]."""
    settings = {
        "name": "line",
        "domain": interval(0, 1),
        "unknowns": ("u",),
        "equations": lambda f: {"line": f.u_x - 1},
        "exact": lambda f: {"u": 1 + f.x},
    }
    return Problem(**{**settings, **changes})


def flow(**changes):
    """Taylor-Green vortices: ψ = sin(πx) sin(πy), u = ψ_y, v = −ψ_x on the unit square."""
    settings = {
        "name": "vortices",
        "domain": rectangle((0, 0), (1, 1)),
        "unknowns": ("psi",),
        "equations": lambda f: {"vorticity": f.psi_xx + f.psi_yy + 2 * PI**2 * f.psi},
        "derived": {"u": lambda f: f.psi_y, "v": lambda f: -f.psi_x},
        "units": {"x": "m", "psi": "m2 s-1", "u": "m s-1"},
        "long_names": {"x": "distance", "psi": "stream function"},
    }
    return Problem(**{**settings, **changes})


def vortices(x, y):
    return (torch.sin(PI * x) * torch.sin(PI * y),)


def data_of(problem, grid):
    return CollocationData(problem, Sampling({"residual": 4}, grid=grid), 0)


def errors(problem, model, batches):
    metric, means = RelativeL2(problem), Means()
    for batch in batches:
        means.add(metric.statistics(model, batch))
    return metric.value(means.value(lambda tensor: tensor))


def test_relative_error_by_hand():
    """u = 1.5 + x against 1 + x at 0, ½, 1: √(3·0.25) / √(1 + 2.25 + 4) = √(0.75 / 7.25)."""
    problem = line()
    model = Given(lambda x: (1.5 + x,))
    found = errors(problem, model, data_of(problem, [3]).val_dataloader())
    assert found == {"rel_l2/u": pytest.approx(math.sqrt(0.75 / 7.25), rel=1e-14)}


@pytest.mark.parametrize("cuts", [[11], [1, 10], [5, 1, 5], [1] * 11])
def test_the_error_does_not_depend_on_how_points_are_split(cuts):
    problem, model = line(), Given(lambda x: (1 + x**2,))
    truth = data_of(problem, [11]).truth()
    ends = np.cumsum([0, *cuts])
    parts = [truth[a:b] for a, b in pairwise(ends)]
    found = errors(problem, model, [Collocation({"truth": part}) for part in parts])
    whole = errors(problem, model, [Collocation({"truth": truth})])
    assert found["rel_l2/u"] == pytest.approx(whole["rel_l2/u"], rel=1e-13)


def test_the_solution_does_not_depend_on_chunks(monkeypatch):
    problem, model = flow(), Given(vortices)
    x = torch.rand(23, 2, dtype=torch.float64)
    whole = solution(problem, model, x, ("u", "psi"))
    monkeypatch.setattr(evaluation, "CHUNK", 5)
    parts = solution(problem, model, x, ("u", "psi"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-14, atol=1e-16)
        assert not parts[name].requires_grad


def test_derived_fields_are_those_of_the_flow():
    x = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = solution(flow(), Given(vortices), x, ("psi", "u", "v"))
    u = PI * torch.sin(PI * x[:, 0]) * torch.cos(PI * x[:, 1])
    v = -PI * torch.cos(PI * x[:, 0]) * torch.sin(PI * x[:, 1])
    torch.testing.assert_close(found["u"], u, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(found["v"], v, rtol=1e-13, atol=1e-14)


@pytest.fixture
def reference(tmp_path):
    """u and v of the vortices times 2 on a grid of 5 × 4 that is not the domain's; one nan in u."""
    x, y = np.linspace(0, 1, 5), np.linspace(0, 1, 4)
    u = 2 * PI * np.sin(PI * x[:, None]) * np.cos(PI * y[None, :])
    v = -2 * PI * np.cos(PI * x[:, None]) * np.sin(PI * y[None, :])
    u[4, 3] = np.nan
    file = {"u": (("x", "y"), u), "v": (("x", "y"), v)}
    xarray.Dataset(file, {"x": x, "y": y}).to_netcdf(tmp_path / "flow.nc")
    return tmp_path / "flow.nc"


def test_the_grid_is_the_references_and_its_mask_that_of_the_truth(reference):
    problem = flow(reference=reference)
    data = data_of(problem, [7, 7])
    grid, truth = evaluation_grid(problem, data), data.truth()
    assert [len(axis) for axis in grid.axes] == [5, 4]
    assert grid.mask.shape == (5, 4) and grid.mask.sum() == 19 and not grid.mask[4, 3]
    assert np.array_equal(grid.x, truth.x.numpy())
    for name, value in truth.target.items():
        assert np.array_equal(grid.truth[name], value.numpy())
    x, y = np.meshgrid(*grid.axes, indexing="ij")
    assert np.array_equal(grid.x, np.column_stack([x[grid.mask], y[grid.mask]]))


def test_points_without_a_reference_are_left_out(reference):
    """Half the reference at 19 points: ‖u − 2u‖ / ‖2u‖ = ½ for u and v alike, and no nan."""
    problem = flow(reference=reference)
    data = data_of(problem, None)
    found = errors(problem, Given(vortices), data.val_dataloader())
    assert found == {"rel_l2/u": pytest.approx(0.5), "rel_l2/v": pytest.approx(0.5)}
    dataset = next(GridPredictor(problem, data)(Given(vortices), {}))
    for name in ("psi", "u", "u_reference", "v_error"):
        assert np.argwhere(np.isnan(dataset[name].values)).tolist() == [[3, 4]]  # y, x
    assert "psi_reference" not in dataset
    assert dataset.u_error.values == pytest.approx(-dataset.u.values, nan_ok=True, abs=1e-12)


def test_scattered_reference_judges_and_the_domains_grid_is_written(tmp_path):
    x = np.random.default_rng(0).random((9, 2))
    u = PI * np.sin(PI * x[:, 0]) * np.cos(PI * x[:, 1])
    np.savez(tmp_path / "probes.npz", x=x[:, 0], y=x[:, 1], u=u)
    problem = flow(reference=tmp_path / "probes.npz")
    data = data_of(problem, [7, 6])
    assert errors(problem, Given(vortices), data.val_dataloader())["rel_l2/u"] < 1e-14
    dataset = next(GridPredictor(problem, data)(Given(vortices), {}))
    assert dataset.psi.shape == (6, 7)
    assert "u_reference" not in dataset


def test_a_reference_along_a_line_is_written_beside_the_prediction(tmp_path):
    x = np.linspace(0, 1, 5)
    np.savez(tmp_path / "line.npz", x=x, u=x**2)
    problem = line(exact=None, reference=tmp_path / "line.npz")
    dataset = next(GridPredictor(problem, data_of(problem, [9]))(Given(lambda x: (x**2,)), {}))
    assert dataset.u_reference.values == pytest.approx(x**2)
    assert dataset.u_error.values == pytest.approx(0, abs=1e-12)


def test_an_exact_solution_goes_before_a_reference(reference):
    problem = flow(reference=reference, exact=lambda f: {"psi": vortices(f.x, f.y)[0]})
    data = data_of(problem, [7, 6])
    assert data.reference is None
    assert evaluation_grid(problem, data).mask.shape == (7, 6)


def test_the_dataset_of_a_line_in_time():
    problem = line(
        domain=interval(0, 1).over_time(0, 2),
        exact=lambda f: {"u": 1 + f.x * f.t},
        units={"x": "m", "t": "s", "u": "K"},
        long_names={"u": "temperature", "t": "time"},
    )
    model = Given(lambda x, t: (1.25 + x * t,))
    dataset = next(GridPredictor(problem, data_of(problem, [3, 5]))(model, {}))
    assert dataset.u.dims == ("t", "x") and dataset.u.shape == (5, 3)
    assert dataset.attrs == {"Conventions": "CF-1.11", "title": "line"}
    assert dataset.u.attrs == {"units": "K", "long_name": "temperature"}
    assert dataset.u_exact.attrs == {"units": "K", "long_name": "exact temperature"}
    assert dataset.u_error.attrs == {"units": "K", "long_name": "error of temperature"}
    assert dataset.x.attrs == {"units": "m", "long_name": "x", "axis": "X"}
    assert dataset.t.attrs == {"units": "s", "long_name": "time", "axis": "T"}
    assert dataset.x.values.tolist() == [0, 0.5, 1]
    assert dataset.t.values.tolist() == [0, 0.5, 1, 1.5, 2]
    assert np.array_equal(dataset.u_exact, 1 + np.outer(dataset.t, dataset.x))
    assert np.array_equal(dataset.u_error, dataset.u - dataset.u_exact)
    assert (dataset.u_error.values == 0.25).all()
    assert {variable.dtype for variable in dataset.variables.values()} == {np.dtype("float64")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_outside_a_disk_there_is_no_number(tmp_path, dtype):
    problem = line(
        domain=disk((0, 0), 1),
        exact=lambda f: {"u": f.x + 2 * f.y},
        equations=lambda f: {"e": f.u_xx + f.u_yy},
    )
    model = Given(lambda x, y: (x + 2 * y,), dtype)
    dataset = next(GridPredictor(problem, data_of(problem, [21, 11]))(model, {}))
    assert dataset.u.dtype == np.float64 and dataset.u.shape == (11, 21)
    radius = np.hypot(dataset.x.values[None, :], dataset.y.values[:, None])
    assert np.array_equal(np.isnan(dataset.u.values), radius > 1 + 1e-6)
    assert np.array_equal(np.isnan(dataset.u_exact.values), radius > 1 + 1e-6)
    assert np.nanmax(np.abs(dataset.u_error)) < (1e-15 if dtype == torch.float64 else 1e-6)
    assert next(model.parameters()).dtype == dtype
    write_dataset(dataset, tmp_path / "result.nc")
    with xarray.open_dataset(tmp_path / "result.nc") as stored:
        for name in ("x", "y"):
            assert "_FillValue" not in stored[name].encoding
            assert "_FillValue" not in stored[name].attrs
        assert stored.u.dtype == np.float64


def test_points_carry_their_own_weight():
    """Two batches of different sizes: sums add, means of means would not (√(4/5) ≠ ½(1 + …))."""
    problem, model = line(), Given(lambda x: (0 * x,))
    target = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    truth = Points(torch.zeros(3, 1, dtype=torch.float64), target={"u": target})
    statistics = RelativeL2(problem).statistics(model, Collocation({"truth": truth}))
    assert statistics["square/u"][0].item() == 14 and statistics["square/u"][1].item() == 3
    assert statistics["squared_error/u"][0].item() == 14

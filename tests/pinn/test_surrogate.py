"""A PINN carried away: derivatives by Taylor streams, parity in every format, units by rule."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sciml.calculus.pointwise import autograd
from sciml.contracts import UserError
from sciml.export import export, load
from sciml.pinn import domain
from sciml.pinn.fields import Fields
from sciml.pinn.networks import Gated, Standardise
from sciml.pinn.problem import Problem
from sciml.pinn.surrogate import surrogate, units


def cavity() -> Problem:
    """psi and p on the unit square; u = psi_y, v = -psi_x."""
    return Problem(
        name="cavity",
        domain=domain.rectangle((0, 0), (1, 1)),
        unknowns=("psi", "p"),
        equations=lambda f: {"laplace": f.psi_xx + f.psi_yy + f.p_x},
        derived={"u": lambda f: f.psi_y, "v": lambda f: -f.psi_x},
        units={"x": "m", "y": "m", "psi": "m2 s-1", "p": "Pa", "u": "m s-1"},
        long_names={"psi": "stream function"},
    )


def network(dtype: torch.dtype) -> nn.Module:
    generator = torch.Generator().manual_seed(2)
    return Standardise(Gated(2, 2, 20, 3, generator), [0.5, 0.5], [0.3, 0.3]).to(dtype)


def test_columns_are_those_of_nested_autograd() -> None:
    problem, model = cavity(), network(torch.float64)
    found = surrogate(problem, model, orders=2)
    names = list(found.outputs)
    assert names[:6] == ["psi", "psi_x", "psi_y", "psi_xx", "psi_xy", "psi_yy"]
    assert names[6:8] == ["p", "p_x"]
    assert names[-2:] == ["u", "v"]
    expected = autograd.derivatives(
        model, found.sample, problem.unknowns, problem.coordinates, names[:-2]
    )
    columns = dict(zip(names, found.module(found.sample).unbind(1), strict=True))
    for name, values in expected.items():
        torch.testing.assert_close(columns[name], values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(columns["u"], columns["psi_y"])
    torch.testing.assert_close(columns["v"], -columns["psi_x"])


@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float32, 5e-6), (torch.float64, 1e-12)], ids=str
)
def test_a_bundle_of_a_pinn_agrees_in_every_format(
    tmp_path: Path, dtype: torch.dtype, largest: float
) -> None:
    model = network(dtype)
    found = surrogate(cavity(), model)
    document = export(found, {"case": "cavity"}, tmp_path / "b")
    for name in ("model.pt2", "model.onnx"):
        assert document["files"][name]["difference"] <= largest
        assert document["files"][name]["dtype"] == str(dtype).removeprefix("torch.")
    x = np.random.default_rng(0).random((7, 2))
    expected = found.module(torch.from_numpy(x).to(dtype)).detach().numpy()
    for name in ("pt2", "onnx"):
        outputs = load(tmp_path / "b", format=name)(x)
        assert list(outputs) == ["psi", "psi_x", "psi_y", "p", "p_x", "p_y", "u", "v"]
        np.testing.assert_allclose(outputs["u"], expected[:, 6], rtol=0, atol=10 * largest)


def test_units_of_derivatives_follow_from_those_of_the_problem() -> None:
    problem = cavity()
    assert units(problem, "p_x") == "Pa m-1"
    assert units(problem, "psi_xy") == "m2 s-1 m-2"
    assert units(problem, "u") == "m s-1"
    assert units(problem, "v") == "1"
    described = surrogate(problem, network(torch.float32))
    assert described.inputs["x"] == {"units": "m", "long_name": "x", "range": [0.0, 1.0]}
    assert described.outputs["psi_x"]["long_name"] == "derivative of stream function by x"


class Sorts(nn.Module):
    """No Taylor rule knows how to sort."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x * self.weight, dim=1).values


def test_a_network_without_taylor_rules_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="cavity: cannot be carried away.*sort"):
        surrogate(cavity(), Sorts())


def test_a_derived_field_may_use_coordinates() -> None:
    def swirl(f: Fields) -> Tensor:
        return f.x * f.psi_y - f.y * f.psi_x

    problem = Problem(
        name="swirl",
        domain=domain.rectangle((0, 0), (1, 1)),
        unknowns=("psi",),
        equations=lambda f: {"laplace": f.psi_xx},
        derived={"swirl": swirl},
    )
    generator = torch.Generator().manual_seed(2)
    found = surrogate(problem, Gated(2, 1, 8, 2, generator), orders=0)
    assert list(found.outputs) == ["psi", "swirl"]
    assert found.module(found.sample).shape == (64, 2)

"""Maps of inputs: exact periods, symmetry, stretch, jets against nested derivatives."""

import math

import numpy as np
import pytest
import torch

from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import UserError
from sciml.pinn.inputs import Periodic, Stretch
from sciml.pinn.networks import MLP

BOUNDS = np.array([[-1.0, 0.0], [1.0, 2.0]])


def points(n: int = 9) -> torch.Tensor:
    draw = torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return torch.as_tensor(BOUNDS[0]) + draw * torch.as_tensor(BOUNDS[1] - BOUNDS[0])


def behind(inputs: torch.nn.Module) -> torch.nn.Sequential:
    network = MLP(inputs.outputs, 1, 8, 2, torch.Generator().manual_seed(2))
    return torch.nn.Sequential(inputs, network).double()


MAPS = {
    "periodic": Periodic(BOUNDS, harmonics=3),
    "even": Periodic(BOUNDS, harmonics=3, even=True),
    "both": Periodic(BOUNDS, harmonics=2, axes=(0, 1)),
    "stretch": Stretch(BOUNDS, width=0.05),
    "off_centre": Stretch(BOUNDS, width=0.1, about=2.0, axis=1),
}


@pytest.mark.parametrize("name", MAPS)
def test_jets_agree_with_nested_derivatives(name: str) -> None:
    model, wanted = behind(MAPS[name]), {"u", "u_t", "u_xx", "u_xt", "u_xxxx"}
    ways = (autograd.derivatives, taylor.derivatives)
    nested, streamed = (way(model, points(), ("u",), ("x", "t"), wanted) for way in ways)
    for key in wanted:
        torch.testing.assert_close(streamed[key], nested[key], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_period_is_exact_with_all_derivatives(dtype: torch.dtype) -> None:
    model = behind(Periodic(BOUNDS, harmonics=4)).to(dtype)
    x = points().to(dtype)
    left, right = x.clone(), x.clone()
    left[:, 0], right[:, 0] = -1.0, 1.0
    names = ("u", "u_x", "u_xx", "u_xxx")
    ends = [autograd.derivatives(model, at, ("u",), ("x", "t"), names) for at in (left, right)]
    close = 1e4 * torch.finfo(dtype).eps
    for name in names:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=close, atol=close)
    assert (ends[0]["u_x"].abs() > 1e-3).any()


def test_even_inputs_make_even_functions() -> None:
    x = points()
    mirrored = x * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    even, any_ = (behind(MAPS[name]) for name in ("even", "periodic"))
    torch.testing.assert_close(even(x), even(mirrored), rtol=0, atol=1e-14)
    assert (any_(x) - any_(mirrored)).abs().max() > 1e-3


def test_columns_and_their_ranges() -> None:
    corners = torch.tensor([[-1.0, 0.0], [1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    y = MAPS["periodic"].double()(corners)
    assert y.shape == (3, 7)
    expected = torch.tensor([1.0, 1, 1, 0, 0, 0, -1], dtype=torch.float64)
    torch.testing.assert_close(y[0], expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(y[:, -1], torch.tensor([-1.0, 1.0, 0.0], dtype=torch.float64))
    # half a period from the lower end: cos πk = ±1
    torch.testing.assert_close(y[2, :3], torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64))


@pytest.mark.parametrize("lower", [-1.0, 0.0])
def test_the_stretch_of_the_recipe(lower: float) -> None:
    """ξ = asinh(x/d)/asinh(1/d) on [-1, 1], 2 asinh(x/d)/asinh(1/d) - 1 on [0, 1]."""
    d, q = 0.05, math.asinh(1 / 0.05)
    x = torch.linspace(lower, 1, 11, dtype=torch.float64)
    expected = torch.asinh(x / d) / q
    expected = expected if lower < 0 else 2 * expected - 1
    found = Stretch([[lower, 0.0], [1.0, 1.0]], width=d)(torch.stack((x, x.abs()), dim=1))
    torch.testing.assert_close(found[:, 0], expected)
    torch.testing.assert_close(found[:, 1], 2 * x.abs() - 1)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Periodic(BOUNDS, harmonics=0), "expected harmonics > 0, got 0"),
        (lambda: Periodic(BOUNDS, axes=(2,)), "a column of the 2 coordinates, got 2; count from 0"),
        (lambda: Stretch(BOUNDS, width=-0.1), "expected width > 0, got -0.1"),
        (lambda: Stretch(BOUNDS, width=0.1, axis=5), "stretched input: expected a column of the 2"),
    ],
)
def test_mistakes(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()

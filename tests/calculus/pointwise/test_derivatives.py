"""Nested reverse passes and Taylor series against symbolic derivatives, and against each other."""

from functools import partial
from itertools import combinations_with_replacement

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import UserError
from sciml.pinn.layers import Factorised
from sciml.pinn.networks import MLP, Embedded, Gated, HardConstraint, Standardise

WAYS = {"autograd": autograd.derivatives, "taylor": taylor.derivatives}
UNKNOWNS = ("u", "psi")
COORDINATES = ("x", "y")
EVERY = [
    "".join(letters)
    for order in range(1, 5)
    for letters in combinations_with_replacement("xy", order)
]


def points(n=7, d=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, d, dtype=torch.float64, generator=generator) - 1


SYMBOLS = x_, y_ = sympy.symbols("x y")
CLOSED_FORMS = {
    "polynomial": x_**4 * y_**3 - 2 * x_ * y_ + 1,
    "waves": sympy.sin(3 * x_) * sympy.cos(x_ * y_),
    "plane waves": sympy.sin(x_ + 2 * y_) + sympy.cos(3 * x_ - y_) * sympy.sin(-y_),
    "bell": sympy.exp(-(x_**2) - 2 * y_),
    "quotient": (x_ - y_) / (2 + x_ * y_),
    "root": sympy.sqrt(1 + x_**2 + y_**2),
    "tanh": sympy.tanh(x_ + 2 * y_),
    "asinh": sympy.asinh(x_ - y_),
    "log": sympy.log(3 + x_ + y_**2),
    "atan": sympy.atan(x_ * y_),
    "erf": sympy.erf(x_ + y_),
    "inverse": 1 / (2 + x_) ** 2 + (3 - y_) ** -3,
}
TORCH = {"asinh": torch.asinh, "atan": torch.atan} | {
    name: getattr(torch, name) for name in ("sin", "cos", "exp", "sqrt", "tanh", "log", "erf")
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_symbolic_derivatives(form, way):
    expression = CLOSED_FORMS[form]
    function = sympy.lambdify(SYMBOLS, expression, modules=[TORCH])
    x = points()
    wanted = ["u", *(f"u_{letters}" for letters in EVERY)]
    found = WAYS[way](
        lambda x: function(x[:, 0], x[:, 1]).unsqueeze(-1), x, ("u",), COORDINATES, wanted
    )
    for name in wanted:
        letters = name.partition("_")[2]
        derivative = sympy.diff(expression, *letters) if letters else expression
        values = [
            float(derivative.subs(dict(zip(SYMBOLS, row, strict=True)))) for row in x.tolist()
        ]
        expected = torch.tensor(values, dtype=torch.float64)
        torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-10)


def hard(x, raw):
    return x[:, :1] * (1 - x[:, :1]) * raw + torch.sin(x[:, 1:]) / (x[..., :1] ** 2 + 2)


def columns(x, raw):
    a, b = raw.unbind(-1)
    return torch.stack((a * b, (raw + x.sum(dim=-1, keepdim=True)).sum(-1)), dim=-1)


def networks():
    build = {
        "mlp": MLP,
        "gated": Gated,
        "factorised": partial(MLP, linear=Factorised),
        "fourier": Embedded,
        "fourier_gated": partial(Embedded, network=Gated),
    }
    activations = {
        "sin": torch.sin,
        "sigmoid": torch.sigmoid,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "softplus": functional.softplus,
        "asinh": torch.asinh,
        "gauss": lambda z: torch.exp(-z.square()),
        "cosh": lambda z: (z.cosh() + z.sinh()).reciprocal(),
    }
    build |= {name: partial(MLP, activation=f) for name, f in activations.items()}
    made = {
        name: factory(2, 2, 6, 2, torch.Generator().manual_seed(1)).double()
        for name, factory in build.items()
    }
    made["standardised"] = Standardise(made["gated"], [0.1, 0.2], [1.0, 2.0]).double()
    made["hard"] = HardConstraint(made["mlp"], hard)
    made["columns"] = HardConstraint(made["mlp"], columns)
    return made


NETWORKS = networks()
WANTED = ["u", "u_x", "psi_yy", "u_xy", "psi_xxy", "u_yyy", "u_xxyy", "psi_xxxy", "psi_yyyy"]


@pytest.mark.parametrize("name", NETWORKS)
def test_both_ways_agree_in_values_and_parameter_gradients(name):
    network = NETWORKS[name]
    parameters = list(network.parameters())
    results = []
    for way in WAYS.values():
        found = way(network, points(), UNKNOWNS, COORDINATES, WANTED)
        loss = sum(found[key].square().mean() for key in WANTED)
        results.append([*(found[key] for key in WANTED), *torch.autograd.grad(loss, parameters)])
    for nested, streamed in zip(*results, strict=True):
        assert (nested - streamed).norm() <= 1e-12 * nested.norm()


@settings(max_examples=25, deadline=None)
@given(
    coefficients=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    letters=st.lists(st.sampled_from("xyz"), min_size=0, max_size=4).map("".join),
    n=st.integers(1, 5),
)
def test_both_ways_agree_on_any_mixed_derivative(coefficients, letters, n):
    a, b, c, e = coefficients

    def function(x):
        phase = a * x[:, :1] + b * x[:, 1:2] * x[:, 2:] + c
        return torch.tanh(phase) * torch.exp(e * x[:, 2:]) + phase**3

    name = f"u_{letters}" if letters else "u"
    nested, streamed = (
        way(function, points(n, 3), ("u",), ("x", "y", "z"), {name})[name] for way in WAYS.values()
    )
    torch.testing.assert_close(nested, streamed, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("way", WAYS)
def test_constants_and_straight_lines(way):
    x = points()
    line = WAYS[way](
        lambda x: 2 * x[:, :1] + 1, x, ("u",), COORDINATES, {"u", "u_x", "u_y", "u_xx"}
    )
    assert [float(line[name].sum()) for name in ("u_x", "u_y", "u_xx")] == [14.0, 0.0, 0.0]
    assert {value.shape for value in line.values()} == {(7,)}
    flat = WAYS[way](lambda x: torch.ones(7, 1), x, ("u",), COORDINATES, {"u", "u_x"})
    assert float(flat["u_x"].abs().sum()) == 0


@pytest.mark.parametrize("way", WAYS)
def test_no_graph_is_kept_without_gradients(way):
    with torch.no_grad():
        found = WAYS[way](NETWORKS["mlp"], points(), UNKNOWNS, COORDINATES, {"u", "u_xx"})
    assert not any(value.requires_grad for value in found.values())


@pytest.mark.parametrize("way", WAYS)
def test_unknown_names_are_refused(way):
    with pytest.raises(UserError, match="got 'w_x'"):
        WAYS[way](NETWORKS["mlp"], points(), UNKNOWNS, COORDINATES, {"w_x"})


def test_shared_passes():
    """u_xx + u_yy takes three reverse passes, u_xy + u_yy two: u_y serves both."""
    assert len(autograd._passes({(), (0, 0), (1, 1)})) == 3
    assert len(autograd._passes({(0, 1), (1, 1)})) == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.relu(x),
        lambda x: x.abs(),
        lambda x: x[:3],
        lambda x: x**0.3,
        lambda x: torch.cat((x, x)),
        lambda x: x.sum(0),
    ],
)
def test_operations_without_a_rule_say_so(function):
    with pytest.raises(taylor.UnsupportedOperation, match=r"Taylor"):
        taylor.derivatives(function, points(), UNKNOWNS, COORDINATES, {"u_x"})

"""The terms of the loss: zero at the exact solution, the same by every engine, shared, checked."""

import copy
import math
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from sciml.calculus.pointwise import autograd, compiled, taylor
from sciml.contracts import Residuals, UserError
from sciml.pinn import (
    Condition,
    Face,
    Problem,
    Sampling,
    dirichlet,
    initial_value,
    initial_velocity,
    neumann,
    periodic,
    point_data,
    rectangle,
    robin,
)
from sciml.pinn.data import CollocationData
from sciml.pinn.networks import MLP, HardConstraint, Standardise
from sciml.pinn.objective import CollocationLoss, Engine, fields_at
from sciml.training.step import Step

PI = math.pi
#: Columns x, y, t of the points where the wave is measured.
PROBES = np.random.default_rng(1).random((6, 3))
POINTS = {"residual": 12, "left": 5, "right": 7, "wall": 6, "seam": 4, "slope": 4, "start": 8}
POINTS |= {"speed": 9}


def wave(x, y, t, lib):
    """u = e^x sin(2π y) cos(3 t): periodic in y, and u_x = u."""
    return lib.exp(x) * lib.sin(2 * PI * y) * lib.cos(3 * t)


def exact(f):
    return {"u": wave(f.x, f.y, f.t, torch)}


def problem(**changes):
    """u_tt = 9 u_yy/(4π²) on [0, 1]³, since u_tt = −9 u and u_yy = −4π² u, with every condition."""

    def at_rest(f):
        return 0 * f.x

    settings = {
        "name": "wave",
        "domain": rectangle((0, 0), (1, 1)).over_time(0, 1),
        "unknowns": ("u",),
        "equations": lambda f: {"wave": f.u_tt - 9 * f.u_yy / (4 * PI**2), "slope": f.u_x - f.u},
        "conditions": (
            dirichlet("u", lambda f: exact(f)["u"], on=Face("x", 0.0), name="left", term="walls"),
            neumann("u", lambda f: exact(f)["u"], on=Face("x", 1.0), name="right", term="walls"),
            robin("u", 2.0, 3.0, lambda f: -exact(f)["u"], on=Face("x", 0.0), name="wall"),
            periodic("u", axis="y", name="seam"),
            periodic("u", axis="y", derivatives=1, name="bend"),
            initial_value("u", lambda f: exact(f)["u"], name="start"),
            initial_velocity("u", at_rest, name="speed"),
            point_data("u", PROBES, wave(*PROBES.T, np), name="probes"),
        ),
        "exact": exact,
    }
    return Problem(**{**settings, **changes})


def batch_of(problem, points=None, dtype=torch.float64):
    points = {**POINTS, "bend": 4} if points is None else points
    points = {name: n for name, n in points.items() if name in ("residual", *problem.asked)}
    batch = next(iter(CollocationData(problem, Sampling(points), 0).train_dataloader()))
    return batch.to("cpu", dtype)


def network(inputs=3, dtype=torch.float64):
    inner = MLP(inputs, 1, 4, 1, torch.Generator().manual_seed(0))
    return Standardise(inner, [0.5] * inputs, [0.3] * inputs).to(dtype)


class Exact(nn.Module):
    """The exact solution in place of the network."""

    def forward(self, x):
        return wave(*(x[:, i : i + 1] for i in range(3)), torch)


def gradients(loss, model, batch):
    """Terms and the gradient row of each."""
    terms = loss(model, batch)
    parameters = list(model.parameters())
    rows = [
        torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)
        for term in terms.values()
    ]
    return terms, torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


ENGINES = {
    "autograd": Engine(),
    "taylor": Engine(taylor.derivatives),
    "compiled": Engine(taylor.derivatives, compiled=True),
}


def small():
    """u_x = u on the unit square, u given on one side: quick to compile."""
    return Problem(
        name="small",
        domain=rectangle((0, 0), (1, 1)),
        unknowns=("u",),
        equations=lambda f: {"slope": f.u_x - f.u},
        conditions=(dirichlet("u", 1.0, on=Face("x", 0.0), name="left"),),
    )


def small_parts(dtype=torch.float64, left=5, **engine):
    batch = batch_of(small(), {"residual": 8, "left": left}, dtype)
    engine = {"derivatives": taylor.derivatives, "compiled": True, **engine}
    return CollocationLoss(small(), Engine(**engine)), network(2, dtype=dtype), batch


@contextmanager
def no_fallback():
    """The warning that eager code goes on is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="derivatives:")
        yield


@pytest.fixture
def loud():
    with no_fallback():
        yield


@pytest.mark.parametrize("way", ["autograd", "taylor"])
def test_the_exact_solution_makes_every_term_vanish(way):
    terms = CollocationLoss(problem(), ENGINES[way])(Exact(), batch_of(problem()))
    assert set(terms) == {
        "wave",
        "slope",
        "walls",
        "wall",
        "seam",
        "bend",
        "start",
        "speed",
        "probes",
    }
    for name, term in terms.items():  # |u_yy| reaches 4π²e = 107, rounded at 1e-14
        assert term.ndim == 0 and term.item() < 1e-24, name


def test_a_wrong_solution_makes_no_term_vanish():
    terms = CollocationLoss(problem())(network(), batch_of(problem()))
    assert min(term.item() for term in terms.values()) > 1e-6


@pytest.fixture(scope="module")
def answers():
    """Terms and gradient rows by every engine."""
    batch, found = batch_of(problem()), {}
    for name, engine in ENGINES.items():
        with no_fallback():
            found[name] = gradients(CollocationLoss(problem(), engine), network(), batch)
    return found


@pytest.mark.parametrize("way", ["taylor", "compiled"])
def test_engines_agree_in_terms_and_gradients(answers, way):
    terms, rows = answers["autograd"]
    ours, found = answers[way]
    assert list(ours) == list(terms)
    for k, name in enumerate(terms):
        torch.testing.assert_close(ours[name], terms[name], rtol=1e-11, atol=0)
        assert (found[k] - rows[k]).norm() < 1e-10 * rows[k].norm(), name


def test_a_term_by_hand():
    """u = w x² + b y² at two points: r = u_xx + u_yy − 1 = 2 w + 2 b − 1, left: u(0, y) = b y²."""

    class Paraboloid(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([3.0, 0.5], dtype=torch.float64))

        def forward(self, x):
            return (x**2 @ self.w)[:, None]

    poisson = Problem(
        name="poisson",
        domain=rectangle((0, 0), (1, 1)),
        unknowns=("u",),
        equations=lambda f: {"poisson": f.u_xx + f.u_yy - 1},
        conditions=(
            point_data("u", np.array([[0, 1.0], [0, 0.5]]), np.zeros(2), name="a", term="data"),
            point_data("u", np.array([[1.0, 0]]), np.ones(1), name="b", term="data"),
        ),
    )
    batch = batch_of(poisson, {"residual": 2})
    loss, model = CollocationLoss(poisson), Paraboloid()
    terms = loss(model, batch)
    assert terms["poisson"].item() == pytest.approx(36.0)  # (2·3 + 2·0.5 − 1)²
    assert terms["data"].item() == pytest.approx((0.5**2 + 0.125**2) / 2 + 2.0**2)
    rows = loss.residuals(model, batch)
    assert rows["poisson"].tolist() == pytest.approx([6.0, 6.0])
    a, b = 1.5**0.5, 3**0.5  # √(N/n) with N = 3 rows, n = 2 and 1
    assert rows["data"].tolist() == pytest.approx([0.5 * a, 0.125 * a, 2 * b])


def test_mean_squares_of_residuals_are_the_terms():
    loss, model, batch = CollocationLoss(problem()), network(), batch_of(problem())
    assert isinstance(loss, Residuals)
    rows, terms = loss.residuals(model, batch), loss(model, batch)
    assert list(rows) == list(terms)
    assert rows["walls"].shape == (12,)  # 5 on the left, 7 on the right
    for name, row in rows.items():
        torch.testing.assert_close(row.square().mean(), terms[name])
        assert row.requires_grad


def test_sets_that_ask_for_the_same_share_a_pass():
    """wave; left, start, probes, both ends of the seam (u); right, wall; both ends (u_y); speed."""
    calls = []

    def counted(function, x, unknowns, coordinates, wanted):
        calls.append((len(x), sorted(wanted)))
        return autograd.derivatives(function, x, unknowns, coordinates, wanted)

    wave = problem()
    fields = fields_at(network(), wave, batch_of(wave), wave.asked, counted)
    assert sorted(calls) == [
        (6, ["u", "u_x", "u_y"]),
        (7, ["u_x", "u_y"]),
        (8, ["u_y"]),
        (9, ["u_t"]),
        (12, ["u", "u_tt", "u_x", "u_yy"]),
        (5 + 4 + 4 + 8 + 6, ["u"]),
    ]
    alone = autograd.derivatives(
        network(), fields["seam"].points.image, ("u",), ("x", "y", "t"), {"u"}
    )
    torch.testing.assert_close(fields["seam"].at_image.u, alone["u"], rtol=1e-14, atol=0)


def test_a_column_where_numbers_were_promised_is_refused():
    """`[n, 1]` against `[n]` would give the mean over all pairs of points, silently."""
    loss = CollocationLoss(small())
    column = Condition("left", "left", Face("x", 0.0), lambda f: f.u[:, None] - 1)
    loss.problem = copy.copy(loss.problem)
    object.__setattr__(loss.problem, "conditions", (column,))
    batch = batch_of(small(), {"residual": 8, "left": 5})
    with pytest.raises(UserError, match=r"left.*expected a tensor of shape \[5\].*got \[5, 1\]"):
        loss(network(2), batch)


def broken(function, example_inputs):
    raise RuntimeError("no\nluck")


def test_eager_code_goes_on_where_compiling_fails(monkeypatch):
    monkeypatch.setattr(compiled, "compile", broken)
    loss, model, batch = small_parts()
    with pytest.warns(UserWarning, match=r"compilation failed \(RuntimeError: no luck\); eager"):
        terms = loss(model, batch)
    with no_fallback():  # said once, not at every step
        again = loss(model, batch)
    expected = small_parts(compiled=False)[0](model, batch)
    assert terms == again == expected


def test_an_empty_message_of_the_compiler_is_no_bug(monkeypatch):
    def silent(function, example_inputs):
        raise RuntimeError

    monkeypatch.setattr(compiled, "compile", silent)
    loss, model, batch = small_parts()
    with pytest.warns(UserWarning, match="compilation failed"):
        loss(model, batch)


def test_compiled_terms_name_one_that_sees_no_trained_parameter():
    """Beside others it has a gradient in their vector, of zeros: it would be carried silently."""
    partly = Problem(
        name="p",
        domain=rectangle((0, 0), (1, 1)),
        unknowns=("u",),
        equations=lambda f: {"r": f.u_x, "known": f.x},
        conditions=(),
    )
    loss, model = CollocationLoss(partly, ENGINES["compiled"]).train(), network(2)
    parameters = dict(model.named_parameters())
    step = Step(loss, model, [batch_of(partly, {"residual": 5})], 0, parameters)
    with (
        pytest.warns(UserWarning, match="does not require grad"),
        pytest.raises(UserError, match="the term 'known' depends on no trained parameter"),
    ):
        step.gradient({name: torch.ones(()).double() for name in loss.terms})


class WrongGradient(torch.autograd.Function):
    """The right value, and a gradient that is 1 % too large."""

    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, cotangent):
        return 1.01 * cotangent


def wrong_value(values):
    return values * torch.tensor([1.0, 1.01], dtype=values.dtype)


def wrong_nan(values):
    return values * torch.tensor([1.0, torch.nan], dtype=values.dtype)


@pytest.mark.parametrize("wrong", [wrong_value, wrong_nan, WrongGradient.apply])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_eager_code_goes_on_where_compiled_terms_are_wrong(monkeypatch, wrong, dtype):
    """Also where the wrong term is a thousandth of the other."""
    monkeypatch.setattr(compiled, "compile", lambda f, _: lambda *inputs: wrong(f(*inputs)))
    loss, model, batch = small_parts(dtype)
    big = small()
    object.__setattr__(big, "equations", lambda f: {"slope": 1e3 * (f.u_x - f.u) + 1e3})
    loss.problem = big
    with pytest.warns(UserWarning, match="differ from nested autograd; eager code goes on"):
        terms = loss(model, batch)
    assert terms == loss.eval()(model, batch)


def test_rounding_at_a_trained_network_is_no_mistake(monkeypatch, loud):
    """Terms of 1e-12 in float32 are differences of rounded numbers: the trial is held elsewhere."""

    def rounded(function, example_inputs):
        def call(*inputs):  # another order of the sums, as a compiler has it: errors of 1e-7
            double = [i.double() if i.is_floating_point() else i for i in inputs]
            return function(*double).float()

        return call

    monkeypatch.setattr(compiled, "compile", rounded)
    loss, model, batch = small_parts(torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.network.output.bias.fill_(1 + 1e-6)  # left: (1e-6)²
    assert loss(model, batch)["left"].item() < 1e-11


def test_a_term_that_vanishes_by_construction_is_no_mistake(monkeypatch, loud):
    """u = 1 + (1 − cos x) N is 1 on the left but for rounding: a term without relative error."""

    def other(function, example_inputs):
        error = torch.tensor([0.0, 1e-32], dtype=torch.float64)
        return lambda *inputs: function(*inputs) + error

    monkeypatch.setattr(compiled, "compile", other)
    loss, model, batch = small_parts()
    hard = HardConstraint(model, lambda x, u: 1 + (1 - torch.cos(x[:, :1])) * u)
    assert loss(hard, batch)["left"].item() < 1e-31


def test_compiled_terms_are_for_training_batches_only(monkeypatch):
    def forbidden(function, example_inputs):
        raise AssertionError("compiled")

    monkeypatch.setattr(compiled, "compile", forbidden)
    loss, model, batch = small_parts()
    expected = small_parts(compiled=False)[0](model, batch)
    with torch.no_grad():
        assert loss(model, batch) == expected
    fixed = copy.deepcopy(model).requires_grad_(False)
    assert loss(fixed, batch) == expected  # nothing to differentiate
    assert loss.eval()(model, batch) == expected


def test_programs_are_made_anew_for_another_shape_type_or_network(monkeypatch, loud):
    made = []

    def frozen(function, example_inputs):
        """As a compiler: good for the shapes and types of the example, and for no others."""
        kinds = [(i.shape, i.dtype) for i in example_inputs]
        made.append(kinds)

        def call(*inputs):
            assert [(i.shape, i.dtype) for i in inputs] == kinds
            return function(*inputs)

        return call

    monkeypatch.setattr(compiled, "compile", frozen)
    loss, model, batch = small_parts()
    eager = small_parts(compiled=False)[0]
    waves = network(2)
    waves.network.activation = torch.sin  # the same shapes, another function
    for number, (other, points) in enumerate(
        [
            (model, batch),
            (model, batch_of(small(), {"residual": 8, "left": 3})),
            (network(2, torch.float32), batch.to("cpu", torch.float32)),
            (waves, batch),
        ],
        start=1,
    ):
        for _ in range(2):
            assert loss(other, points) == eager(other, points)
            assert len(made) == number


@pytest.fixture(scope="module")
def ready():
    """Loss, network and batch of the small problem, really compiled."""
    loss, model, batch = small_parts()
    with no_fallback():
        loss(model, batch)
    assert None not in loss._compiled._programs.values()
    return loss, model, batch


def test_compiled_rows_by_several_backward_passes_twice_bit_identical(ready, loud):
    loss, model, batch = ready
    eager = small_parts(compiled=False)[0]
    parameters = dict(model.named_parameters())
    first, second = (Step(loss, model, [batch], 0, parameters) for _ in range(2))
    expected = Step(eager, model, [batch], 0, parameters)
    torch.testing.assert_close(first.rows(), expected.rows(), rtol=1e-10, atol=1e-14)
    weights = {name: torch.ones((), dtype=torch.float64) for name in loss.terms}
    direct = second.gradient(weights)
    assert torch.equal(first.rows(), second.rows())
    assert all(torch.equal(first.terms[name], second.terms[name]) for name in loss.terms)
    torch.testing.assert_close(direct, first.rows().sum(0), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("way", ["autograd", "compiled"])
def test_terms_at_other_parameters(way, ready, loud):
    loss, model, batch = ready if way == "compiled" else small_parts(compiled=False)
    parameters = dict(model.named_parameters())
    step = Step(loss, model, [batch], 0, parameters)
    before = {name: term.item() for name, term in step.terms.items()}
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.mul_(1.1)
    eager = small_parts(compiled=False)[0]
    expected = Step(eager, moved, [batch], 0, dict(moved.named_parameters()))
    found = step.again({name: 1.1 * p.detach() for name, p in parameters.items()})
    torch.testing.assert_close(found.terms, expected.terms, rtol=1e-11, atol=0)
    torch.testing.assert_close(found.rows(), expected.rows(), rtol=1e-10, atol=1e-14)
    assert {name: term.item() for name, term in loss(model, batch).items()} == before
    assert len(loss._compiled._programs) == (way == "compiled")

"""Marching features: windows leave one another alone and hand over their end; solved, exported."""

from functools import partial

import pytest
import torch

from sciml.balance.fixed import Fixed
from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import Phase, UserError
from sciml.export import export, load
from sciml.pinn import Problem, interval
from sciml.pinn.data import Sampling
from sciml.pinn.inputs import Periodic
from sciml.pinn.marching import Marching
from sciml.pinn.networks import HardConstraint
from sciml.pinn.objective import Engine
from sciml.pinn.surrogate import surrogate
from sciml.pinn.system import assemble
from sciml.training.least_squares import GaussNewton
from sciml.training.run import Settings, measure, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def marching(windows=4, weights=1.0, **changes) -> Marching:
    """With outputs that are not zero."""
    settings = {"width": 6, "windows": windows, "scale": [2.0, 1.0], **changes}
    network = Marching(2, 1, generator=seeded(), **settings).double()
    for k, output in enumerate(network.outputs):
        draw = torch.randn(output.weight.shape, dtype=torch.float64, generator=seeded(k))
        output.weight.data.copy_(weights * draw)
    return network


X = 2 * torch.rand(200, 2, dtype=torch.float64, generator=seeded(1)) - 1
WINDOWS = [(-1.0, -0.5), (-0.5, 0.0), (0.0, 0.5), (0.5, 1.0)]


def inside(lower, upper):
    return X[(X[:, 1] > lower) & (X[:, 1] < upper)]


def written_out(network, x):
    """The formula, window by window."""
    total = torch.zeros(len(x), 1, dtype=torch.float64)
    for (lower, upper), output in zip(WINDOWS, network.outputs, strict=True):
        z = 4 * (x[:, 1:].clamp(lower, upper) - lower) - 1
        phase = torch.cat([x[:, :1], z], dim=1) @ network.weight.T + network.bias
        total = total + (1 + z) / 2 * (torch.sin(phase) @ output.weight.T)
    return total


@pytest.mark.parametrize("points", [X, *(inside(*window) for window in WINDOWS), X[:0]])
def test_the_formula_whichever_windows_hold_points(points):
    network = marching()
    torch.testing.assert_close(network(points), written_out(network, points), rtol=0, atol=1e-13)


def test_windows_change_nothing_before_them_and_begin_where_the_last_one_ended():
    network, early, edge = marching(), inside(-1.0, 0.0), X.clone()
    edge[:, 1] = 0.0
    before, start = network(early), network(edge)
    network.outputs[2].weight.data += 1.0
    assert torch.equal(network(early), before)
    torch.testing.assert_close(network(edge), start, rtol=0, atol=1e-14)
    assert (network(inside(0.1, 0.5)) - written_out(marching(), inside(0.1, 0.5))).abs().max() > 0.1


def test_untrained_it_is_zero_and_its_draw_the_seeds():
    first, second = (Marching(2, 3, 5, generator=seeded(), windows=3) for _ in range(2))
    assert first(X.float()).abs().max() == 0
    assert first(X.float()).shape == (200, 3)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert {name for name, _ in first.named_parameters()} == {
        f"outputs.{k}.weight" for k in range(3)
    }


@pytest.mark.parametrize("points", [X, inside(0.0, 0.5)])
def test_jets_go_through(points):
    network, names = marching(), {"u", "u_t", "u_tt", "u_xt", "u_xx"}
    nested, streams = (
        engine.derivatives(network, points, ("u",), ("x", "t"), names)
        for engine in (autograd, taylor)
    )
    for name in names:
        torch.testing.assert_close(streams[name], nested[name], rtol=1e-9, atol=1e-9)


def growth(rate=1.0):
    """u_t = rate u (1 - u²)/2 from sin πx, of period 2: every window amplifies errors."""

    def exact(f):
        start = torch.sin(torch.pi * f.x)
        risen = torch.exp(rate * f.t)
        return {"u": start / (start**2 + (1 - start**2) / risen).sqrt()}

    return Problem(
        "growth", interval(-1.0, 1.0).over_time(0.0, 1.0), ("u",),
        lambda f: {"r": f.u_t - rate * f.u * (1 - f.u**2) / 2}, (), exact,
    )  # fmt: skip


def from_sine(x, network):
    return network + torch.sin(torch.pi * x[:, :1])


def system_of(windows):
    return assemble(
        growth(),
        partial(Marching, width=100, windows=windows, scale=[4.0, 4.0, 1.0]),
        Sampling({"residual": 300}, every=None),
        Engine(taylor.derivatives),
        wrap=partial(HardConstraint, transform=from_sine),
        inputs=Periodic,
    )


def phases(windows):
    ends = [k / windows for k in range(windows + 1)]
    return {
        f"window_{k}": Phase(
            steps=6,
            optimizer=GaussNewton,
            trainable=(f"*outputs.{k}.*",),
            precision="float64",
            settings={"within": {"t": ends[k : k + 2]}},
        )
        for k in range(windows)
    }


def test_window_by_window_solves_a_nonlinear_equation(tmp_path):
    system = system_of(windows=3)
    model = train(system, Fixed(), phases(windows=3), Settings(), tmp_path).model
    assert measure(system, model)["rel_l2/u"] < 1e-4


@pytest.mark.slow
def test_a_bundle_agrees_in_every_format(tmp_path):
    """With derivatives; a program holds all windows, whichever have points."""
    model = system_of(windows=3).model.double()
    for number, output in enumerate(model.network.network.outputs):
        torch.nn.init.normal_(output.weight, generator=seeded(number))
    found = surrogate(growth(), model)
    document = export(found, {"case": "growth"}, tmp_path / "bundle")
    x = torch.rand(7, 2, dtype=torch.float64, generator=seeded())
    expected = found.module(x).detach()
    for name, near in {"pt2": 1e-12, "onnx": 1e-5}.items():  # ONNX rounds numbers of Python's
        assert document["files"][f"model.{name}"]["difference"] <= near
        outputs = load(tmp_path / "bundle", format=name)(x.numpy())
        assert list(outputs) == ["u", "u_x", "u_t"]
        found_t = torch.from_numpy(outputs["u_t"])
        torch.testing.assert_close(found_t, expected[:, 2], rtol=near, atol=near)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": 0}, "expected windows > 0, got 0"),
        ({"windows": 2.5}, "whole number of windows"),
        ({"depth": 2}, "expected depth=1"),
        ({"scale": [1.0]}, "one scale > 0 or 2"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UserError, match=message):
        marching(**changes)

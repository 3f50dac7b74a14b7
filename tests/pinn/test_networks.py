"""PINN networks: shapes, initial draws, the gates' formula, refusals."""

import math
from functools import partial

import pytest
import torch

from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import UserError
from sciml.pinn.layers import Factorised, Fourier, dense, encoder, spread, xavier_std
from sciml.pinn.networks import MLP, Embedded, Gated, HardConstraint, Separate, Standardise

FAMILY = {
    "mlp": MLP,
    "gated": Gated,
    "factorised": partial(MLP, linear=Factorised),
    "gated_factorised": partial(Gated, linear=Factorised),
    "fourier": partial(Embedded, embedding=partial(Fourier, features=10, sigma=2.0)),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", FAMILY)
def test_shape_dtype_and_reproducible_draw(name):
    first, second, other = (FAMILY[name](3, 2, 8, 4, seeded(seed)) for seed in (0, 0, 1))
    x = torch.rand(5, 3)
    assert first(x).shape == (5, 2)
    assert first(x).dtype == torch.float32
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), other(x))


@pytest.mark.parametrize("name", FAMILY)
def test_the_draw_does_not_depend_on_the_precision(name):
    single = FAMILY[name](2, 1, 8, 2, seeded())
    torch.set_default_dtype(torch.float64)
    try:
        double = FAMILY[name](2, 1, 8, 2, seeded())
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(single.state_dict().values(), double.state_dict().values(), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=1e-7)


def test_xavier_normal():
    """std² = 2/(inputs + outputs); 400·600 draws know it to 1/sqrt(2·240000) = 0.15 %."""
    layer = dense(400, 600, seeded())
    assert layer.weight.std().item() == pytest.approx(1 / math.sqrt(500), rel=0.01)
    assert layer.bias.abs().max().item() == 0
    bias = encoder(2, 5000, seeded()).bias
    assert bias.std().item() == pytest.approx(1 / math.sqrt(5001 / 2), rel=0.05)


def test_gates_follow_the_formula():
    network = Gated(2, 1, 7, 3, seeded()).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    u, v = torch.tanh(network.encoder_u(x)), torch.tanh(network.encoder_v(x))
    h = x
    for layer in network.hidden:
        z = torch.tanh(h @ layer.weight.T + layer.bias)
        h = z * u + (1 - z) * v
    torch.testing.assert_close(network(x), network.output(h))
    # 3·7 first layer + 2·(7·7 + 7) hidden + 8 output + 2·(2·7 + 7) encoders
    assert sum(p.numel() for p in network.parameters()) == 21 + 112 + 8 + 42
    assert {"hidden.0.weight", "output.weight", "encoder_u.weight"} <= set(network.state_dict())


def test_factorised_weight_is_a_xavier_draw():
    layer = Factorised(300, 200, seeded(), mean=0.5, std=0.1)
    assert layer.weight.std().item() == pytest.approx(1 / math.sqrt(250), rel=0.02)
    assert layer.s.mean().item() == pytest.approx(0.5, abs=0.03)


def test_fourier_features_lie_on_circles():
    features = Fourier(2, 10, seeded(), sigma=3.0)
    y = features(torch.rand(6, 2))
    torch.testing.assert_close(y[:, :5] ** 2 + y[:, 5:] ** 2, torch.ones(6, 5))
    assert not list(features.parameters())
    assert set(features.state_dict()) == {"b"}


def test_standardise_and_hard_constraint():
    inner = MLP(2, 1, 5, 1, seeded())
    x = torch.tensor([[1.0, 4.0], [0.0, 2.0]])
    outer = Standardise(inner, [1.0, 2.0], [1.0, 2.0])
    torch.testing.assert_close(outer(x), inner(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])))
    held = HardConstraint(inner, lambda x, raw: 3 + x[:, :1] * raw)
    assert held(x)[1].item() == 3.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLP(2, 1, 0, 2), "MLP: expected width > 0, got 0"),
        (lambda: MLP(2, 1, 5, -1), "expected depth > 0, got -1"),
        (lambda: Gated(2, 1, 5.5, 2), "expected a whole number for width, got 5.5"),
        (lambda: Gated(0, 1, 5, 2), "gated network: expected inputs > 0"),
        (lambda: Fourier(2, 7), "expected an even number of features, got 7; set features=8"),
        (lambda: Fourier(2, 8, sigma=0.0), "expected sigma > 0"),
        (lambda: Factorised(2, 3, std=-1.0), "expected std > 0"),
        (lambda: Standardise(MLP(2, 1, 5, 1), [0.0, 0.0], [1.0]), "one mean and one std"),
        (lambda: Standardise(MLP(2, 1, 5, 1), [0.0, 0.0], [1.0, 0.0]), "expected std > 0"),
    ],
)
def test_mistakes(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_a_spread_first_layer_bends_in_many_places():
    first = partial(spread, scale=3.0, bias=0.5)
    network = MLP(2, 1, 400, 2, seeded(), first=first)
    layer, second = network.hidden
    assert layer.bias.detach().abs().max() <= 0.5
    assert layer.bias.std().item() == pytest.approx(0.5 / math.sqrt(3), rel=0.1)
    assert layer.weight.std().item() == pytest.approx(3 * xavier_std(2, 400), rel=0.1)
    assert second.weight.std().item() == pytest.approx(xavier_std(400, 400), rel=0.1)
    assert not second.bias.any()


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"bias": -1.0}])
def test_a_spread_layer_needs_positive_numbers(wrong):
    with pytest.raises(UserError, match="spread layer: expected"):
        spread(2, 3, **wrong)


def test_separate_networks_see_their_own_coordinates():
    network = Separate(3, 2, 5, 2, seeded(), of=[[0, 1, 2], [0, 1]]).double()
    x = torch.rand(6, 3, dtype=torch.float64)
    later = x.clone()
    later[:, 2] += 1.0
    u, a = network(x).unbind(1)
    u_later, a_later = network(later).unbind(1)
    assert torch.equal(a, a_later)
    assert not torch.equal(u, u_later)
    names = {"u_t", "a", "a_x", "a_t"}
    found = taylor.derivatives(network, x, ("u", "a"), ("x", "y", "t"), names)
    nested = autograd.derivatives(network, x, ("u", "a"), ("x", "y", "t"), names)
    for name in names:
        torch.testing.assert_close(found[name], nested[name])
    assert not found["a_t"].any()


@pytest.mark.parametrize("of", [[], [[0]], [[0], [1, 3]], [[0], []]])
def test_separate_networks_want_columns_for_each_output(of):
    with pytest.raises(UserError, match="for each of 2 outputs some of the columns"):
        Separate(3, 2, 5, 2, of=of)

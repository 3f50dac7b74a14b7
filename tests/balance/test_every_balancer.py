"""Properties that every balancing rule has, written once and applied to every member."""

import pytest
import torch
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.balance.gradients import Annealing
from sciml.training.step import Step

MEMBERS = {
    "fixed": lambda: Fixed({"walls": 3.0}),
    "annealing_paper": lambda: Annealing(alpha=0.9),
    "annealing_released_code": lambda: Annealing(
        denominator="weighted", reduce="layer_mean", params="weights"
    ),
    "annealing_cavity": lambda: Annealing(reduce="layer_ratio_max", params="weights"),
}

every_balancer = pytest.mark.parametrize("make", MEMBERS.values(), ids=MEMBERS.keys())


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 1)).double()


def objective(scale: float = 1.0, order: tuple[str, ...] = ("residual", "walls", "initial")):
    x = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(12, 2)

    def terms(model, batch):
        u = model(x)[:, 0]
        every = {
            "residual": ((u - 1) ** 2).mean(),
            "walls": (u[:4] ** 4).mean(),
            "initial": (u[4:8] - 2).abs().mean(),
        }
        return {name: scale * every[name] for name in order}

    return terms


def step_of(model: nn.Module, terms, index: int = 0) -> Step:
    return Step(terms, model, [None], index, dict(model.named_parameters()))


@every_balancer
def test_one_finite_nonnegative_detached_weight_per_term(make):
    weights = make()(step_of(network(), objective()))
    assert set(weights) == {"residual", "walls", "initial"}
    for weight in weights.values():
        assert weight.ndim == 0 and not weight.requires_grad
        assert torch.isfinite(weight) and weight >= 0


@every_balancer
def test_the_order_of_the_terms_does_not_matter(make):
    model = network()
    one = make()(step_of(model, objective()))
    other = make()(step_of(model, objective(order=("initial", "residual", "walls"))))
    for name in one:
        torch.testing.assert_close(one[name], other[name])


@every_balancer
def test_a_common_scale_of_all_terms_does_not_matter(make):
    model = network()
    one = make()(step_of(model, objective()))
    other = make()(step_of(model, objective(scale=1e3)))
    for name in one:
        torch.testing.assert_close(one[name], other[name])


@every_balancer
def test_finite_when_gradients_vanish(make):
    def flat(model, batch):
        zero = sum((0 * p).sum() for p in model.parameters())
        return {"residual": zero + 1, "walls": zero + 2}

    for weight in make()(step_of(network(), flat)).values():
        assert torch.isfinite(weight)


@every_balancer
def test_one_term_alone(make):
    def alone(model, batch):
        terms = objective()(model, batch)
        return {"residual": terms["residual"]}

    if isinstance(balancer := make(), Fixed):
        balancer = Fixed()
    assert float(balancer(step_of(network(), alone))["residual"]) == 1.0


@every_balancer
def test_state_goes_on_after_save_and_load(make):
    model, first = network(), make()
    first(step_of(model, objective(), 0))
    second = make()
    second.load_state_dict(first.state_dict())
    one = first(step_of(model, objective(), 10))
    other = second(step_of(model, objective(), 10))
    assert {k: float(v) for k, v in one.items()} == {k: float(v) for k, v in other.items()}


@every_balancer
def test_a_new_term_may_join_in_a_later_phase(make):
    model, balancer = network(), make()
    balancer(step_of(model, objective(order=("residual", "walls")), 0))
    weights = balancer(step_of(model, objective(), 10))
    assert torch.isfinite(weights["initial"])

"""Annealing against numbers worked out by hand on a model of two parameters."""

import pytest
import torch
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.balance.gradients import Annealing
from sciml.contracts import UserError
from sciml.training.step import Step


class TwoParameters(nn.Module):
    """a and b as the 1x1 weight matrices of two layers, and an encoder that no rule should see."""

    def __init__(self, a: float = 1.0, b: float = 2.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, 1, bias=False)
        self.output = nn.Linear(1, 1, bias=False)
        self.encoder = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            for layer, value in ((self.hidden, a), (self.output, b), (self.encoder, 5.0)):
                layer.weight.fill_(value)


def terms(model: TwoParameters, batch: None) -> dict[str, torch.Tensor]:
    """residual 2a² + 3b² + 100c, walls ab: gradients (4, 12, 100) and (2, 1, 0) at (1, 2)."""
    a, b, c = model.hidden.weight[0, 0], model.output.weight[0, 0], model.encoder.weight[0, 0]
    return {"residual": 2 * a**2 + 3 * b**2 + 100 * c, "walls": a * b + 0 * c}


def step_of(model: nn.Module, index: int = 0, objective=terms) -> Step:
    return Step(objective, model, [None], index, dict(model.named_parameters()))


PAPER = dict(alpha=0.9, every=10, denominator="unweighted", reduce="global", params="all")
RELEASED = dict(alpha=0.1, every=10, denominator="weighted", reduce="layer_mean", params="weights")


def test_paper():
    # all parameters: max |g_r| = 100, mean |g_w| = (2 + 1 + 0)/3 = 1, estimate 100
    # λ = 0.1 · 1 + 0.9 · 100 = 90.1; again: 0.1 · 90.1 + 0.9 · 100 = 99.01
    balancer, model = Annealing(**PAPER), TwoParameters()
    assert float(balancer(step_of(model))["walls"]) == pytest.approx(90.1)
    assert float(balancer(step_of(model, 10))["walls"]) == pytest.approx(99.01)
    assert float(balancer(step_of(model, 10))["residual"]) == 1.0


def test_released_code():
    # main weights only: max |g_r| = 12, mean of layer means |g_w| = (2 + 1)/2 = 1.5, estimate 8
    # λ = 0.9 · 1 + 0.1 · 8 = 1.7; then the gradient of 1.7 L_w: estimate 8/1.7, λ = 1.53 + 0.8/1.7
    balancer, model = Annealing(**RELEASED), TwoParameters()
    assert float(balancer(step_of(model))["walls"]) == pytest.approx(1.7)
    assert float(balancer(step_of(model, 10))["walls"]) == pytest.approx(1.53 + 0.8 / 1.7)


def test_released_code_settles_at_the_square_root():
    # λ = 0.9 λ + 0.1 · 8/λ  =>  λ² = 8
    balancer, model = Annealing(**RELEASED), TwoParameters()
    for index in range(0, 2000, 10):
        weights = balancer(step_of(model, index))
    assert float(weights["walls"]) == pytest.approx(8**0.5, rel=1e-5)


def test_cavity_takes_the_largest_ratio_of_a_layer():
    # layer ratios 4/2 = 2 and 12/1 = 12; λ = 0.9 + 1.2 = 2.1
    balancer = Annealing(**RELEASED | {"reduce": "layer_ratio_max"})
    assert float(balancer(step_of(TwoParameters()))["walls"]) == pytest.approx(2.1)


def test_layer_mean_is_unweighted_and_global_mean_is_not():
    # layers of 1 and 3 entries with |g_w| = (6) and (2, 2, 2): mean of means 4, mean of all 3
    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.output = nn.Linear(1, 1, bias=False), nn.Linear(3, 1, bias=False)

    def objective(model, batch):
        a, b = model.hidden.weight.sum(), model.output.weight.sum()
        return {"residual": 12 * a + b, "walls": 6 * a + 2 * b}

    for reduce, mean in (("layer_mean", 4.0), ("global", 3.0)):
        balancer = Annealing(alpha=1.0, reduce=reduce, params="weights")
        weights = balancer(step_of(Uneven(), objective=objective))
        assert float(weights["walls"]) == pytest.approx(12 / mean)


def test_updates_only_every_so_many_steps_and_asks_for_rows_only_then():
    balancer, model = Annealing(every=10), TwoParameters()
    step = step_of(model, 3)
    assert float(balancer(step)["walls"]) == 1.0
    assert not step.has_rows


def test_several_residual_terms_are_added():
    # x: (4, 0), y: (0, 12): together (4, 12) as in the paper's test without the encoder
    def objective(model, batch):
        a, b = model.hidden.weight[0, 0], model.output.weight[0, 0]
        return {"x": 2 * a**2, "y": 3 * b**2, "walls": a * b}

    balancer = Annealing(numerator=["x", "y"], alpha=1.0, params="weights")
    weights = balancer(step_of(TwoParameters(), objective=objective))
    assert float(weights["walls"]) == pytest.approx(12 / 1.5)
    assert float(weights["x"]) == float(weights["y"]) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "0 < alpha <= 1"),
        ({"every": 0}, "every >= 1"),
        ({"reduce": "median"}, "reduce to be one of"),
        ({"denominator": "both"}, "denominator to be one of"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(UserError, match=message):
        Annealing(**arguments)


def test_an_unknown_numerator_is_named_with_the_nearest_term():
    with pytest.raises(UserError, match="did you mean 'residual'"):
        Annealing(numerator="residuals")(step_of(TwoParameters()))


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_fixed_weights_are_finite_and_not_negative(value):
    with pytest.raises(UserError, match="finite weights >= 0, got walls="):
        Fixed({"walls": value})

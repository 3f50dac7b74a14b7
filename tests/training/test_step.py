"""A step answers lazily, at most once, and the mean over its batches."""

import pytest
import torch
from torch import nn

from sciml.contracts import Diverged, UserError
from sciml.training.step import Step
from sciml.training.vectors import unflatten, weighted

X = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(12, 2)


class Counting(nn.Module):
    """Two terms and their residual rows; counts how often it is asked."""

    terms = ("residual", "walls")

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.residual_calls = 0

    def forward(self, model, x):
        self.calls += 1
        return {name: (row**2).mean() for name, row in self._rows(model, x).items()}

    def residuals(self, model, x):
        self.residual_calls += 1
        return self._rows(model, x)

    def _rows(self, model, x):
        u = model(x)[:, 0]
        return {"residual": u - x[:, 0].sin(), "walls": u - 2}


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def step_of(objective, model, batches) -> Step:
    return Step(objective, model, batches, 7, dict(model.named_parameters()))


def test_every_answer_is_computed_once():
    objective = Counting()
    step = step_of(objective, network(), [X])
    for _ in range(2):
        assert step.terms is step.terms and step.rows() is step.rows()
        assert step.losses is step.losses and step.residuals() is step.residuals()
    assert objective.calls == objective.residual_calls == 1


def test_nothing_is_computed_before_it_is_asked():
    objective = Counting()
    assert not step_of(objective, network(), [X]).has_rows
    assert objective.calls == 0


def test_rows_are_the_gradients_of_the_terms():
    model = network()
    step = step_of(Counting(), model, [X])
    for name, row in zip(step.losses, step.rows(), strict=True):
        model.zero_grad()
        Counting()(model, X)[name].backward()
        for key, piece in unflatten(row, step.parameters).items():
            torch.testing.assert_close(piece, model.get_parameter(key).grad)


def test_several_batches_answer_with_their_mean():
    model, objective = network(), Counting()
    whole = step_of(Counting(), model, [X])
    parts = step_of(objective, model, X.split(4))
    rows = parts.rows()
    torch.testing.assert_close(rows, whole.rows())
    assert objective.calls == 3
    weights = {"residual": torch.tensor(2.0).double(), "walls": torch.tensor(0.5).double()}
    plain = step_of(Counting(), model, X.split(4)).gradient(weights, last=True)
    torch.testing.assert_close(plain, whole.gradient(weights))
    for name in whole.losses:
        torch.testing.assert_close(parts.losses[name], whole.losses[name])
        torch.testing.assert_close(parts.terms[name], whole.terms[name])
        rows = parts.residuals()[name]
        torch.testing.assert_close((rows**2).mean(), whole.losses[name])


def test_losses_come_with_the_gradient_at_no_further_pass():
    objective = Counting()
    step = step_of(objective, network(), X.split(4))
    step.gradient(dict.fromkeys(objective.terms, torch.ones(()).double()), last=True)
    assert set(step.losses) == set(objective.terms) and objective.calls == 3


def test_again_is_the_step_at_shifted_parameters_and_leaves_the_model_alone():
    model, shifted = network(), network()
    with torch.no_grad():
        for parameter in shifted.parameters():
            parameter.add_(0.1)
    before = [p.clone() for p in model.parameters()]
    step = step_of(Counting(), model, [X])
    other = step.again({name: p + 0.1 for name, p in model.named_parameters()})
    expected = step_of(Counting(), shifted, [X])
    for name, term in other.terms.items():
        torch.testing.assert_close(term, expected.terms[name])
    torch.testing.assert_close(other.rows(), expected.rows())
    torch.testing.assert_close(other.residuals(), expected.residuals())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    one = step.again({"0.bias": model[0].bias + 1.0})
    torch.testing.assert_close(one.parameters["2.bias"], model[2].bias.detach())


def test_terms_in_half_precision_are_weighed_in_single():
    def objective(model, x):
        return {"residual": model(x).mean().bfloat16()}

    step = step_of(objective, network(), [X])
    assert step.terms["residual"].dtype == torch.float32


def test_rows_that_are_not_finite_reach_no_balancer():
    def objective(model, x):
        return {"residual": model(x).mean(), "walls": (0 * model(x)).abs().sum().sqrt()}

    with pytest.raises(Diverged, match="the gradient by '0.weight' became NaN"):
        step_of(objective, network(), [X]).rows()


def test_refusals():
    model = network()
    with pytest.raises(UserError, match="'residual' of shape \\[12\\]"):
        _ = step_of(lambda model, x: {"residual": model(x)[:, 0]}, model, [X]).terms
    with pytest.raises(UserError, match="depends on no trained parameter"):
        _ = step_of(lambda model, x: {"residual": x.mean()}, model, [X]).losses
    with pytest.raises(UserError, match="needs residual rows"):
        step_of(lambda model, x: {"residual": model(x).mean()}, model, [X]).residuals()


def test_weighted_sum():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert float(weighted(terms, {"a": torch.tensor(10.0), "b": torch.tensor(1.0)})) == 23.0

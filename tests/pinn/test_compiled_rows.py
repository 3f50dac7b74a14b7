"""Terms with all their gradients from one call, against a backward pass for each in eager code."""

import pytest
import torch

from sciml.calculus.pointwise import compiled, taylor
from sciml.contracts import GradientRows, UserError
from sciml.pinn import Problem, interval
from sciml.pinn.networks import MLP
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.points import Collocation, Points
from sciml.training.step import Step
from tests.pinn.test_objective import (
    batch_of,
    gradients,
    network,
    no_fallback,
    problem,
    small,
    small_parts,
)


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def assert_same(found, settings, model, batch):
    """Equal to eager nested autograd, rows by the trained parameters."""
    terms, rows = gradients(CollocationLoss(settings), model, batch)
    values, ours = found
    assert not values.requires_grad and not ours.requires_grad
    torch.testing.assert_close(values, torch.stack(list(terms.values())).detach())
    torch.testing.assert_close(ours, rows, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_rows_are_the_gradients_of_the_terms(compiled):
    # two equations at the same points, two conditions of one term, periodic ones, data
    model, batch = network(), batch_of(problem())
    loss = CollocationLoss(problem(), Engine(taylor.derivatives, compiled)).train()
    assert isinstance(loss, GradientRows)
    with no_fallback():
        assert_same(loss.rows(model, batch, trained(model)), problem(), model, batch)


def test_one_program_serves_other_values_of_the_parameters():
    loss, model, batch = small_parts()
    _, other, _ = small_parts()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.1
    there = {name: p.detach().requires_grad_() for name, p in other.named_parameters()}
    with no_fallback():
        assert_same(loss.rows(model, batch, trained(model)), small(), model, batch)
        assert_same(loss.rows(model, batch, there), small(), other, batch)
    assert len(loss._compiled_rows._programs) == 1


def test_frozen_parameters_have_no_columns():
    loss, model, batch = small_parts()
    next(model.parameters()).requires_grad_(False)
    values, rows = loss.train().rows(model, batch, trained(model))
    loss.engine = Engine(taylor.derivatives)
    expected, theirs = loss.rows(model, batch, trained(model))
    assert rows.shape[1] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    torch.testing.assert_close(rows, theirs)
    torch.testing.assert_close(values, expected)


def test_a_term_that_sees_no_trained_parameter_is_refused_by_name():
    """A condition on the coordinates alone has no gradient whatever is trained."""
    partly = Problem(
        name="p",
        domain=interval(0.0, 1.0),
        unknowns=("u",),
        equations=lambda f: {"r": f.u_xx, "known": f.x},
        conditions=(),
    )
    loss, model = CollocationLoss(partly), MLP(1, 1, 4, 1)
    batch = Collocation({"residual": Points(torch.rand(5, 1))})
    with pytest.raises(UserError, match="the term 'known' depends on no trained parameter"):
        Step(loss, model, [batch], 0, trained(model), together=True).rows()


def test_a_step_takes_terms_and_rows_together():
    loss, model, batch = small_parts(compiled=False)
    one = Step(loss, model, [batch, batch], 0, trained(model), together=True)
    other = Step(loss, model, [batch, batch], 0, trained(model))
    torch.testing.assert_close(one.rows(), other.rows())
    torch.testing.assert_close(one.losses, other.losses)


def test_eager_code_goes_on_where_rows_are_wrong_or_fail(monkeypatch):
    right = compiled.compile_rows

    def wrong(function, inputs):
        program = right(function, inputs)

        def call(*inputs):
            values, rows = program(*inputs)
            return values, rows * torch.linspace(1.01, 1, len(rows), dtype=rows.dtype)[:, None]

        return call

    def broken(function, inputs):
        raise RuntimeError("no luck")

    for replacement, message in ((wrong, "differ from nested"), (broken, "no luck")):
        monkeypatch.setattr(compiled, "compile_rows", replacement)
        loss, model, batch = small_parts()
        with pytest.warns(UserWarning, match=message):
            _, rows = loss.rows(model, batch, trained(model))
        with no_fallback():
            loss.rows(model, batch, trained(model))
        expected = small_parts(compiled=False)[0].rows(model, batch, trained(model))[1]
        torch.testing.assert_close(rows, expected)


def test_another_shape_is_refused_by_the_program():
    program = compiled.compile_rows(
        lambda x, w: [(x @ w).square().mean(), w.square().sum()],
        (torch.ones(4, 2), torch.ones(2, 1, requires_grad=True)),
    )
    # ∂ mean (w1 + w2)²/∂w = 2·2 = 4 in both; ∂ Σ w²/∂w = 2
    values, rows = program(torch.ones(4, 2), torch.ones(2, 1))
    assert values.tolist() == [4.0, 2.0] and rows.tolist() == [[4.0, 4.0], [2.0, 2.0]]
    with pytest.raises(UserError, match="expected input 0 of shape"):
        program(torch.ones(5, 2), torch.ones(2, 1))

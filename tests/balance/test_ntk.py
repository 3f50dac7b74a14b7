"""NTK weights on residuals whose Jacobian is known."""

import pytest
import torch
from torch import nn

from sciml.balance.ntk import NTK
from sciml.contracts import UserError
from sciml.training.step import Step

#: ∂r/∂θ by term: mean squares of the rows (1 + 4)/2 = 2.5 and 25, orthogonal within each term.
JACOBIAN = {
    "residual": torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
    "walls": torch.tensor([[3.0, 4.0]]),
}


class Linear(nn.Module):
    """r = J θ − 1."""

    terms = tuple(JACOBIAN)

    def residuals(self, model, batch):
        return {name: j @ model.weight[0] - 1 for name, j in JACOBIAN.items()}

    def forward(self, model, batch):
        return {name: r.square().mean() for name, r in self.residuals(model, batch).items()}


def step(index=0):
    model = nn.Linear(2, 1, bias=False)
    return Step(Linear(), model, [None], index, dict(model.named_parameters()))


@pytest.mark.parametrize("known", [True, False], ids=["Jacobian", "random signs"])
def test_weights_are_inverse_mean_squares(known):
    # orthogonal rows have no products for the signs to meet: one probe is exact
    made = step()
    if known:
        made.jacobian()
    weights = NTK()(made)
    assert float(weights["residual"]) == pytest.approx(27.5 / 2.5)
    assert float(weights["walls"]) == pytest.approx(27.5 / 25)


def test_new_estimates_enter_slowly_and_seldom():
    balancer = NTK(alpha=0.25, every=10)
    balancer.weights.put("residual", torch.tensor(1.0))
    assert float(balancer(step(3))["residual"]) == 1.0
    assert float(balancer(step(10))["residual"]) == pytest.approx(0.75 * 1 + 0.25 * 11)


def test_random_signs_are_right_on_average(monkeypatch):
    # rows (1, 1) and (1, 0): |Jᵀ v|² is 5 or 1, the trace 3
    monkeypatch.setitem(JACOBIAN, "residual", torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    found = NTK(probes=400)(step())
    # 3/2 ± 4·(2/2)/√400: λ = (1.5 + 25)/1.5 = 17.7
    assert 26.5 / float(found["residual"]) == pytest.approx(1.5, abs=0.25)


def test_a_term_that_sees_no_parameter_is_refused_as_by_every_rule(monkeypatch):
    monkeypatch.setitem(JACOBIAN, "walls", torch.zeros(1, 2))
    made = step()
    real = made.objective.residuals
    made.objective.residuals = lambda *given: real(*given) | {"walls": torch.ones(1)}
    weights = NTK()(made)
    with pytest.raises(UserError, match="the term 'walls' depends on no trained parameter"):
        made.gradient(weights)


def test_an_objective_without_residuals_is_refused():
    model = nn.Linear(2, 1)

    def terms(model, batch):
        return {"misfit": model.weight.square().sum()}

    with pytest.raises(UserError, match="needs residual rows"):
        NTK()(Step(terms, model, [None], 0, dict(model.named_parameters())))

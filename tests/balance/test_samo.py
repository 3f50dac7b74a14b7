"""SAMO on two quadratic terms, whose gradients elsewhere are known."""

import pytest
import torch
from torch import nn

from sciml.balance.conflict import MGDA
from sciml.balance.fixed import Fixed
from sciml.balance.gcond import GCond
from sciml.balance.ntk import NTK
from sciml.balance.samo import SAMO
from sciml.contracts import UserError
from sciml.training.step import Step

CURVATURE = {"a": torch.tensor([1.0, 4.0, 2.0]), "b": torch.tensor([5.0, 0.5, 1.0])}
THETA = torch.tensor([1.0, -2.0, 3.0])


class TwoLayers(nn.Module):
    """θ as two parameters of one layer, and one of another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.ParameterList([THETA[:2].clone()]), nn.ParameterList([THETA[2:]])


def terms(model, batch):
    theta = torch.cat([model.one[0], model.two[0]])
    return {name: (c * theta**2).sum() / 2 for name, c in CURVATURE.items()}


def step():
    model = TwoLayers()
    return Step(terms, model, [None], 0, dict(model.named_parameters()))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_gradients_are_those_uphill(beta):
    rows = torch.stack([c * THETA for c in CURVATURE.values()])
    mean, sharp = rows.mean(0), []
    for row, c in zip(rows, CURVATURE.values(), strict=True):
        own = torch.cat(
            [mean[cut].norm() / row[cut].norm() * row[cut] for cut in (slice(2), slice(2, 3))]
        )
        up = (1 - beta) * mean + beta * own
        sharp.append(c * (THETA + 0.1 * up / up.norm()))
    found = SAMO(Fixed({"b": 2.0}), rho=0.1, beta=beta)(step()).gradient
    torch.testing.assert_close(found, sharp[0] + 2 * sharp[1])


def test_the_model_is_left_where_it_was():
    made = step()
    SAMO(MGDA(), rho=10.0)(made)
    assert torch.equal(torch.cat(list(made.parameters.values())), THETA)


def test_the_inner_rule_sees_the_sharp_rows_and_its_state_is_kept():
    class Seen(nn.Module):
        def forward(self, step):
            self.whole, self.part = step.rows(), step.rows(within=["two.0"])
            return {name: torch.ones(()) for name in step.losses}

    inner = Seen()
    balancer, made = SAMO(inner), step()
    balancer(made)
    assert not torch.equal(inner.whole, made.rows())
    assert torch.equal(inner.part, inner.whole[:, 2:])
    assert any(key.startswith("inner.") for key in SAMO(with_state()).state_dict())


def with_state():
    fixed = Fixed()
    fixed.register_buffer("seen", torch.zeros(1))
    return fixed


@pytest.mark.parametrize(
    "inner",
    [lambda: GCond(stochastic=True), NTK, lambda: SAMO(Fixed())],
    ids=["gcond", "ntk", "samo"],
)
def test_a_rule_that_would_pass_the_sharp_rows_by_is_refused(inner):
    with pytest.raises(UserError, match="balancer.inner: expected a rule that looks at") as refused:
        SAMO(inner())
    assert "\n" not in str(refused.value)


def test_something_else_than_a_balancer_is_refused():
    with pytest.raises(UserError, match="balancer.inner: expected a balancer, got None"):
        SAMO(None)

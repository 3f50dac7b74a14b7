"""GCond against two gradients in the plane, worked out by hand."""

import math

import pytest
import torch

from sciml.balance.gcond import GCond
from sciml.contracts import UserError
from tests.balance.members import Given, Three, network, points, step_of


def plane(degrees: float, length: float = 1.0) -> torch.Tensor:
    """(1, 0), and a row at an angle to it."""
    angle = math.radians(degrees)
    other = [length * math.cos(angle), length * math.sin(angle)]
    return torch.tensor([[1.0, 0.0], other], dtype=torch.float64)


def direction(balancer, rows, index=0):
    step = Given(rows)
    step.index = index
    return balancer(step).gradient


def test_gradients_in_agreement_are_added():
    torch.testing.assert_close(direction(GCond(), plane(80)), plane(80).sum(0))


def test_at_the_main_threshold_both_are_projected():
    # c = −1/2, a = π/2: g1 + g2/2 = (0.75, 0.433) and g2 + g1/2 = (0, 0.866), which agree
    rows = plane(120)
    torch.testing.assert_close(direction(GCond(), rows), 1.5 * rows.sum(0))


def test_between_the_thresholds_the_angle_is_in_proportion():
    # c = −1/4: a = π/4, each gives up sin 45° of its part along the other; then they agree
    rows = plane(math.degrees(math.acos(-0.25)))
    one = rows[0] + 0.25 * 0.5**0.5 * rows[1]
    two = rows[1] + 0.25 * 0.5**0.5 * rows[0]
    assert one @ two > 0
    torch.testing.assert_close(direction(GCond(), rows), one + two)


def test_far_below_the_winner_is_left_alone_and_the_loser_loses_all_along_it():
    # c < −0.8: a = π; equal scores, so the first by name wins: g1 and g2 − ⟨g1, g2⟩ g1
    rows = plane(160)
    expected = rows[0] + rows[1] - (rows[0] @ rows[1]) * rows[0]
    torch.testing.assert_close(direction(GCond(), rows), expected)


def test_angles_meet_at_the_thresholds():
    angle = GCond()._angle
    assert angle(-1e-12) == pytest.approx(0, abs=1e-11)
    assert angle(-0.5) == angle(-0.5 - 1e-12) == pytest.approx(math.pi / 2)
    assert angle(-0.65) == pytest.approx(math.pi / 2 * (1 + 0.25))
    assert angle(-0.8) == angle(-1.0) == pytest.approx(math.pi)


def test_the_steadier_gradient_wins():
    # b has not turned since the last step, a has: b wins the second arbitration
    balancer = GCond(momentum=0.0)
    first = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    balancer(Given(first))
    rows = torch.tensor([[-0.95, -((1 - 0.95**2) ** 0.5)], [1.0, 0.0]], dtype=torch.float64)
    weights = balancer(Given(rows))
    # b is left alone, a loses ⟨a, b⟩ b = −0.95 b: weights (1, 1 + 0.95)
    assert [float(w) for w in weights.values()] == pytest.approx([1.0, 1.95])


def test_after_three_wins_in_a_row_a_term_loses():
    balancer, rows, winners = GCond(momentum=0.0), plane(160), []
    for index in range(6):
        step = Given(rows)
        step.index = index
        weights = [float(w) for w in balancer(step).values()]
        winners.append("ab"[weights.index(max(weights))])  # the loser's part falls on the winner
    assert winners.count("b") and "".join(winners[:4]) == "aaab"


def test_momentum_is_corrected_for_its_start():
    # (0.85·0.15 d1 + 0.15 d2)/(1 − 0.85²)
    balancer = GCond()
    one, two = plane(60), plane(30, 2.0)
    torch.testing.assert_close(direction(balancer, one), one.sum(0))
    expected = (0.85 * 0.15 * one.sum(0) + 0.15 * two.sum(0)) / (1 - 0.85**2)
    torch.testing.assert_close(direction(balancer, two, 1), expected)


def test_given_weights_enter_before_the_conflict():
    rows = plane(120, 2.0)
    plain = direction(GCond(), torch.stack([rows[0], 3 * rows[1]]))
    torch.testing.assert_close(direction(GCond({"b": 3.0}), rows), plain)


def test_stochastic_mode_gives_each_batch_to_one_term():
    # batches 0, 3 are the residual's, 1 the walls', 2 the initial values'; then the whole machinery
    model, objective = network(), Three()
    step = step_of(model, objective, batches=4)
    rows = []
    for name, own in (("residual", (0, 3)), ("walls", (1,)), ("initial", (2,))):
        mean = sum(objective(model, points(n))[name] for n in own) / len(own)
        found = torch.autograd.grad(mean, list(model.parameters()))
        rows.append(torch.cat([piece.flatten() for piece in found]))
    given = Given(torch.stack(rows))
    given.losses = dict(zip(objective.terms, given.losses.values(), strict=True))
    answer = GCond(stochastic=True)(step)
    torch.testing.assert_close(answer.gradient, GCond()(given).gradient)
    assert step.losses.keys() == set(objective.terms)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GCond(main=0.5), "1 > weak > main > critical > -1, got 0.0, 0.5, -0.8"),
        (lambda: GCond(momentum=1.0), "0 <= momentum < 1, got 1.0"),
        (lambda: GCond(streak=0), "streak >= 1"),
        (lambda: GCond({"walls": -1.0}), "finite weights >= 0, got walls=-1"),
        (lambda: GCond(within="last"), "set momentum=0"),
        (lambda: GCond({"wall": 1.0})(step_of(network(), Three())), "did you mean 'walls'"),
        (
            lambda: GCond(stochastic=True)(step_of(network(), Three())),
            "each micro-batch to one of 3 terms, got 1; set accumulate=3",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()

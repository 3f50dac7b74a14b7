"""Rules of the point weights: by hand, through the terms, over ranks, across a resume."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch

from sciml.balance.fixed import Fixed
from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import Phase, UserError
from sciml.pinn import Face, Problem, Sampling, dirichlet, initial_value, interval
from sciml.pinn.data import CollocationData
from sciml.pinn.networks import MLP, Standardise
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.point_weights import RBA, VRBA, Causal, exponential, quadratic
from sciml.pinn.points import Collocation, Points
from sciml.pinn.samplers import sobol
from sciml.pinn.system import assemble
from sciml.training.run import Settings, train
from sciml.training.step import Step

DOUBLE = torch.float64


def problem(**changes):
    """u_t = x on (0, 1)², u(0, t) = 0, and a second equation."""
    settings = {
        "name": "weighed",
        "domain": interval(0, 1).over_time(0, 1),
        "unknowns": ("u",),
        "equations": lambda f: {"a": f.u_t - f.x, "b": f.u_x - 2 * f.t},
        "conditions": (dirichlet("u", 0.0, on=Face("x", 0.0), name="left"),),
    }
    return Problem(**{**settings, **changes})


def data(n=12, every=None, problem=None):
    return CollocationData(one() if problem is None else problem,
                           Sampling({"residual": n, "left": 4}, every=every), 0)  # fmt: skip


def one():
    """With one equation only."""
    return problem(equations=lambda f: {"a": f.u_t - f.x})


def tensor(*values):
    return torch.tensor(values, dtype=DOUBLE)


class Row(torch.nn.Module):
    """u = c t, so that r_a = c − x and r_b = −2 t."""

    def __init__(self, c=3.0):
        super().__init__()
        self.c = torch.nn.Parameter(torch.tensor(c, dtype=DOUBLE))

    def forward(self, x):
        return self.c * x[:, 1:]


def test_attention_by_hand():
    """γ = 0.5, η = 0.1, λ = 0.1 at first; r = (1, −4, 2)."""
    rule = RBA(one(), data(3), gamma=0.5, eta=0.1).double()
    x = torch.zeros(3, 2)
    weights = rule({"a": tensor(1, -4, 2)}, x)["a"]
    expected = [0.05 + 0.025, 0.05 + 0.1, 0.05 + 0.05]
    assert weights.sqrt().tolist() == pytest.approx(expected)
    weights = rule({"a": tensor(3, 0, 0)}, x)["a"]
    again = [0.5 * expected[0] + 0.1, 0.5 * expected[1], 0.5 * expected[2]]
    assert weights.sqrt().tolist() == pytest.approx(again)


def test_attention_stays_below_its_bound():
    rule = RBA(one(), data(2), gamma=0.9, eta=0.5).double()
    for _ in range(200):
        weights = rule({"a": tensor(1, 0)}, torch.zeros(2, 2))["a"]
    assert weights.tolist() == pytest.approx([(0.5 / (1 - 0.9)) ** 2, 0], abs=1e-6)


def test_variational_attention_by_hand():
    """|r| = (1, 2, 4): quadratic λ ∝ (1, 2, 4)/4; exponential at k = 2: 4^(|r|/4 − 1)."""
    rule = VRBA(one(), data(3, 1), potential=quadratic, phi=1.0, gamma=0.5).double()
    weights = rule({"a": tensor(-1, 2, 4)}, torch.zeros(3, 2))["a"]
    assert weights.tolist() == pytest.approx([1 / 7, 4 / 7, 16 / 7])
    rule = VRBA(one(), data(3, 1), potential=exponential, phi=0.5, gamma=0.5).double()
    for _ in range(3):
        weights = rule({"a": tensor(-1, 2, 4)}, torch.zeros(3, 2))["a"]
    square = (0.5 * 4.0 ** (np.array([1, 2, 4]) / 4 - 1) + 0.5) ** 2
    assert weights.tolist() == pytest.approx(list(square / square.mean()))
    rule({"a": tensor(0, 0, 1)}, torch.zeros(3, 2))
    assert rule.largest.tolist() == [2.0]  # max(1, 0.5 · 4)


def test_no_attention_is_no_weight():
    rule = VRBA(one(), data(3, 1), phi=0.0).double()
    assert rule({"a": tensor(1, 2, 9)}, torch.zeros(3, 2))["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("make", [VRBA, partial(VRBA, potential=quadratic), Causal])
def test_weights_are_finite_where_every_residual_is_zero(make):
    rule = make(one(), data(40, 1)).double()
    weights = rule({"a": torch.zeros(40, dtype=DOUBLE)}, torch.rand(40, 2, dtype=DOUBLE))["a"]
    assert torch.isfinite(weights).all() and (make is not Causal or (weights == 1).all())


def test_causal_weights_by_hand():
    """Times 0.1 … 0.6 in two chunks of three, given unsorted; L_1 = (1 + 4 + 0)/3, ε = 0.5."""
    t = tensor(0.5, 0.1, 0.6, 0.3, 0.2, 0.4)
    rows = {"a": tensor(9, 1, 9, 0, -2, 9)}
    rule = Causal(one(), data(6, 1), tolerance=0.5, chunks=2).double()
    weights = rule(rows, torch.stack((0 * t, t), 1))["a"]
    late = math.exp(-0.5 * 5 / 3)
    assert weights.tolist() == pytest.approx([late, 1, late, 1, 1, late])
    assert rule.criteria()["last_causal_weight"].item() == pytest.approx(late)


def test_the_least_weight_of_several_equations_holds_for_all():
    t = tensor(0.1, 0.2, 0.3, 0.4)
    rows = {"a": tensor(1, 1, 0, 0), "b": tensor(0, 2, 0, 0)}
    rule = Causal(problem(), data(4, 1, problem()), tolerance=1.0, chunks=2).double()
    weights = rule(rows, torch.stack((0 * t, t), 1))
    assert weights["a"].tolist() == pytest.approx([1, 1, math.exp(-2), math.exp(-2)])
    assert torch.equal(weights["a"], weights["b"])


def test_a_phase_sets_the_tolerance_of_causality():
    loss = CollocationLoss(one(), None, Causal(one(), data(6, 1), 0.5, 2))
    loss.configure(causal_tolerance=10.0)
    assert loss.point_weights.tolerance == 10.0
    loss.configure()
    assert loss.point_weights.tolerance == 0.5
    with pytest.raises(UserError, match="tolerance > 0, got -1"):
        loss.configure(causal_tolerance=-1.0)
    with pytest.raises(UserError, match="expected causal point weights, got None"):
        CollocationLoss(one()).configure(causal_tolerance=1.0)


def weighed(every=None, rule=RBA, engine=None, n=12):
    both = problem()
    points = data(n, every, both)
    loss = CollocationLoss(both, engine, rule(both, points).double())
    return loss, points


def test_weights_enter_terms_rows_and_least_squares():
    """L = mean(w r²) with the weights of the points and of the equations."""
    loss, points = weighed()
    batch = next(iter(points.train_dataloader()))
    weight = torch.linspace(0.5, 1.5, 12, dtype=DOUBLE)
    x = batch.points["residual"].x
    sets = {**batch.points, "residual": Points(x, weight=weight)}
    (batch,) = loss.weigh(Row(), [Collocation(sets)])
    size = {"a": (3 - x[:, 0]).abs(), "b": 2 * x[:, 1]}
    terms, rows = loss(Row(), batch), loss.residuals(Row(), batch)
    for name, r in size.items():
        attention = (0.1 * 0.999 + 0.01 * r / r.max()) ** 2
        assert terms[name].item() == pytest.approx((attention * weight * r**2).mean().item())
        assert rows[name].abs().tolist() == pytest.approx(
            (r * (attention * weight).sqrt()).tolist()
        )
    model, moved = Row(), Row(4.0)
    step = Step(loss, model, [batch], 0, dict(model.named_parameters()))
    there = step.again({"c": moved.c})
    expected = CollocationLoss(problem())(moved, batch)
    torch.testing.assert_close(there.terms, expected)
    for name, (row, jacobian) in step.linearised().items():
        torch.testing.assert_close(row, rows[name].detach())
        if name == "a":
            torch.testing.assert_close(jacobian[:, 0], row / (3 - x[:, 0]))


def test_asking_for_terms_changes_no_state_and_held_out_points_have_no_weight():
    loss, points = weighed()
    before = copy.deepcopy(loss.state_dict())
    held_out = points.val_dataloader()[0]
    assert held_out.weights is None
    plain = CollocationLoss(problem())
    assert loss(Row(), held_out) == plain(Row(), held_out)
    loss.residuals(Row(), held_out)
    assert all(torch.equal(before[key], value) for key, value in loss.state_dict().items())


def test_without_a_rule_nothing_is_weighed():
    loss, points = CollocationLoss(problem()), data(12, 1, problem())
    batch = next(iter(points.train_dataloader()))
    assert loss.weigh(Row(), [batch])[0] is batch


@pytest.mark.parametrize("derivatives", [autograd.derivatives, taylor.derivatives])
def test_residuals_of_the_equations_hold_no_graph(derivatives):
    loss = CollocationLoss(problem(), Engine(derivatives))
    x = torch.rand(5, 2, dtype=DOUBLE)
    found = loss.equations(Row(), Points(x))
    torch.testing.assert_close(found["a"], 3 - x[:, 0])
    torch.testing.assert_close(found["b"], -2 * x[:, 1])
    assert not any(row.requires_grad for row in found.values())


RULES = {
    "rba": (RBA, None),
    "vrba": (VRBA, 1),
    "quadratic": (partial(VRBA, potential=quadratic), 1),
    "causal": (partial(Causal, chunks=4), 1),
}


def trained(name, steps, start=0, loss=None):
    """Weights of each step while the model moves; the loss that made them."""
    rule, every = RULES[name]
    fresh, points = weighed(every, rule)
    loss = fresh if loss is None else loss
    batches, found = points.train_dataloader(start), []
    for step in range(start, start + steps):
        (batch,) = loss.weigh(Row(3.0 / (1 + step)), [next(batches)])
        found.append(batch.weights)
    return found, loss


@pytest.mark.parametrize("name", RULES)
def test_the_state_brings_the_same_weights_back(name, tmp_path):
    whole, _ = trained(name, 6)
    _, loss = trained(name, 3)
    torch.save(loss.state_dict(), tmp_path / "state.pt")
    rule, every = RULES[name]
    resumed, _ = weighed(every, rule)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    again, _ = trained(name, 3, 3, resumed)
    for a, b in zip(whole[3:], again, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in ("a", "b"))


def handed_in(loss, model, batch):
    """What a rank gives to the sum over ranks; the loss itself stays as it is."""
    parts = []
    copy.deepcopy(loss).weigh(model, [batch], lambda part: parts.append(part) or part)
    return parts[0]


@pytest.mark.parametrize("name", RULES)
def test_two_ranks_weigh_as_one(name):
    """What the ranks would add up is added here: the shares of both, at every step."""
    whole, single = trained(name, 3)
    rule, every = RULES[name]
    ranks = [weighed(every, rule) for _ in range(2)]
    batches = [points.train_dataloader(0, rank, 2) for rank, (_, points) in enumerate(ranks)]
    for step in range(3):
        model, drawn = Row(3.0 / (1 + step)), [next(b) for b in batches]
        parts = [handed_in(loss, model, b) for (loss, _), b in zip(ranks, drawn, strict=True)]
        total = parts[0] + parts[1]
        shares = [
            loss.weigh(model, [batch], lambda part, total=total: total)[0].weights
            for (loss, _), batch in zip(ranks, drawn, strict=True)
        ]
        for key in ("a", "b"):
            joined = torch.cat([share[key] for share in shares])
            torch.testing.assert_close(joined, whole[step][key], rtol=1e-14, atol=0)
    for loss, _ in ranks:
        torch.testing.assert_close(loss.state_dict(), single.state_dict(), rtol=1e-14, atol=0)


def test_weights_move_with_their_batch():
    loss, points = weighed()
    (batch,) = loss.weigh(Row(), [next(iter(points.train_dataloader()))])
    moved = batch.to("cpu", torch.float32)
    assert moved.weights["a"].dtype == moved.points["residual"].x.dtype == torch.float32


def test_compiled_terms_see_the_weights(recwarn):
    both = problem()
    points = CollocationData(both, Sampling({"residual": 12, "left": 4}, every=None), 0)
    engine = Engine(taylor.derivatives, compiled=True)
    loss = CollocationLoss(both, engine, RBA(both, points).double())
    eager = CollocationLoss(both)
    inner = MLP(2, 1, 4, 1, torch.Generator().manual_seed(0))
    model = Standardise(inner, [0.5] * 2, [0.3] * 2).double()
    drawn = next(iter(points.train_dataloader()))
    found = []
    for _ in range(2):
        (batch,) = loss.weigh(model, [drawn])
        found.append(loss(model, batch))
        torch.testing.assert_close(found[-1], eager(model, batch), rtol=1e-11, atol=0)
    assert found[0]["a"] < found[1]["a"]  # the same program, other weights
    assert len(loss._compiled._programs) == 1
    assert not [w for w in recwarn if "derivatives:" in str(w.message)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RBA(one(), data(every=1)), "rba: expected one set of points for good.*vrba"),
        (lambda: RBA(one(), data(), gamma=1.0), "rba: expected 0 <= gamma < 1, got 1.0"),
        (lambda: RBA(one(), data(), eta=0.0), "rba: expected a finite eta > 0"),
        (lambda: VRBA(one(), data(), phi=2.0), "vrba: expected 0 <= phi <= 1, got 2.0"),
        (lambda: VRBA(one(), data(), potential="exp"), "function as potential, got 'exp'"),
        (lambda: Causal(one(), data(), chunks=1), "2 to 12 chunks of the 12 points, got 1"),
        (lambda: Causal(one(), data(), chunks=13), "2 to 12 chunks"),
        (lambda: Causal(one(), data(), tolerance=0.0, chunks=4), "tolerance > 0, got 0.0"),
    ],
)
def test_rules_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_weights_that_remember_take_one_batch_a_step():
    for rule, refused in ((RBA, True), (VRBA, True), (Causal, False)):
        weights = rule(one(), data(40))
        reason = CollocationLoss(one(), point_weights=weights).one_batch_a_step
        assert (reason is not None) == refused
        assert not refused or reason.startswith(f"the weights of {rule.__name__} move on")
    assert CollocationLoss(one()).one_batch_a_step is None


def test_causality_needs_time():
    steady = problem(domain=interval(0, 1), equations=lambda f: {"a": f.u_x}, conditions=())
    points = CollocationData(steady, Sampling({"residual": 40}), 0)
    with pytest.raises(UserError, match=r"a problem over time, got the coordinates \('x',\)"):
        Causal(steady, points)


@pytest.mark.parametrize("rule", [RBA, VRBA, Causal], ids=["rba", "vrba", "causal"])
def test_a_run_with_weighted_points_resumes_bit_for_bit(rule, tmp_path):
    """Through the training loop: weights move on once a step, and only there."""
    slope = Problem(
        name="decay",
        domain=interval(0, 1).over_time(0, 1),
        unknowns=("u",),
        equations=lambda f: {"residual": f.u_t + f.u * f.x},
        conditions=(initial_value("u", 1.0, name="start"),),
        exact=lambda f: {"u": torch.exp(-f.x * f.t)},
        long_names={"u": "amount"},
    )
    made = []

    def run(steps, folder):
        optimizer = partial(torch.optim.Adam, lr=1e-2)
        phases = {"adam": Phase(steps=steps, optimizer=optimizer, precision="float64")}
        network = partial(MLP, width=6, depth=1)
        points = Sampling({"residual": 64, "start": 8}, sobol, every=None)
        weighing = rule if folder != "plain" else None
        parts = assemble(slope, network, points, point_weights=weighing)
        made.append(parts.objective)
        settings = Settings(save_every=10, validate_every=10)
        return train(parts, Fixed(), phases, settings, tmp_path / folder)

    whole = run(20, "whole")
    run(10, "halves")
    resumed = run(20, "halves")
    assert resumed.resumed_from == 10
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(made[0].buffers(), made[-1].buffers(), strict=True):
        assert torch.equal(a, b)
    plain = run(20, "plain").model.state_dict()
    assert not all(torch.equal(plain[k], v) for k, v in whole.model.state_dict().items())

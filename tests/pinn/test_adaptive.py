"""Points that follow the residual: the rules by themselves, in the data, and across a resume."""

from functools import partial

import numpy as np
import pytest
import torch

from sciml.balance.fixed import Fixed
from sciml.contracts import Phase, UserError
from sciml.pinn import Face, Problem, Sampling, dirichlet, interval
from sciml.pinn.adaptive import R3, RAD, RARD, Renewal
from sciml.pinn.data import CollocationData
from sciml.pinn.densities import Graded
from sciml.pinn.networks import MLP
from sciml.pinn.objective import CollocationLoss, Engine
from sciml.pinn.system import assemble
from sciml.training.run import Settings, train

RULES = {"rad": RAD(), "rad_corrected": RAD(correction=0.5), "rar_d": RARD(4), "r3": R3()}
RULES["renewal"] = Renewal(0.5)


def problem(unknowns=("u",), **changes):
    """u_x = 1 on (0, 1), u(0) = 0."""
    settings = {
        "name": "ramp",
        "domain": interval(0, 1),
        "unknowns": unknowns,
        "equations": lambda f: {"ramp": f.u_x - 1},
        "conditions": (dirichlet("u", 0.0, on=Face("x", 0.0), name="left"),),
        "exact": lambda f: {"u": f.x},
    }
    return Problem(**{**settings, **changes})


class Quadratic(torch.nn.Module):
    """u = x + a x²/2, so that r = a x."""

    def __init__(self, a=2.0):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x):
        return x + self.a * x**2 / 2


def act(rule, n=400, size=lambda x: x[:, 0], seed=0):
    """One action on uniform points of (0, 1) where the residual is `size`."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1))
    return x, *rule(x, lambda m: rng.random((m, 1)), size, rng)


def adaptive_data(rule, every=2, seed=0, n=40, **keys):
    sampling = Sampling({"residual": n, "left": 2}, every=every, adaptive=rule, **keys)
    return CollocationData(problem(), sampling, seed)


def test_rad_draws_with_its_density():
    """|r| = x, k = c = 1: p = 2x + 1 over 2, so (1/4 + 1/2)/2 = 3/8 of the points lie below 1/2."""
    _, x, factor = act(RAD(pool=50), n=4000)
    assert factor is None
    assert (x < 0.5).mean() == pytest.approx(3 / 8, abs=0.025)  # σ = 0.0077
    _, x, _ = act(RAD(k=2, c=0, pool=50), n=4000)
    assert (x < 0.5).mean() == pytest.approx(1 / 8, abs=0.025)  # p = 3x²


def test_corrected_rad_keeps_the_mean_of_uniform_points():
    """Mean of x² over (0, 1) is 1/3; RAD's own points give (1/2 + 1/3)/2 = 5/12."""
    _, x, factor = act(RAD(pool=50, correction=0.5), n=4000)
    weight = factor / factor.mean()
    assert (x[:, 0] ** 2).mean() == pytest.approx(5 / 12, abs=0.02)
    assert (weight * x[:, 0] ** 2).mean() == pytest.approx(1 / 3, abs=0.02)


def test_rar_d_keeps_every_point_and_adds_where_the_residual_is_large():
    before, x, _ = act(RARD(50), n=200)
    assert np.array_equal(x[:200], before)
    assert len(x) == 250
    assert x[200:].mean() == pytest.approx(3 / 4, abs=0.1)  # p = 3x²


def test_r3_retains_what_exceeds_the_mean():
    before, x, _ = act(R3(), n=300)
    retained = before[before > before.mean()].reshape(-1, 1)
    assert np.array_equal(x[: len(retained)], retained)
    assert len(x) == 300
    assert x[len(retained) :].mean() == pytest.approx(0.5, abs=0.1)


def test_renewal_keeps_half():
    before, x, _ = act(Renewal(0.5), n=300)
    assert len(x) == 300
    assert len(np.intersect1d(before, x)) == 150


@pytest.mark.parametrize("name", RULES)
def test_a_residual_of_zero_everywhere_is_no_mistake(name):
    _, x, factor = act(RULES[name], size=lambda x: np.zeros(len(x)))
    assert np.isfinite(x).all()
    assert factor is None or np.isfinite(factor).all()


@pytest.mark.parametrize("rule", [RAD(c=0.0), RARD(growth=10, c=0.0)])
def test_a_residual_of_zero_almost_everywhere_is_no_mistake(rule):
    """Without a uniform part one candidate in 400 has all the chance; the others fill up."""
    _, x, _ = act(rule, size=lambda x: np.arange(len(x)) == 3)
    assert len(np.unique(x, axis=0)) == len(x)


def test_the_data_asks_for_the_residual_of_the_model():
    """r = 2x: as for RAD above, 3/8 of the points lie below 1/2; conditions are not touched."""
    data = adaptive_data(RAD(pool=20), n=2000)
    objective, model = CollocationLoss(problem()), Quadratic()
    batches = data.train_dataloader()
    for step in range(3):
        data.refresh(model, objective, step)
        x = next(batches).points["residual"].x
        below = (x < 0.5).double().mean().item()
        assert below == pytest.approx(0.5 if step < 2 else 3 / 8, abs=0.04)


def test_several_equations_count_alike_whatever_their_size():
    """r_1 = 2x and r_2 = 1e6 (1 − x): their relative sizes add up to 2 everywhere."""
    two = problem(equations=lambda f: {"a": f.u_x - 1, "b": 1e6 * (1 - f.x) + 0 * f.u})
    data = CollocationData(two, Sampling({"residual": 3000, "left": 2}, every=1,
                                         adaptive=RAD(c=0, pool=10)), 0)  # fmt: skip
    for step in (0, 1):
        data.refresh(Quadratic(), CollocationLoss(two), step)
    x = next(iter(data.train_dataloader(1))).points["residual"].x
    assert x.mean().item() == pytest.approx(0.5, abs=0.03)


def seen(data, steps, start=0, seed=0):
    objective, batches = CollocationLoss(problem()), data.train_dataloader(start)
    found = []
    for step in range(start, start + steps):
        data.refresh(Quadratic(1.0 + step), objective, step)
        found.append(next(batches).points["residual"])
    return found


@pytest.mark.parametrize("name", RULES)
def test_points_change_every_so_many_steps_and_only_then(name):
    found = seen(adaptive_data(RULES[name], every=3), 9)
    for step in range(1, 9):
        same = torch.equal(found[step].x, found[step - 1].x)
        assert same == (step % 3 != 0), step
    assert len(found[-1]) == 40 + 2 * RULES[name].growth


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_the_state_brings_the_same_points_back(name, at, tmp_path):
    whole = seen(adaptive_data(RULES[name], every=3), 9)
    interrupted = adaptive_data(RULES[name], every=3)
    seen(interrupted, at)
    torch.save(interrupted.state_dict(), tmp_path / "state.pt")
    resumed = adaptive_data(RULES[name], every=3)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for a, b in zip(whole[at:], seen(resumed, 9 - at, at), strict=True):
        assert torch.equal(a.x, b.x)
        assert (a.weight is None) == (b.weight is None)
        assert a.weight is None or torch.equal(a.weight, b.weight)


def test_ranks_share_the_same_adapted_set():
    whole = seen(adaptive_data(RARD(3), every=2), 5)[-1]
    shares = []
    for rank in range(2):
        data, objective = adaptive_data(RARD(3), every=2), CollocationLoss(problem())
        batches = data.train_dataloader(0, rank, 2)
        for step in range(5):
            data.refresh(Quadratic(1.0 + step), objective, step)
            points = next(batches).points["residual"]
        shares.append(points.x)
    assert len(whole) == 46
    assert torch.equal(torch.cat(shares), whole.x)


def test_held_out_points_stay_those_of_the_base_density():
    plain, data = adaptive_data(None), adaptive_data(RAD())
    seen(data, 6)
    held_out = data.val_dataloader()[0].points["residual"]
    assert torch.equal(held_out.x, plain.val_dataloader()[0].points["residual"].x)


def test_weights_of_a_density_stay_with_adapted_points():
    grading = Graded("x", 0.0, 0.02)
    for rule in (R3(), RAD(correction=0.5)):
        points = seen(adaptive_data(rule, every=1, density=grading, exponent=0.5), 4)[-1]
        assert points.weight.mean().item() == pytest.approx(1)
        ratio = points.weight.numpy() * grading.pdf(points.x[:, 0].numpy(), 0, 1)
        assert (np.ptp(ratio) < 1e-12) == isinstance(rule, R3)


def system(rule, density=None):
    sampling = Sampling({"residual": 32, "left": 2}, every=4, adaptive=rule, density=density)
    network = partial(MLP, width=6, depth=2)
    return assemble(
        problem(equations=lambda f: {"ramp": f.u_x - f.u}, exact=None), network, sampling
    )


@pytest.mark.parametrize("name", RULES)
def test_a_run_resumes_bit_for_bit_in_mid_set(name, tmp_path):
    """Killed after 10 of 20 steps, between the changes of the points at 8 and 12."""

    def run(steps, folder):
        optimizer = partial(torch.optim.Adam, lr=1e-2)
        phases = {"adam": Phase(steps=steps, optimizer=optimizer, precision="float64")}
        parts = system(RULES[name], Graded("x", 0.0, 0.1))
        settings = Settings(save_every=10, validate_every=10)
        return train(parts, Fixed(), phases, settings, tmp_path / folder)

    whole = run(20, "whole")
    run(10, "halves")
    resumed = run(20, "halves")
    assert resumed.resumed_from == 10
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RAD(k=-1), "rad: expected .* k >= 0"),
        (lambda: RAD(pool=1), "pool >= 2"),
        (lambda: RAD(correction=2), "correction <= 1"),
        (lambda: RARD(0), "growth >= 1, got 0"),
        (lambda: RARD(2.5), "growth >= 1, got 2.5"),
        (lambda: Renewal(1.0), "0 < keep < 1, got 1.0"),
        (lambda: adaptive_data(RAD(), every=None), "steps between two actions"),
        (lambda: adaptive_data("rad"), "adaptive to be a rule, got 'rad'"),
    ],
)
def test_rules_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_growing_set_is_refused_under_compiled_terms():
    sampling = Sampling({"residual": 8, "left": 2}, adaptive=RARD(2))
    with pytest.raises(UserError, match="sets of one size for compiled.*derivatives=taylor"):
        assemble(problem(), partial(MLP, width=4, depth=1), sampling, Engine(compiled=True))


def test_a_checkpoint_with_adapted_points_needs_the_rule():
    data = adaptive_data(R3())
    seen(data, 3)
    with pytest.raises(UserError, match="the sampling of the run"):
        adaptive_data(None).load_state_dict(data.state_dict())

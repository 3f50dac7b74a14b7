"""Least squares as phases: against SciPy, with resume, and what is refused."""

from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.contracts import Direction, Diverged, Phase, System, UserError
from sciml.training import least_squares
from sciml.training.least_squares import GaussNewton, GradientPower, LevenbergMarquardt
from sciml.training.least_squares import memory as step_memory
from sciml.training.optimizers.self_scaled import SelfScaled
from sciml.training.phases import lay_out
from sciml.training.refusals import require_match
from sciml.training.run import Settings, train
from sciml.training.step import Step
from tests.training.sine import SineData, SineMetric, SineObjective, sine_system

QUICK = Settings(save_every=5, validate_every=10, log_every=5)


class SineResiduals(SineObjective):
    """The sine's terms as residual rows; their Jacobian is taken row by row."""

    def residuals(self, model, batch):
        x = batch.x[:, 0]
        return {
            "residual": model(batch.x)[:, 0] - torch.sin(3 * x),
            "walls": model(0 * batch.x)[:, 0] + x / 1000,
        }


class OneSet(SineData):
    """The same points at every step."""

    def train_dataloader(self, start, rank, ranks):
        first = next(iter(super().train_dataloader(0, rank, ranks)))
        while True:
            yield first


def system(data=None, objective=None) -> System:
    model = sine_system().model
    return System(model, objective or SineResiduals(), data or SineData(), SineMetric(), None, None)


def phase(steps=15, optimizer=LevenbergMarquardt, precision="float64", **keys):
    return {"lm": Phase(steps, partial(optimizer, **keys), precision=precision)}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_reaches_the_optimum_that_scipy_finds(tmp_path):
    whole = system(OneSet())
    batch = next(iter(OneSet().train_dataloader(0, 0, 1)))
    model, objective = whole.model.double(), SineResiduals()
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()

    def rows(theta):
        torch.nn.utils.vector_to_parameters(torch.from_numpy(theta), model.parameters())
        with torch.no_grad():
            found = objective.residuals(model, batch)
        return torch.cat([3**0.5 * found["residual"], found["walls"]]).numpy() / 32**0.5

    theirs = scipy.optimize.least_squares(rows, start, method="lm", max_nfev=5000)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start), model.parameters())
    outcome = train(whole, Fixed({"residual": 3.0}), phase(60), QUICK, tmp_path)
    ours = rows(weights(outcome.model).numpy())
    assert ours @ ours < 2 * (2 * theirs.cost) + 1e-14


def test_the_loss_never_grows_on_fixed_points(tmp_path):
    train(system(OneSet()), Fixed(), phase(20), Settings(log_every=1), tmp_path)
    history = np.genfromtxt(tmp_path / "history.csv", delimiter=",", names=True, dtype=None)
    loss = history["lossresidual"] + history["losswalls"]
    assert np.all(np.diff(loss) <= 0) and loss[-1] < 1e-4 * loss[0]


@pytest.mark.parametrize("keys", [{}, {"damping": GradientPower()}, {"solver": "matrix_free"}])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, keys):
    whole = train(system(), Fixed(), phase(10, **keys), QUICK, tmp_path / "whole").model
    train(system(), Fixed(), phase(5, **keys), QUICK, tmp_path / "cut")
    resumed = train(system(), Fixed(), phase(10, **keys), QUICK, tmp_path / "cut")
    assert resumed.resumed_from == 5
    assert torch.equal(weights(whole), weights(resumed.model))


def test_products_and_matrix_take_the_same_steps(tmp_path):
    dense = train(system(), Fixed(), phase(3, solver="cholesky"), QUICK, tmp_path / "a").model
    free = train(system(), Fixed(), phase(3, solver="matrix_free"), QUICK, tmp_path / "b").model
    torch.testing.assert_close(weights(dense), weights(free), rtol=1e-3, atol=1e-4)


def test_acceleration_agrees_with_the_second_derivative():
    """k is the second directional derivative of the residuals: compared with autograd's."""
    whole = system(OneSet())
    model, batch = whole.model.double(), next(iter(OneSet().train_dataloader(0, 0, 1)))
    step = Step(SineResiduals(), model, [batch], 0, dict(model.named_parameters()))
    optimizer = LevenbergMarquardt(model.parameters(), h=1e-3, ratio=1e9)
    optimizer.look(step)
    ones = {"residual": torch.tensor(1.0).double(), "walls": torch.tensor(1.0).double()}
    rows, factors = optimizer._linearise(step, ones)
    theta = weights(model)
    p = torch.linspace(-1, 1, len(theta), dtype=torch.float64)
    solved = {}

    class Solver:
        def solve(self, mu, v):
            solved["bend"] = -v
            return torch.zeros_like(p)

    optimizer._accelerated(step, factors, rows, Solver(), theta, p, rows.apply(p), 0.0)

    def scaled(t):
        values = {}
        place = 0
        for name, parameter in model.named_parameters():
            values[name] = (theta + t * p)[place : place + parameter.numel()].view_as(parameter)
            place += parameter.numel()

        def residual_vector(x):
            out = torch.func.functional_call(model, values, (x,))[:, 0]
            return out

        x = batch.x
        first = residual_vector(x) - torch.sin(3 * x[:, 0])
        second = residual_vector(0 * x) + x[:, 0] / 1000
        return torch.cat([first, second]) / len(x) ** 0.5

    t = torch.zeros((), dtype=torch.float64)
    once = lambda t: torch.func.jvp(scaled, (t,), (torch.ones_like(t),))[1]  # noqa: E731
    twice = torch.func.jvp(once, (t,), (torch.ones_like(t),))[1]
    torch.testing.assert_close(solved["bend"], twice, rtol=1e-2, atol=1e-4)


def test_gauss_newton_solves_a_linear_problem_in_one_step(tmp_path):
    linear = nn.Linear(1, 1)
    start = System(linear, SineResiduals(), OneSet(), SineMetric(), None, None)
    outcome = train(start, Fixed(), phase(1, GaussNewton), QUICK, tmp_path)
    x = next(iter(OneSet().train_dataloader(0, 0, 1))).x[:, 0].numpy()
    matrix = np.concatenate([np.stack([x, 1 + 0 * x], 1), np.stack([0 * x, 1 + 0 * x], 1)])
    right = np.concatenate([np.sin(3 * x), -x / 1000])
    best = np.linalg.lstsq(matrix, right, rcond=None)[0]
    np.testing.assert_allclose(weights(outcome.model), best, rtol=1e-10)


class Twice(nn.Module):
    """u = (a + b) x + c: two columns of the Jacobian are the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.full((), v)) for v in (0.5, -2.0, 1.0))

    def forward(self, x):
        return (self.a + self.b) * x + self.c


def test_gauss_newton_without_shrinkage_bears_columns_that_are_the_same(tmp_path):
    start = System(Twice(), SineResiduals(), OneSet(), SineMetric(), None, None)
    found = train(start, Fixed(), phase(1, GaussNewton, shrinkage=0.0), QUICK, tmp_path).model
    x = next(iter(OneSet().train_dataloader(0, 0, 1))).x[:, 0].numpy()
    matrix = np.concatenate([np.stack([x, 1 + 0 * x], 1), np.stack([0 * x, 1 + 0 * x], 1)])
    slope, c = np.linalg.lstsq(matrix, np.concatenate([np.sin(3 * x), -x / 1000]), rcond=None)[0]
    # the shortest of all answers has equal shares
    np.testing.assert_allclose(weights(found), [slope / 2, slope / 2, c], rtol=1e-10)


class Coupled(SineResiduals):
    """Offers a Jacobian point by point although its residual contains a mean over the batch."""

    def residuals(self, model, batch):
        found = super().residuals(model, batch)
        return {**found, "walls": found["walls"] + model(batch.x)[:, 0].mean()}

    def linearised(self, model, batch, parameters):
        from sciml.training.row_by_row import jacobian

        rows = super().residuals(model, batch)
        at = tuple(parameters.values())
        return {name: (r.detach(), jacobian(r, at)) for name, r in rows.items()}


def test_terms_that_couple_points_are_found_and_still_solved(tmp_path):
    with pytest.warns(UserWarning, match="depend on other points"):
        outcome = train(
            system(OneSet(), Coupled()), Fixed(), phase(30), Settings(log_every=1), tmp_path
        )
    assert outcome.steps == 30
    history = np.genfromtxt(tmp_path / "history.csv", delimiter=",", names=True, dtype=None)
    assert history["lossresidual"][-1] < 0.1 * history["lossresidual"][0]


def test_refuses_single_precision(tmp_path):
    with pytest.raises(UserError, match="precision=float64"):
        train(system(), Fixed(), phase(precision="float32"), QUICK, tmp_path)


def test_refuses_an_objective_without_residuals(tmp_path):
    with pytest.raises(UserError, match="SineObjective has none"):
        train(sine_system(), Fixed(), phase(), QUICK, tmp_path)


def test_refuses_what_does_not_fit_with_the_number(tmp_path, monkeypatch):
    monkeypatch.setattr(step_memory, "free_bytes", lambda device: 1000)
    with pytest.raises(UserError, match=r"64 residuals and 31 parameters takes .* GiB"):
        train(system(), Fixed(), phase(), QUICK, tmp_path)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_refuses_a_direction(tmp_path):
    class Always(nn.Module):
        def forward(self, step):
            return Direction(step.rows().sum(0))

    with pytest.raises(UserError, match="this optimiser needs weights"):
        train(system(), Always(), phase(), QUICK, tmp_path)


def test_refuses_negative_weights(tmp_path):
    class Against(nn.Module):
        def forward(self, step):
            return {name: torch.tensor(-1.0 if name == "walls" else 1.0) for name in step.losses}

    with pytest.raises(UserError, match=r"weights >= 0, got -1 for 'walls'"):
        train(system(), Against(), phase(), QUICK, tmp_path)


class Exploding(SineResiduals):
    """Infinite at every point."""

    def residuals(self, model, batch):
        return {name: r / 0 for name, r in super().residuals(model, batch).items()}


@pytest.mark.parametrize("solver", ["auto", "matrix_free"])
def test_a_residual_that_is_not_finite_ends_the_run(tmp_path, solver):
    with pytest.raises(Diverged, match="residual"):
        train(system(objective=Exploding()), Fixed(), phase(solver=solver), QUICK, tmp_path)


class Satisfied(SineResiduals):
    """The walls' condition holds whatever the weights: no parameter has a gradient there."""

    def residuals(self, model, batch):
        return super().residuals(model, batch) | {"walls": batch.x[:, 0] / 1000}


@pytest.mark.parametrize("solver", ["auto", "matrix_free"])
def test_a_term_that_sees_no_parameter_does_no_harm(tmp_path, solver):
    ready = system(OneSet(), Satisfied())
    outcome = train(ready, Fixed(), phase(3, solver=solver), QUICK, tmp_path)
    assert outcome.steps == 3 and torch.isfinite(weights(outcome.model)).all()


@pytest.mark.parametrize("rule", [least_squares.GainRatio(), GradientPower()])
def test_refused_steps_do_not_raise_the_damping_without_end(rule):
    """2.5^2000 overflows: a run that has converged to rounding refuses more steps than that."""
    state = rule.start
    for _ in range(2000):
        state = rule.refused(state)
    for _ in range(100):
        state = rule.accepted(state, 1.0)
    assert state <= 1e-6


def test_what_a_phase_cannot_have_is_refused_before_the_first_phase(tmp_path):
    adam = Phase(3, partial(torch.optim.Adam, lr=1e-3))
    later = Phase(3, LevenbergMarquardt, precision="float64", clip=1.0)
    ready = system()
    before = weights(ready.model)
    with pytest.raises(UserError, match="clip=null"):
        train(ready, Fixed(), {"adam": adam, "lm": later}, QUICK, tmp_path)
    assert torch.equal(weights(ready.model), before)


@pytest.mark.parametrize("make", [LevenbergMarquardt, GaussNewton, SelfScaled])
def test_refuses_several_processes(make):
    optimizer = make([nn.Parameter(torch.zeros(1).double())])
    (stretch,) = lay_out(phase())
    require_match(optimizer, stretch, [SineResiduals()], 1)
    with pytest.raises(UserError, match=r"phases\.lm\.optimizer: expected one process, got 2"):
        require_match(optimizer, stretch, [SineResiduals()], 2)


def test_refuses_clipping(tmp_path):
    clipped = {"lm": Phase(3, LevenbergMarquardt, precision="float64", clip=1.0)}
    with pytest.raises(UserError, match="clip=null"):
        train(system(), Fixed(), clipped, QUICK, tmp_path)


@pytest.mark.parametrize(
    "keys", [{"solver": "magic"}, {"h": 0.0}, {"trials": 0}, {"ratio": -1.0}, {"lr": 0.0}]
)
def test_refuses_bad_arguments(keys):
    with pytest.raises(UserError, match="optimizer: expected"):
        LevenbergMarquardt([nn.Parameter(torch.zeros(1))], **keys)


def test_refuses_bad_damping():
    with pytest.raises(UserError, match="expected damping to be GainRatio or GradientPower"):
        LevenbergMarquardt([nn.Parameter(torch.zeros(1))], damping=0.1)
    for rule, keys in (
        (least_squares.GainRatio, {"start": 0.0}),
        (least_squares.GainRatio, {"lower": 1.0}),
        (least_squares.GradientPower, {"power": 3.0}),
    ):
        with pytest.raises(UserError, match="damping: expected"):
            rule(**keys)

"""The terms of forecasts and ensembles: named, chosen by phases, refused in one line."""

from functools import partial

import pytest
import torch

from sciml.balance.fixed import Fixed
from sciml.calculus.sphere import gauss
from sciml.contracts import Phase, UserError
from sciml.globe.losses import MSE, MSH, FairCRPS, Gradient, Measure
from sciml.globe.noise import InputNoise
from sciml.globe.objective import EnsembleLoss, ForecastLoss
from sciml.globe.rollout import rollout
from sciml.globe.windows import Window
from sciml.training.phases import hand_over
from sciml.training.step import Step
from tests.globe.windows import Columns, Persistence, noise, window_of

GRID = gauss(8)


def window(steps: int = 3, samples: int = 2) -> Window:
    return window_of(noise(samples, steps + 1, 2, *GRID.shape, dtype=torch.float32))


def terms() -> dict[str, torch.nn.Module]:
    measure = Measure(GRID, [1.0, 1.0], gradient=[3.0, 3.0])
    return {"mse": MSE(measure), "msh": MSH(measure), "gradient": Gradient(measure, MSH)}


def test_every_term_compares_the_rollout_with_the_window() -> None:
    loss, model = ForecastLoss(terms(), rollout=2), Columns(2)
    given = window()
    found = loss(model, given)
    assert tuple(found) == loss.terms == ("mse", "msh", "gradient")
    forecast = rollout(model, given, 2)
    for name, term in terms().items():
        assert torch.equal(found[name], term(forecast, given.state[:, 1:3]))


def test_phases_choose_length_and_terms_and_the_next_goes_back() -> None:
    loss, model, given = ForecastLoss(terms(), rollout=2), Columns(2), window()
    hand_over({"rollout": 1, "terms": ["msh"]}, (loss,), "first")
    assert loss.terms == tuple(loss(model, given)) == ("msh",)
    assert torch.equal(
        loss(model, given)["msh"], terms()["msh"](rollout(model, given, 1), given.state[:, 1:2])
    )
    hand_over({"terms": "mse"}, (loss,), "second")
    assert loss.terms == ("mse",) and loss.steps == 2
    hand_over({}, (loss,), "third")
    assert loss.terms == ("mse", "msh", "gradient")


def test_a_step_has_a_gradient_for_every_term() -> None:
    """So that any balancer applies."""
    loss, model = ForecastLoss(terms(), rollout=3), Columns(2)
    step = Step(loss, model, [window()], 0, dict(model.named_parameters()))
    weights = Fixed({"mse": 1.0, "msh": 0.5, "gradient": 0.1})(step)
    rows = step.rows()
    assert rows.shape == (3, sum(p.numel() for p in model.parameters()))
    assert torch.linalg.matrix_rank(rows) == 3
    assert set(weights) == set(loss.terms)


def test_noise_is_for_training_alone() -> None:
    loss = ForecastLoss({"mse": terms()["mse"]}, noise=InputNoise([1.0, 1.0], amplitude=0.5))
    given = window()
    plain = ForecastLoss({"mse": terms()["mse"]})(Persistence(), given)["mse"]
    torch.manual_seed(7)
    first = loss(Persistence(), given)["mse"]
    second = loss(Persistence(), given)["mse"]
    torch.manual_seed(7)
    assert torch.equal(loss(Persistence(), given)["mse"], first)
    assert len({float(first), float(second), float(plain)}) == 3
    assert float(first) == pytest.approx(float(plain) + 0.25, rel=0.15)  # independent noise adds
    assert torch.equal(loss.eval()(Persistence(), given)["mse"], plain)


def test_a_boundary_is_made_of_each_window() -> None:
    """A limited area that is told its whole truth is always right."""

    def told(given):
        return lambda state, step: given.state[:, step]

    loss = ForecastLoss({"mse": terms()["mse"]}, rollout=3, boundary=told)
    assert float(loss(Columns(2), window())["mse"]) == 0


def test_the_parts_of_the_objective_are_in_the_checkpoint() -> None:
    loss = ForecastLoss(terms())
    loss.named.losses["msh"].beta.fill_(7)
    other = ForecastLoss(terms())
    other.load_state_dict(loss.state_dict())
    assert other.named.losses["msh"].beta.tolist() == [7, 7]


def test_what_cannot_be_trained_is_refused() -> None:
    loss = ForecastLoss(terms())
    with pytest.raises(UserError, match="no loss term 'mhs'; did you mean 'msh'"):
        loss.configure(terms=["mhs"])
    with pytest.raises(UserError, match="known: mse, msh, gradient"):
        loss.configure(terms=["vorticity"])
    for wrong in ([], ["mse", "mse"]):
        with pytest.raises(UserError, match="different names"):
            loss.configure(terms=wrong)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(UserError, match="rollout: expected a number of steps >= 1"):
            loss.configure(rollout=wrong)
    with pytest.raises(UserError, match="at least one loss term"):
        ForecastLoss({})
    for wrong in ("a.b", "keys"):
        with pytest.raises(UserError, match="cannot be the name of a term"):
            ForecastLoss({wrong: terms()["mse"]})
    with pytest.raises(UserError, match="at least 6 states for 5 steps, got 4"):
        ForecastLoss(terms(), rollout=5)(Columns(2), window())
    with pytest.raises(
        UserError, match=r"model: expected states of shape \[2, 8, 16\].*got \[1, 8"
    ):
        ForecastLoss(terms())(lambda state, forcing: state[:, :1], window())
    with pytest.raises(UserError, match="phases.one.settings"):
        hand_over({"members": 3}, (loss,), "one")
    assert Phase(1, partial(torch.optim.SGD), settings={"rollout": 2}).settings["rollout"] == 2


def crps(**settings) -> EnsembleLoss:
    given = {"noise": InputNoise([1.0, 1.0], amplitude=1.0), "members": 4, **settings}
    return EnsembleLoss({"crps": FairCRPS(Measure(GRID, [1.0, 1.0]))}, **given)


def test_an_ensemble_around_the_truth_scores_as_its_noise() -> None:
    """N(0, 1) against 0: 2φ(0) - 1/√π = 0.2337."""
    still = window_of(torch.zeros(40, 2, 2, *GRID.shape))
    torch.manual_seed(0)
    assert float(crps()(Persistence(), still)["crps"]) == pytest.approx(0.2337, abs=0.005)


def test_an_ensemble_is_drawn_anew_in_training_and_is_the_same_in_validation() -> None:
    loss, given = crps(rollout=2), window()
    torch.manual_seed(0)
    first = loss(Columns(2), given)["crps"]
    assert loss(Columns(2), given)["crps"] != first
    torch.manual_seed(0)
    assert torch.equal(loss(Columns(2), given)["crps"], first)
    loss.eval()
    assert torch.equal(loss(Columns(2), given)["crps"], loss(Columns(2), given)["crps"])


def test_members_of_an_ensemble_are_of_one_sample() -> None:
    """Far apart samples would show at once if members were mixed up."""
    state = torch.zeros(3, 2, 2, *GRID.shape) + torch.tensor([0.0, 1e3, 1e6]).view(3, 1, 1, 1, 1)
    forcing = torch.zeros(3, 2, 1, *GRID.shape) + torch.tensor([0.0, 1e3, 1e6]).view(3, 1, 1, 1, 1)
    seen = []

    def model(state, forcing):
        seen.append((state.mean((1, 2, 3)) - forcing.mean((1, 2, 3))).abs().max())
        return state

    assert float(crps()(model, window_of(state, forcing))["crps"]) < 0.5
    assert float(seen[0]) < 1


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2, got 1"):
        crps(members=1)

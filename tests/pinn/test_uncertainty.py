"""Error bars hold the truth as often as they say; they see weights, prior, frozen parameters."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sciml import compose
from sciml.balance.fixed import Fixed
from sciml.contracts import UserError
from sciml.pinn import Coefficient, Problem, Sampling, interval, point_data
from sciml.pinn.coefficients import Coefficients
from sciml.pinn.data import CollocationData
from sciml.pinn.evaluate import GridPredictor
from sciml.pinn.networks import MLP
from sciml.pinn.objective import CollocationLoss
from sciml.pinn.uncertainty import Laplace, minimised

SIGMA, POINTS = 0.05, np.linspace(0.01, 0.99, 30)[:, None]
TRUE = {"line": (0.5, -1.0), "c": 3.0}
STRONG = 1e6


class Quadratic(nn.Module):
    """a + b x + d x²: least squares in its parameters is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(torch.cat((x[:, :1], x[:, :1] ** 2), dim=-1))


def truth(x):
    """u'' = c = 3, u = 1/2 - x + 3 x²/2."""
    return TRUE["line"][0] + TRUE["line"][1] * x + TRUE["c"] * x**2 / 2


def parabola(rng: np.random.Generator, noise: float = SIGMA, **changes) -> Problem:
    values = truth(POINTS[:, 0]) + noise * rng.normal(size=len(POINTS))
    settings = {
        "equations": lambda f: {"law": f.u_xx - f.c},
        "coefficients": {"c": Coefficient(0.0, true=TRUE["c"])},
        "units": {"u": "m"},
    }
    seen = point_data("u", POINTS, values, name="seen")
    return Problem("parabola", interval(0.0, 1.0), ("u",), conditions=(seen,), **settings | changes)


def fitted(problem: Problem, model: nn.Module, weights: dict[str, float], steps: int = 1):
    """Gauss-Newton on the weighted rows; one step where the rows are linear."""
    loss, data = CollocationLoss(problem), CollocationData(problem, Sampling({"residual": 8}), 0)
    batch = next(data.train_dataloader()).to("cpu", torch.float64)
    parameters = dict(model.named_parameters())
    for _ in range(steps):
        found = loss.linearised(model, batch, parameters)
        scale = {term: (weights.get(term, 1) / len(r)) ** 0.5 for term, (r, _) in found.items()}
        r = torch.cat([scale[term] * r for term, (r, _) in found.items()])
        j = torch.cat([scale[term] * j for term, (_, j) in found.items()])
        step = torch.linalg.lstsq(j, -r[:, None], driver="gelsd").solution[:, 0]
        pieces = step.split([parameter.numel() for parameter in parameters.values()])
        with torch.no_grad():
            for parameter, piece in zip(parameters.values(), pieces, strict=True):
                parameter += piece.view_as(parameter)
    return loss, data


@pytest.mark.parametrize(
    ("draws", "least", "most"),
    [(60, 0.85, 1.0), pytest.param(300, 0.90, 0.985, marks=pytest.mark.slow)],
)
def test_intervals_of_a_linear_problem_hold_the_truth_as_often_as_they_say(draws, least, most):
    """The 95 % intervals of u at three places and of c hold the truth in 95 % of the draws, less
    1 % for 30 measurements, which do not know σ exactly. Three standard deviations of the share are
    3 √(0.95 0.05/draws), 8.4 % for 60 and 3.8 % for 300.
    """
    rng, weights = np.random.default_rng(0), {"law": STRONG}
    x = torch.tensor([[0.0], [0.4], [1.0]], dtype=torch.float64)
    held, sigmas = [], []
    for _ in range(draws):
        problem = parabola(rng)
        model = Coefficients(Quadratic(), problem.coefficients).double()
        loss, data = fitted(problem, model, weights)
        posterior = Laplace(weights, noisy=["seen"], prior=1e-12).posterior(loss, data, model)
        std = posterior.deviations(x, ("u", "c"))
        with torch.no_grad():
            found = model(x)
        errors = torch.cat(((found[:, 0] - truth(x[:, 0])), found[:1, 1] - TRUE["c"]))
        held.append((errors.abs() < 1.96 * torch.cat((std["u"], std["c"][:1]))).double())
        sigmas.append(posterior.sigma * len(POINTS) ** 0.5)
    share = torch.stack(held).mean(0)
    assert ((share > least) & (share <= most)).all(), share
    assert np.mean(np.square(sigmas)) ** 0.5 == pytest.approx(SIGMA, rel=0.5 / draws**0.5)


def test_against_the_textbook_line():
    """A straight line through n points: var u(x) = σ² (1/n + (x - x̄)²/Σ(x_i - x̄)²)."""
    problem = parabola(
        np.random.default_rng(1), equations=lambda f: {"law": 0 * f.u}, coefficients={}
    )
    model = nn.Linear(1, 1).double()
    loss, data = fitted(problem, model, {})
    posterior = Laplace(noisy=["seen"], prior=1e-14).posterior(loss, data, model)
    xs = POINTS[:, 0]
    with torch.no_grad():
        left = (
            model(torch.from_numpy(POINTS))[:, 0].numpy()
            - loss.problem.conditions[0].region.values["u"]
        )
    sigma = math.sqrt(left @ left / (len(xs) - 2))
    at = np.array([0.0, 0.7])
    spread = ((xs - xs.mean()) ** 2).sum()
    expected = sigma * np.sqrt(1 / len(xs) + (at - xs.mean()) ** 2 / spread)
    found = posterior.deviations(torch.from_numpy(at[:, None]), ("u",))["u"]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    assert posterior.effective == pytest.approx(2.0, abs=1e-6)


def test_frozen_parameters_do_not_vary():
    problem = parabola(np.random.default_rng(2))
    model = Coefficients(Quadratic(), problem.coefficients).double()
    loss, data = fitted(problem, model, {"law": STRONG})
    free = Laplace({"law": STRONG}, noisy=["seen"]).posterior(loss, data, model)
    held = Laplace({"law": STRONG}, noisy=["seen"], trainable=["*bias"])
    bias = held.posterior(loss, data, model)
    x = torch.tensor([[0.3], [1.0]], dtype=torch.float64)
    assert list(bias.parameters) == ["network.layer.bias"]
    assert bias.deviations(x, ("c",))["c"].max() == 0.0
    assert (bias.deviations(x, ("u",))["u"] < free.deviations(x, ("u",))["u"]).all()


def test_derived_fields_have_error_bars_too():
    """std of 2 u is twice that of u."""
    problem = parabola(np.random.default_rng(3), derived={"twice": lambda f: 2 * f.u})
    model = Coefficients(Quadratic(), problem.coefficients).double()
    loss, data = fitted(problem, model, {"law": STRONG})
    std = (
        Laplace({"law": STRONG})
        .posterior(loss, data, model)
        .deviations(torch.tensor([[0.3]]), ("u", "twice"))
    )
    assert std["twice"].item() == pytest.approx(2 * std["u"].item(), rel=1e-12)


def line() -> nn.Module:
    return Coefficients(Quadratic(), {"c": Coefficient(0.0)}).double()


def test_the_result_carries_them():
    problem = parabola(np.random.default_rng(4))
    model = Coefficients(Quadratic(), problem.coefficients).double()
    loss, data = fitted(problem, model, {"law": STRONG})
    bars: Callable = Laplace({"law": STRONG}, noisy=["seen"]).of(loss, data)
    result = next(GridPredictor(problem, data, bars)(model.float(), {}))
    assert result["u_std"].dims == result["u"].dims
    assert result["u_std"].attrs == {"units": "m", "long_name": "standard deviation of u"}
    assert result["u"].attrs["ancillary_variables"] == "u_std"
    assert result["c_std"].dims == () and result["c_std"] > 0
    assert abs(result["c"] - TRUE["c"]) < 5 * result["c_std"]
    assert next(model.parameters()).dtype == torch.float32


def test_weights_that_a_rule_finds_leave_no_error_bars():
    """Another loss than a known one was minimised: bars around its minimum would be of no loss."""
    with pytest.warns(UserWarning, match="no error bars: they need the constant weights"):
        assert Laplace(None).of(*fitted(parabola(np.random.default_rng(7)), line(), {})) is None


def constants(balancer: str) -> object:
    """What `uncertainty=laplace` is given beside a rule, by the case's own configuration."""
    config = compose.compose("heat_inverse/default", [f"balancer={balancer}"])
    return instantiate(config.system.uncertainty, _convert_="all").weights


def test_only_the_weights_of_a_sum_that_is_minimised_make_error_bars():
    """`gcond` is told weights as well, but ends elsewhere; `nashmtl` holds those it has found."""
    assert constants("fixed") == {"observed": 10.0, "edge": 10.0}
    assert minimised(Fixed({"observed": 10})) == {"observed": 10}
    assert constants("gcond") is None
    assert constants("nashmtl") is None


@pytest.mark.slow
def test_intervals_of_a_small_inverse_pinn():
    """u' + λ u = 0 seen with errors, 30 draws: λ's error over its bar has a root mean square of 1,
    known from 30 draws to 1/√60 = 13 %; half of that again for what is not linear.
    """
    rng, weights, scores = np.random.default_rng(5), {"law": 1e3}, []
    for draw in range(30):
        values = np.exp(-2 * POINTS[:, 0]) + 0.02 * rng.normal(size=len(POINTS))
        problem = Problem(
            "decay",
            interval(0.0, 1.0),
            ("u",),
            lambda f: {"law": f.u_x + f.lam * f.u},
            (point_data("u", POINTS, values, name="seen"),),
            coefficients={"lam": Coefficient(1.0, true=2.0)},
        )
        network = MLP(1, 1, 6, 1, torch.Generator().manual_seed(draw))
        model = Coefficients(network, problem.coefficients).double()
        loss, data = trained(problem, model, weights)
        posterior = Laplace(weights, noisy=["seen"]).posterior(loss, data, model)
        std = posterior.deviations(torch.tensor([[0.5]]), ("lam",))["lam"].item()
        scores.append((model.values.item() - 2.0) / std)
    assert 0.75 < np.sqrt(np.mean(np.square(scores))) < 1.3, scores


def trained(problem: Problem, model: nn.Module, weights: dict[str, float]):
    """Levenberg-Marquardt with a fixed ladder of dampings."""
    loss, data = CollocationLoss(problem), CollocationData(problem, Sampling({"residual": 32}), 0)
    batch = next(data.train_dataloader()).to("cpu", torch.float64)
    parameters = dict(model.named_parameters())
    for mu in np.geomspace(1e-1, 1e-9, 60):
        found = loss.linearised(model, batch, parameters)
        square = {term: weights.get(term, 1) / len(r) for term, (r, _) in found.items()}
        gram = sum(square[term] * j.T @ j for term, (_, j) in found.items())
        slope = sum(square[term] * j.T @ r for term, (r, j) in found.items())
        step = -torch.linalg.solve(gram + mu * torch.eye(len(gram), dtype=gram.dtype), slope)
        pieces = step.split([parameter.numel() for parameter in parameters.values()])
        with torch.no_grad():
            for parameter, piece in zip(parameters.values(), pieces, strict=True):
                parameter += piece.view_as(parameter)
    return loss, data


def of(laplace: Laplace, points: dict[str, int] | None = None):
    problem = parabola(np.random.default_rng(6))
    data = CollocationData(problem, Sampling(points or {"residual": 8}), 0)
    model = Coefficients(Quadratic(), problem.coefficients)
    return laplace.of(CollocationLoss(problem), data)(model)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Laplace(prior=0.0), "expected prior > 0, got 0.0"),
        (lambda: of(Laplace({"lav": 2.0})), "got 'lav'; did you mean 'law'"),
        (lambda: of(Laplace(noisy=["scene"])), "expected terms of .*got 'scene'"),
        (lambda: of(Laplace(), {"residual": 8, "seen": 9}), "expected all 30 points of 'seen'"),
        (lambda: of(Laplace(trainable=["x"])), "matches no parameter"),
        (
            lambda: of(Laplace({"seen": 0.0}, noisy=["seen"])),
            "expected terms with noise of weight > 0",
        ),
    ],
)
def test_mistakes(build, message):
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)

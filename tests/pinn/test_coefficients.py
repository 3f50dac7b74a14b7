"""Unknown numbers are constant outputs of the model: values, derivatives, reports, refusals."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from sciml.calculus.pointwise import autograd, taylor
from sciml.contracts import UserError
from sciml.pinn import Coefficient, Problem, Sampling, interval, point_data
from sciml.pinn.coefficients import Coefficients
from sciml.pinn.networks import MLP
from sciml.pinn.objective import CollocationLoss
from sciml.pinn.system import assemble

POINTS = np.linspace(0.05, 0.95, 12)[:, None]


def decay(**changes):
    """u' + lam u = 0, observed; lam = 2."""
    settings = {
        "name": "decay",
        "domain": interval(0.0, 1.0),
        "unknowns": ("u",),
        "equations": lambda f: {"decay": f.u_x + f.lam * f.u},
        "conditions": (point_data("u", POINTS, np.exp(-2 * POINTS[:, 0]), name="seen"),),
        "coefficients": {"lam": Coefficient(0.5, true=2.0)},
        "units": {"lam": "m-1"},
        "long_names": {"lam": "rate of decay"},
    }
    return Problem(**{**settings, **changes})


def system(**changes):
    network = partial(MLP, width=6, depth=1)
    made = assemble(decay(**changes), network, Sampling({"residual": 16}))
    made.model.double()
    return made, next(made.data.train_dataloader()).to("cpu", torch.float64)


def test_columns_behind_those_of_the_network():
    inner = MLP(2, 3, 4, 1, torch.Generator().manual_seed(0))
    model = Coefficients(inner, {"a": 3.0, "b": Coefficient(-0.02, scale=0.01)})
    x = torch.rand(5, 2)
    y = model(x)
    assert torch.equal(y[:, :3], inner(x))
    torch.testing.assert_close(y[:, 3:], torch.tensor([[3.0, -0.02]]).expand(5, 2))
    assert model.values.flatten().tolist() == pytest.approx([3.0, -2.0])


@pytest.mark.parametrize("engine", [autograd, taylor])
def test_a_number_has_no_slope_in_space(engine):
    model = Coefficients(MLP(2, 1, 4, 1), {"a": 3.0}).double()
    x = torch.tensor([[0.0, 0.3], [1.0, -0.4]], dtype=torch.float64)  # also where a coordinate is 0
    found = engine.derivatives(model, x, ("u", "a"), ("x", "y"), {"u_xy", "a", "a_x", "a_xy"})
    assert found["a"].tolist() == [3.0, 3.0]
    assert not found["a_x"].any() and not found["a_xy"].any()


@pytest.mark.parametrize("engine", [autograd, taylor])
def test_gradient_by_the_number(engine):
    """∂/∂λ mean (u' + λ u)² = 2 mean (u' + λ u) u."""
    made, batch = system()
    u, u_x = (
        engine.derivatives(made.model, batch.points["residual"].x, ("u", "lam"), ("x",), {name})[
            name
        ]
        for name in ("u", "u_x")
    )
    term = made.objective(made.model, batch)["decay"]
    (gradient,) = torch.autograd.grad(term, made.model.values)
    assert gradient.item() == pytest.approx((2 * (u_x + 0.5 * u) * u).mean().item(), rel=1e-12)


def test_per_sample_jacobian_has_the_number():
    made, batch = system()
    parameters = dict(made.model.named_parameters())
    r, j = made.objective.linearised(made.model, batch, parameters)["decay"]
    u = made.model(batch.points["residual"].x)[:, 0]
    column = list(parameters).index("values")
    start = sum(p.numel() for p in list(parameters.values())[:column])
    torch.testing.assert_close(j[:, start], u.detach())
    assert len(r) == 16


def test_metrics_and_result_name_the_number():
    made, _ = system()
    batch = made.data.val_dataloader()[0].to("cpu", torch.float64)
    statistics = made.metric.statistics(made.model, batch)
    found = made.metric.value({k: (s / w).item() for k, (s, w) in statistics.items()})
    assert found == pytest.approx({"coefficient/lam": 0.5, "rel_error/lam": 0.75})
    result = next(made.predictor(made.model, {}))
    assert result["lam"].item() == 0.5 and result["lam"].dims == ()
    assert result["lam"].attrs == {"units": "m-1", "long_name": "rate of decay"}
    assert result["lam_exact"].item() == 2.0


def test_a_number_without_known_value_has_no_error():
    made, _ = system(coefficients={"lam": Coefficient(0.5)})
    assert made.metric.value({"coefficient/lam": 0.7}) == {"coefficient/lam": 0.7}


def test_gauss_newton_finds_the_number():
    """Least squares by hand on the rows; the network fits e^{-2x} to about 1e-4."""
    torch.manual_seed(0)
    made, batch = system()
    parameters, mu = dict(made.model.named_parameters()), 1e-3
    objective: CollocationLoss = made.objective
    for _ in range(60):
        found = objective.linearised(made.model, batch, parameters)
        r = torch.cat([a for a, _ in found.values()])
        j = torch.cat([b for _, b in found.values()])
        step = -torch.linalg.solve(j.T @ j + mu * torch.eye(j.shape[1], dtype=r.dtype), j.T @ r)
        mu = max(mu / 2, 1e-10)
        with torch.no_grad():
            pieces = step.split([p.numel() for p in parameters.values()])
            for parameter, piece in zip(parameters.values(), pieces, strict=True):
                parameter += piece.view_as(parameter)
    assert made.model.values.item() == pytest.approx(2.0, abs=2e-3)


REFUSED = {
    "a clash": (lambda: decay(coefficients={"u": Coefficient(0.0)}), "got 'u', which is taken"),
    "a coordinate": (lambda: decay(coefficients={"x": Coefficient(0.0)}), "got 'x'"),
    "a bare number": (lambda: decay(coefficients={"lam": 1.0}), "expected a Coefficient for 'lam'"),
    "no number": (lambda: Coefficient(math.nan), "expected initial to be a finite number, got nan"),
    "no scale": (lambda: Coefficient(0.0, scale=0.0), "expected scale to be a number > 0"),
    "none": (lambda: Coefficients(MLP(1, 1, 2, 1), {}), "at least one unknown number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes(case):
    build, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)

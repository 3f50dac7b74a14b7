"""Residual rows and their Jacobian against one backward pass per row under nested autograd."""

import copy
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from sciml.contracts import Linearised
from sciml.physics import burgers, helmholtz, klein_gordon, navier_stokes
from sciml.pinn import (
    Face,
    Problem,
    Sampling,
    dirichlet,
    initial_value,
    initial_velocity,
    interval,
    periodic,
    point_data,
    rectangle,
)
from sciml.pinn.coefficients import Coefficient, Coefficients
from sciml.pinn.data import CollocationData
from sciml.pinn.features import RandomFeatures
from sciml.pinn.inputs import Stretch
from sciml.pinn.layers import Factorised
from sciml.pinn.networks import MLP, Embedded, Gated, HardConstraint, Separate, Standardise
from sciml.pinn.objective import CollocationLoss
from sciml.pinn.points import Collocation

SQUARE = rectangle((-1.0, -1.0), (1.0, 1.0))


def walls(unknown):
    """Two walls in one term, with different numbers of points."""
    return tuple(
        dirichlet(unknown, 0.25, on=Face("x", side), name=name, term="walls")
        for name, side in (("left", -1.0), ("right", 1.0))
    )


def helmholtz_problem(**changes):
    def equations(f):
        q = helmholtz.standing_wave_source(f.x, f.y, 1.0, 4.0)
        return {"residual": helmholtz.residual(f.u, f.u_xx, f.u_yy, q)}

    settings = {
        "name": "helmholtz", "domain": SQUARE, "unknowns": ("u",),
        "equations": equations, "conditions": walls("u"),
    }  # fmt: skip
    return Problem(**{**settings, **changes})


def burgers_problem():
    return Problem(
        name="burgers",
        domain=interval(-1.0, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=lambda f: {
            "residual": burgers.residual(f.u, f.u_t, f.u_x, f.u_xx, 0.01 / math.pi)
        },
        conditions=(
            periodic("u", axis="x", name="seam"),
            periodic("u", axis="x", derivatives=1, name="slope", term="seam"),
            initial_value("u", lambda f: -torch.sin(math.pi * f.x), name="start"),
        ),
    )


def klein_gordon_problem():
    probes = np.random.default_rng(1).random((3, 2))
    return Problem(
        name="klein_gordon",
        domain=interval(0.0, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=lambda f: {
            "residual": klein_gordon.residual(f.u, f.u_tt, f.u_xx, f.x * f.t, -1.0, 0.0, 1.0)
        },
        conditions=(
            initial_value("u", 0.5, name="start", term="initial"),
            initial_velocity("u", 0.0, name="speed", term="initial"),
            point_data("u", probes, probes[:, 0], name="probes"),
        ),
    )


def cavity_problem():
    """Two equations with third derivatives at the same points."""

    def equations(f):
        return {
            "momentum_x": navier_stokes.stream_momentum_x(
                f.psi_x, f.psi_y, f.psi_xy, f.psi_yy, f.psi_xxy, f.psi_yyy, f.p_x, 100.0
            ),
            "momentum_y": navier_stokes.stream_momentum_y(
                f.psi_x, f.psi_y, f.psi_xx, f.psi_xy, f.psi_xxx, f.psi_xyy, f.p_y, 100.0
            ),
        }

    return Problem(
        name="cavity", domain=SQUARE, unknowns=("psi", "p"), equations=equations,
        conditions=walls("psi_y"),
    )  # fmt: skip


PROBLEMS = {
    "helmholtz": helmholtz_problem,
    "burgers": burgers_problem,
    "klein_gordon": klein_gordon_problem,
    "cavity": cavity_problem,
}
SIZES = {"residual": 7, "left": 3, "right": 5, "seam": 4, "slope": 6, "start": 5, "speed": 3}


def batch_of(problem, dtype=torch.float64):
    sizes = {name: n for name, n in SIZES.items() if name in problem.asked}
    batch = next(iter(CollocationData(problem, Sampling(sizes), 0).train_dataloader()))
    return batch.to("cpu", dtype)


def seeded():
    return torch.Generator().manual_seed(0)


class WithGain(nn.Module):
    """exp(gain) network(x): a trained number outside of every layer."""

    def __init__(self, network):
        super().__init__()
        self.network, self.gain = network, nn.Parameter(torch.tensor([0.3]))

    def forward(self, x):
        return self.network(x) * torch.exp(self.gain)


def cubed(x):
    """No Taylor rule knows the clamp."""
    return torch.clamp(x, -0.5, 0.5) ** 3 + x


NETWORKS = {
    "mlp": lambda m: MLP(2, m, 5, 2, seeded()),
    "gated": lambda m: Gated(2, m, 4, 2, seeded()),
    "fourier": lambda m: Embedded(2, m, 4, 1, seeded()),
    "standardised": lambda m: Standardise(MLP(2, m, 4, 2, seeded()), [0.1, 0.2], [0.6, 0.4]),
    "hard": lambda m: HardConstraint(
        MLP(2, m, 4, 2, seeded()), lambda x, n: torch.sin(x[:, :1]) + x[:, 1:] * (1 - x[:, :1]) * n
    ),
    "stretched": lambda m: Embedded(
        2, m, 4, 1, seeded(), embedding=lambda d, generator: Stretch([[-1, -1], [1, 1]], 0.3)
    ),
    "separate": lambda m: Separate(2, m, 4, 1, seeded(), of=[[0, 1], [1]][:m]),
    "features": lambda m: RandomFeatures(2, m, 6, generator=seeded()),
    "factorised": lambda m: MLP(2, m, 4, 2, seeded(), linear=Factorised),
    "gain": lambda m: WithGain(MLP(2, m, 4, 2, seeded())),
    "clamped": lambda m: MLP(2, m, 4, 2, seeded(), activation=cubed),
}


def by_rows(problem, model, batch, parameters):
    """The oracle: residuals by nested autograd, every row differentiated alone."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    rows = CollocationLoss(problem).residuals(lambda x: functional_call(model, leaves, (x,)), batch)
    found = {}
    for term, r in rows.items():
        gradients = (
            torch.autograd.grad(
                row,
                tuple(leaves.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for row in r
        )
        jacobian = torch.stack([torch.cat([g.flatten() for g in each]) for each in gradients])
        found[term] = r.detach(), jacobian
    return found


def check(problem, model, batch, parameters, tolerance=1e-10):
    objective = CollocationLoss(problem)
    found = objective.linearised(model, batch, parameters)
    expected = by_rows(problem, model, batch, parameters)
    assert tuple(found) == problem.terms
    for term, (r, jacobian) in expected.items():
        ours, theirs = found[term], (r, jacobian)
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert not a.requires_grad
            assert (a - b).abs().max() <= tolerance * b.abs().max(), term
    return found


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", PROBLEMS)
def test_jacobian(case, network):
    problem = PROBLEMS[case]()
    model = NETWORKS[network](len(problem.unknowns)).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(problem, model, batch_of(problem), dict(model.named_parameters()))


def mlp(m=1):
    return MLP(2, m, 5, 2, seeded()).double()


def test_the_objective_offers_it():
    assert isinstance(CollocationLoss(helmholtz_problem()), Linearised)


def test_at_other_values_than_the_model_has():
    problem, model = burgers_problem(), mlp()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    moved = {name: p.detach() + 0.1 for name, p in model.named_parameters()}
    check(problem, model, batch_of(problem), moved)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_in_single_precision():
    problem, model = helmholtz_problem(), mlp().float()
    batch = batch_of(problem, torch.float32)
    check(problem, model, batch, dict(model.named_parameters()), tolerance=1e-4)


@pytest.mark.parametrize("names", [("hidden.1.weight", "output.bias"), ("output.weight",)])
def test_of_some_of_the_parameters_in_their_order(names):
    problem, model = cavity_problem(), mlp(2)
    parameters = dict(model.named_parameters())
    check(problem, model, batch_of(problem), {name: parameters[name] for name in names})


def test_under_no_grad():
    problem, model = helmholtz_problem(), mlp()
    batch, parameters = batch_of(problem), dict(model.named_parameters())
    with torch.no_grad():
        found = CollocationLoss(problem).linearised(model, batch, parameters)
    expected = by_rows(problem, model, batch, parameters)
    assert torch.allclose(found["residual"][1], expected["residual"][1], rtol=1e-11, atol=1e-11)


def test_unknown_numbers_are_columns():
    problem = helmholtz_problem(
        coefficients={"k": Coefficient(1.5, scale=2.0)},
        equations=lambda f: {"residual": helmholtz.residual(f.u, f.u_xx, f.u_yy, f.x, f.k)},
    )
    model = Coefficients(mlp(), problem.coefficients).double()
    found = check(problem, model, batch_of(problem), dict(model.named_parameters()))
    columns = [name for name, _ in model.named_parameters()]
    assert columns[0] == "values"  # the first column: ∂r/∂value = 2 k u ∂k/∂value, k = 2 value
    x = batch_of(problem).points["residual"].x
    expected = 2 * 1.5 * model(x)[:, 0] * 2.0
    assert torch.allclose(found["residual"][1][:, 0], expected, rtol=1e-10)


def centred(f):
    return {
        "own": f.u_xx - 1.0,
        "mean": f.u - f.u.mean(),
        "product": f.u * f.u_x.square().sum(),
    }


def test_rows_that_see_other_points_are_found_and_right():
    problem, model = helmholtz_problem(equations=centred), mlp()
    batch, parameters = batch_of(problem), dict(model.named_parameters())
    with pytest.warns(UserWarning, match="the rows of mean, product see other points"):
        check(problem, model, batch, parameters)


def test_coupling_is_said_once_for_each_network_and_asked_again_on_request():
    problem, model = helmholtz_problem(equations=centred), mlp()
    objective = CollocationLoss(problem)
    batch, parameters = batch_of(problem), dict(model.named_parameters())
    with pytest.warns(UserWarning, match="mean, product") as said:
        found = [objective.coupled(model, batch, parameters) for _ in range(3)]
    assert found == [("mean", "product")] * 3
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective.linearised(model, batch, parameters)


def test_no_term_of_separate_points_is_called_coupled():
    problem = burgers_problem()
    model = mlp()
    found = CollocationLoss(problem).coupled(
        model, batch_of(problem), dict(model.named_parameters())
    )
    assert found == ()


def test_a_network_that_couples_points_is_found_too():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = mlp()

        def forward(self, x):
            u = self.network(x)
            return u - u.mean(0, keepdim=True)

    problem, model = burgers_problem(), Centred()
    with pytest.warns(UserWarning, match="see other points"):
        check(problem, model, batch_of(problem), dict(model.named_parameters()))


def test_weights_of_points_scale_their_rows():
    problem, model = burgers_problem(), mlp()
    batch, parameters = batch_of(problem), dict(model.named_parameters())
    plain = CollocationLoss(problem).linearised(model, batch, parameters)
    weight = torch.linspace(0.0, 2.0, 7, dtype=torch.float64)
    weighted = replace(batch.points["residual"], weight=weight)
    batch = Collocation({**batch.points, "residual": weighted})
    found = check(problem, model, batch, parameters)
    for ours, alone in zip(found["residual"], plain["residual"], strict=True):
        rows = weight.sqrt()[:, None] * alone.reshape(7, -1)
        assert torch.allclose(ours.reshape(7, -1), rows, rtol=1e-12, atol=1e-14)
    assert torch.equal(found["start"][1], plain["start"][1])


def test_an_objective_that_has_linearised_is_copied():
    problem, model = helmholtz_problem(), mlp()
    objective, batch = CollocationLoss(problem), batch_of(problem)
    parameters = dict(model.named_parameters())
    found = objective.linearised(model, batch, parameters)["residual"]
    again = copy.deepcopy(objective).linearised(model, batch, parameters)["residual"]
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_noise_that_leads_to_infinity_is_not_taken_for_coupling():
    """log u is finite at the given weights, where u = 1e-9; a noise of 0.1 makes u negative."""
    problem = helmholtz_problem(
        equations=lambda f: {"r": torch.log(f.u) + f.u_x}, conditions=(), unknowns=("u",)
    )
    model = mlp()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.fill_(1e-9)
    batch, parameters = batch_of(problem), dict(model.named_parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CollocationLoss(problem).coupled(model, batch, parameters) == ()

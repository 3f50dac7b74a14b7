"""Graded points against their closed form, and what their weights do to means."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from sciml.contracts import UserError
from sciml.pinn import Face, Problem, Sampling, dirichlet, disk, rectangle
from sciml.pinn.data import CollocationData
from sciml.pinn.densities import Density, Graded
from sciml.pinn.samplers import latin_hypercube, sobol, uniform

CASES = [
    (Graded("x", 0.0, 0.01, 0.7), -1.0, 1.0),
    (Graded("x", [-0.5, 0.25], 0.003, 0.9), -1.0, 1.0),
    (Graded("x", 0.0, 0.001, 0.5), 0.0, 10.0),
    (Graded("x", [0.0, 1.0], 0.02, 1.0), 0.0, 1.0),
]


def flow(domain=None, **changes):
    """A residual over x, t with a layer at x = 0."""
    settings = {
        "name": "flow",
        "domain": rectangle((-1, 0), (1, 3)) if domain is None else domain,
        "unknowns": ("u",),
        "equations": lambda f: {"flow": f.u_x},
        "conditions": (),
    }
    return Problem(**{**settings, **changes})


def first(sampling, problem=None, seed=0):
    data = CollocationData(flow() if problem is None else problem, sampling, seed)
    return next(iter(data.train_dataloader())).points["residual"]


@pytest.mark.parametrize(("grading", "lower", "upper"), CASES)
def test_the_distribution_is_the_integral_of_the_density(grading, lower, upper):
    ends = np.linspace(lower, upper, 9)
    for a, b in pairwise(ends):
        inside = [plane for plane in grading.at if a < plane < b]
        area, _ = integrate.quad(
            lambda x: float(grading.pdf(np.array([x]), lower, upper)[0]),
            a, b, points=inside or None, epsabs=1e-11, limit=400,
        )  # fmt: skip
        found = grading.cdf(np.array([a, b]), lower, upper)
        assert found[1] - found[0] == pytest.approx(area, abs=1e-9)
    assert grading.cdf(np.array([lower, upper]), lower, upper) == pytest.approx([0, 1])


@pytest.mark.parametrize(("grading", "lower", "upper"), CASES)
def test_the_quantile_undoes_the_distribution(grading, lower, upper):
    u = np.random.default_rng(0).random(5000)
    x = grading.quantile(u, lower, upper)
    assert x.min() >= lower and x.max() <= upper
    assert np.abs(grading.cdf(x, lower, upper) - u).max() < 1e-12


def test_the_density_of_the_measured_recipe():
    """p(x) = 0.3/2 + 0.7 / (2 asinh(1/d) √(x² + d²)) on (−1, 1)."""
    x, d = np.linspace(-1, 1, 11), 0.01
    expected = 0.3 / 2 + 0.7 / (2 * np.arcsinh(1 / d) * np.sqrt(x**2 + d**2))
    assert Graded("x", 0.0, d, 0.7).pdf(x, -1, 1) == pytest.approx(expected)


@pytest.mark.parametrize("method", [uniform, sobol, latin_hypercube])
@pytest.mark.parametrize(("grading", "lower", "upper"), CASES)
def test_drawn_points_have_the_density(method, grading, lower, upper):
    """Kolmogorov-Smirnov along the axis; the other coordinate stays uniform."""
    density = Density((grading,), ("x", "y"), np.array([[lower, 0.0], [upper, 1.0]]))
    u = density.sampler(method)(2048, 2, np.random.default_rng(1))
    x = lower + u[:, 0] * (upper - lower)
    assert stats.kstest(x, lambda x: grading.cdf(x, lower, upper)).pvalue > 1e-3
    assert stats.kstest(u[:, 1], "uniform").pvalue > 1e-3


def test_two_axes_and_a_histogram():
    """χ² over a grid of cells of equal probability."""
    gradings = (Graded("x", 0.0, 0.05), Graded("t", 0.0, 0.02, 0.5))
    domain = rectangle((-1, -1), (1, 1)).over_time(0, 2)
    x = first(Sampling({"residual": 20_000}, density=gradings), flow(domain)).x.numpy()
    cells = [
        (gradings[0].cdf(x[:, 0], -1, 1) * 5).astype(int),
        ((x[:, 1] + 1) / 2 * 4).astype(int),
        (gradings[1].cdf(x[:, 2], 0, 2) * 5).astype(int),
    ]
    counts = np.bincount(np.ravel_multi_index(cells, (5, 4, 5)), minlength=100)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_sobol_points_stay_even_in_the_coordinate_of_equal_probability():
    grading = Graded("x", 0.0, 0.01)
    points = first(Sampling({"residual": 128}, sobol, density=grading))
    x = points.x.numpy()
    u = np.column_stack((grading.cdf(x[:, 0], -1, 1), x[:, 1] / 3))
    assert np.array_equal(np.sort((u * [16, 8]).astype(int) @ [8, 1]), np.arange(128))


@pytest.mark.parametrize("exponent", [0.0, 0.4, 0.5])
def test_weights_are_a_power_of_the_density(exponent):
    grading = Graded("x", 0.0, 0.01)
    points = first(Sampling({"residual": 500}, density=grading, exponent=exponent))
    expected = grading.pdf(points.x[:, 0].numpy(), -1, 1) ** (-2 * exponent)
    assert points.weight.mean().item() == pytest.approx(1)
    assert points.weight.numpy() == pytest.approx(expected / expected.mean())


def test_importance_weights_keep_the_mean_of_uniform_points():
    """Mean of cos²x over (−1, 1) is 1/2 + sin(2)/4 = 0.7273; without weights the layer rules."""

    def mean(exponent):
        sampling = Sampling({"residual": 4096}, sobol, density=Graded("x", 0.0, 0.01),
                            exponent=exponent)  # fmt: skip
        points = first(sampling)
        return (points.weight * torch.cos(points.x[:, 0]) ** 2).mean().item()

    exact = 0.5 + np.sin(2) / 4
    assert mean(0.5) == pytest.approx(exact, abs=1e-3)
    assert mean(0.0) > exact + 0.1


def test_each_set_of_a_block_has_weights_of_mean_one():
    data = CollocationData(flow(), Sampling({"residual": 64}, density=Graded("x", 0, 0.1)), 0)
    batches = data.train_dataloader()
    for _ in range(3):
        assert next(batches).points["residual"].weight.mean().item() == pytest.approx(1)
    held_out = data.val_dataloader()[0].points["residual"]
    assert held_out.weight.mean().item() == pytest.approx(1)


def test_other_shapes_and_conditions():
    """In a disk the density is the graded one where the disk is; conditions stay uniform."""
    grading = Graded("x", 0.0, 0.05, 1.0)
    points = first(Sampling({"residual": 4000}, density=grading), flow(disk((0, 0), 1)))
    assert points.x.norm(dim=1).max() < 1
    near = (points.x[:, 0].abs() < 0.05).double().mean().item()

    def mass(a):
        height = lambda x: 2 * np.sqrt(1 - x**2) / np.hypot(x, 0.05)  # noqa: E731
        return integrate.quad(height, -a, a, points=[0])[0]

    assert near == pytest.approx(mass(0.05) / mass(1), abs=0.03)
    wall = dirichlet("u", 0.0, on=Face("y", 0.0), name="wall")
    data = CollocationData(
        flow(conditions=(wall,)), Sampling({"residual": 8, "wall": 900}, density=grading), 0
    )
    points = next(iter(data.train_dataloader())).points["wall"]
    assert points.weight is None
    assert stats.kstest(points.x[:, 0].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (Graded("z", 0.0, 0.1), r"an axis of \('x', 'y'\), got 'z'"),
        (Graded("x", 2.0, 0.1), r"within -1 <= x <= 1, got \[2.0\]"),
        ([Graded("x", 0.0, 0.1), Graded("x", 0.5, 0.1)], "at most one grading per axis"),
        ("layer", "made of gradings, got 'l'"),
    ],
)
def test_densities_that_the_domain_does_not_have_are_refused(density, message):
    with pytest.raises(UserError, match=message):
        first(Sampling({"residual": 8}, density=density))


@pytest.mark.parametrize("keys", [{"width": 0}, {"width": -1}, {"share": 0}, {"share": 1.1}])
def test_gradings_are_checked(keys):
    with pytest.raises(UserError, match="density: expected planes"):
        Graded(**{"axis": "x", "at": 0.0, "width": 0.1, **keys})
    with pytest.raises(UserError, match="exponent <= 1, got 1.5"):
        Sampling({"residual": 8}, exponent=1.5)

"""Points stretched to marginal densities: where they gather, how even they stay, their weights."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import qmc

from sciml.contracts import UserError
from sciml.pinn import Problem, Sampling, disk, rectangle
from sciml.pinn.data import CollocationData
from sciml.pinn.densities import Graded
from sciml.pinn.marginals import Marginals


def sobol(rng):
    return lambda n: 2 * qmc.Sobol(2, scramble=True, rng=rng).random(n) - 1


def layer(x):
    """A residual of 9 in |x - 0.25| < 0.0625 and 1 elsewhere, the same for every y."""
    return np.where(np.abs(x[:, 0] - 0.25) < 0.0625, 9.0, 1.0)


def chosen(rule, size=layer, n=4096):
    rng = np.random.default_rng(0)
    return rule(np.zeros((n, 2)), sobol(rng), size, rng)


def test_a_layer_is_found_and_the_other_coordinate_left_alone():
    """Of 32 slices two hold the layer and two touch it: m = 9 on 4 of them, 1 on 28: mean 2.

    p ∝ 9/2 + 1 in the four slices and 1/2 + 1 elsewhere: 4 · 5.5/(4 · 5.5 + 28 · 1.5) = 0.34375.
    """
    points, factor = chosen(Marginals(slices=32, correction=0.5))
    inside = np.abs(points[:, 0] - 0.25) < 0.125
    assert inside.mean() == pytest.approx(0.34375, abs=0.005)
    counts, _ = np.histogram(points[:, 1], 8, (-1, 1))
    assert np.ptp(counts) <= 0.02 * len(points)
    ratio = factor[inside].mean() / factor[~inside].mean()
    assert ratio == pytest.approx(1.5 / 5.5, rel=0.02)


def test_importance_weights_keep_the_mean():
    points, factor = chosen(Marginals(slices=32, correction=0.5), n=8192)
    value = np.exp(points[:, 0]) * np.cos(points[:, 1])
    assert (factor * value).mean() == pytest.approx(np.sinh(1) * np.sin(1), rel=2e-3)


def test_points_stay_even_where_picked_ones_do_not():
    """Uniform residual: the points are a Sobol set still, of far less discrepancy than random."""
    points, factor = chosen(Marginals(slices=32), size=lambda x: np.ones(len(x)), n=512)
    random = np.random.default_rng(1).random((512, 2))
    even = qmc.discrepancy(np.clip((points + 1) / 2, 0, 1))
    assert even < 0.1 * qmc.discrepancy(random)
    assert np.allclose(factor, 1.0)


def test_no_residual_at_all():
    points, factor = chosen(Marginals(), size=lambda x: np.zeros(len(x)))
    assert np.isfinite(points).all()
    assert np.allclose(factor, 1.0)


@pytest.mark.parametrize("wrong", [{"c": 0.0}, {"slices": 1}, {"correction": 2.0}, {"k": -1.0}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(UserError, match="marginals: expected"):
        Marginals(**wrong)


@pytest.mark.parametrize(
    ("domain", "sound"), [(rectangle((0, 0), (1, 1)), True), (disk((0, 0), 1.0), False)]
)
def test_only_for_boxes(domain, sound):
    problem = Problem(
        name="p", domain=domain, unknowns=("u",), conditions=(), equations=lambda f: {"r": f.u_xx}
    )
    sampling = Sampling({"residual": 8}, adaptive=Marginals())
    if sound:
        CollocationData(problem, sampling, 0)
        crowded = replace(sampling, density=Graded("x", 0.0, 0.1))
        with pytest.raises(UserError, match="density=null"):
            CollocationData(problem, crowded, 0)
    else:
        with pytest.raises(UserError, match="box"):
            CollocationData(problem, sampling, 0)

"""The unit samplers fill the cube: range, strata, discrepancy against independent points."""

import numpy as np
import pytest
from scipy.stats import qmc

from sciml.pinn.samplers import latin_hypercube, sobol, uniform

ALL = [uniform, sobol, latin_hypercube]


@pytest.mark.parametrize("method", ALL)
def test_shape_and_range(method):
    x = method(100, 3, np.random.default_rng(0), 4)
    assert x.shape == (400, 3)
    assert x.min() >= 0
    assert x.max() < 1


@pytest.mark.parametrize("method", ALL)
def test_the_generator_decides(method):
    first, again, other = (method(32, 2, np.random.default_rng(s), 2) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", [sobol, latin_hypercube])
def test_sets_are_more_even_than_independent_points(method):
    """Mean L2-star discrepancy of 16 sets of 128 points each, at most half that of uniform ones."""
    mean = {
        sampler: np.mean(
            [
                qmc.discrepancy(x, method="L2-star")
                for x in sampler(128, 2, np.random.default_rng(0), 16).reshape(16, 128, 2)
            ]
        )
        for sampler in (method, uniform)
    }
    assert mean[method] < mean[uniform] / 2


def test_latin_hypercube_puts_one_point_in_each_slice_of_each_set():
    x = latin_hypercube(50, 3, np.random.default_rng(0), 4).reshape(4, 50, 3)
    slices = np.sort((x * 50).astype(int), axis=1)
    assert np.array_equal(slices, np.broadcast_to(np.arange(50)[:, None], (4, 50, 3)))


def test_each_stretch_of_sobol_is_a_net():
    """128 = 2^7 points: one in each of the 128 boxes of 16 x 8."""
    for x in sobol(128, 2, np.random.default_rng(1), 4).reshape(4, 128, 2):
        boxes = (x * [16, 8]).astype(int) @ [8, 1]
        assert np.array_equal(np.sort(boxes), np.arange(128))

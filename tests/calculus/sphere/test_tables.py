"""Tables follow a module's dtype without losing digits, and are in no checkpoint."""

import copy
import pickle

import pytest
import torch

from sciml.calculus.sphere import (
    Conservative,
    Departure,
    FiniteDifferences,
    Harmonics,
    Interpolation,
    ReducedGaussian,
    gauss,
)
from tests.calculus.sphere.waves import coefficients, exact, named

either_grid = pytest.mark.parametrize("grid", [gauss(16), ReducedGaussian(12)], ids=named)
TRIPS = {
    "double": lambda h: h.double(),
    "there and back": lambda h: h.double().float().double(),
    "half": lambda h: h.to(torch.bfloat16).double(),
    "in a model": lambda h: torch.nn.Sequential(h).to(torch.float64)[0],
    "copied": lambda h: copy.deepcopy(h).double(),
    "pickled": lambda h: pickle.loads(pickle.dumps(h)).double(),
}


@either_grid
@pytest.mark.parametrize("trip", TRIPS.values(), ids=TRIPS)
def test_digits_come_back(grid, trip):
    harmonics = trip(Harmonics(grid))
    alpha = coefficients(harmonics.truncation)
    f = harmonics.synthesis(alpha)
    assert f.dtype == torch.float64
    assert torch.equal(f, exact(grid).synthesis(alpha))
    assert torch.allclose(harmonics.analysis(f), alpha, atol=1e-12)


def test_default_dtype():
    try:
        torch.set_default_dtype(torch.float64)
        harmonics = Harmonics(gauss(8))
    finally:
        torch.set_default_dtype(torch.float32)
    assert harmonics.synthesis(coefficients(7)).dtype == torch.float64
    assert Harmonics(gauss(8)).synthesis(coefficients(7).float()).dtype == torch.float32


@either_grid
def test_no_table_is_saved(grid):
    assert not Harmonics(grid).state_dict()


@either_grid
def test_meta_device(grid):
    """As models are laid out before their weights are loaded."""
    harmonics = Harmonics(grid).to("meta").double()
    alpha = coefficients(harmonics.truncation).to("meta")
    assert harmonics.synthesis(alpha).shape == grid.shape


def test_every_module_moves_as_a_whole():
    """A table left behind would meet tensors of another device."""
    grid, other = gauss(8), gauss(6)
    f, n = torch.zeros(2, 8, 16, device="meta"), torch.zeros(2, 5, device="meta")
    east, north = FiniteDifferences(grid).to("meta")(f)
    assert east.shape == north.shape == f.shape
    assert Conservative(grid, other).to("meta")(f).shape == (2, 6, 12)
    assert Interpolation(grid, cubic=True).to("meta")(f[:, None], n, n, vector=True).shape[2] == 5
    lat, lon = Departure(grid, 1.0).to("meta")(n, n, f, f, 1.0)
    assert lat.shape == lon.shape == n.shape

"""Conservative regridding: means and constants kept, nested cells, regions, refusals."""

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import Conservative, LatLon, equiangular, gauss
from sciml.contracts import UserError
from tests.calculus.sphere.waves import named, position

GRIDS = [
    gauss(24),
    equiangular(19),
    equiangular(12, 30, poles=False),
    LatLon([-80.0, -30, 0, 45, 85], np.arange(8) * 45.0 - 170),
]


def mean(grid, f):
    return (f * torch.from_numpy(grid.area)).sum((-2, -1))


@pytest.mark.parametrize("source", GRIDS, ids=named)
@pytest.mark.parametrize("target", GRIDS, ids=named)
def test_means_and_constants_are_kept(source, target):
    draw = torch.Generator().manual_seed(0)
    f = torch.randn(3, *source.shape, generator=draw, dtype=torch.float64)
    regrid = Conservative(source, target).double()
    found = regrid(f)
    assert found.shape == (3, *target.shape)
    assert (mean(target, found) - mean(source, f)).abs().max() < 1e-14
    assert torch.allclose(regrid(torch.ones_like(f)), torch.ones_like(found), atol=1e-14)
    assert found.amax() <= f.amax() and found.amin() >= f.amin()
    if source is target:
        assert torch.allclose(found, f, atol=1e-12)


def test_nested_cells_are_averaged_by_area():
    """Cells of 5° within cells of 10°, edges shared: the mean weighted by heights of bands."""
    fine = LatLon(np.arange(22.5, 60, 5), np.arange(2.5, 40, 5))
    coarse = LatLon(np.arange(25.0, 60, 10), np.arange(5.0, 40, 10))
    f = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    height = torch.from_numpy(np.diff(np.sin(np.radians(np.arange(20, 61, 5)))))[:, None]
    by_two = (f * height).view(4, 2, 4, 2).sum((1, 3)) / (2 * height).view(4, 2, 1).sum(1)
    assert torch.allclose(Conservative(fine, coarse).double()(f), by_two, atol=1e-12)


def test_first_order():
    errors = []
    for n in (32, 64):
        source, target = gauss(n), equiangular(3 * n // 4 + 1)
        f, closed = (position(grid).sum(0).exp() for grid in (source, target))
        errors.append(float((Conservative(source, target).double()(f) - closed).abs().mean()))
    assert 0.8 < np.log2(errors[0] / errors[1]) < 2.2


def test_a_region_cut_out_of_the_globe():
    """Across the meridian where the source begins."""
    target = LatLon(np.arange(40.0, 61, 2), np.arange(-20.0, 21, 2))
    source = equiangular(181)
    f = position(source)[2]
    found = Conservative(source, target).double()(f)
    assert torch.allclose(found[:, :1].expand_as(found), found, atol=1e-12)
    assert torch.allclose(found, position(target)[2], atol=1e-3)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (LatLon(np.arange(10.0, 50, 5), np.arange(5.0, 40, 5)), "bands"),
        (LatLon(np.arange(35.0, 50, 5), np.arange(-20.0, 20, 5)), "sectors"),
        (gauss(8), "bands"),
    ],
)
def test_a_source_that_does_not_cover_the_target_is_refused(target, name):
    source = LatLon(np.arange(30.0, 60), np.arange(0.0, 60))
    with pytest.raises(UserError, match=f"covers every cell of the target, got {name}"):
        Conservative(source, target)

"""Forcings that come from an archive."""

from pathlib import Path

import numpy as np
import pytest
import torch
from globe.archive import sets

from sciml.calculus.sphere.grids import gauss
from sciml.contracts import UserError
from sciml.globe.archive import open_archive
from sciml.globe.recorded import Recorded

TIMES, FIELDS = sets.times_of(20), sets.states(20)


def record(path: Path, fields: np.ndarray = FIELDS, **given: object) -> Recorded:
    written = sets.written(path / "set.zarr", TIMES, fields)
    return Recorded(open_archive(written, ["t2m", "u500"], **given), memory=True)


def test_fields_at_the_times_that_are_asked_for(tmp_path: Path) -> None:
    forcing = record(tmp_path)
    time = torch.tensor([[3, 4], [0, 19], [7, 7]]) * sets.STEP
    found = forcing(time, sets.GRID)
    assert forcing.names == ("t2m", "u500") and found.shape == (3, 2, 2, *sets.GRID.shape)
    area = np.broadcast_to(sets.GRID.area, FIELDS[:, 4].shape)
    mean = np.average(FIELDS[:, 4], weights=area)
    std = np.sqrt(np.average((FIELDS[:, 4] - mean) ** 2, weights=area))
    expected = (FIELDS[[3, 4, 0, 19, 7, 7], 4] - mean) / std
    np.testing.assert_allclose(found[:, :, 0].flatten(0, 1), expected, atol=1e-4)


def test_points_without_values_are_at_the_mean(tmp_path: Path) -> None:
    fields = FIELDS.copy()
    fields[:, 4, 0] = np.nan
    found = record(tmp_path, fields, missing=["t2m"])(torch.tensor([[0]]), sets.GRID)
    assert (found[0, 0, 0, 0] == 0).all() and (found[0, 0, 0, 1:] != 0).all()


def test_what_is_not_on_record(tmp_path: Path) -> None:
    forcing = record(tmp_path)
    with pytest.raises(UserError, match="at 1970-01-06T00:00, got 1970-01-01T00:00 … 1970"):
        forcing(torch.tensor([[0, 20 * sets.STEP]]), sets.GRID)
    with pytest.raises(UserError, match=r"grid \[8, 16\] of the states, got \[6, 12\]"):
        forcing(torch.tensor([[0]]), gauss(8))
    fields = FIELDS.copy()
    fields[:, 1] = 3.0
    with pytest.raises(UserError, match="fields that vary, got 'u500'"):
        record(tmp_path / "still", fields)

"""From a simulator's states to a batch: written, opened, staged, windowed."""

from pathlib import Path

import numpy as np
import pytest
from globe.archive import sets

from sciml.globe.archive import open_archive
from sciml.globe.data import Forecasts
from sciml.globe.splits import Shares
from sciml.globe.writer import ArchiveWriter


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
def test_what_a_simulator_writes_comes_back_as_windows(tmp_path: Path, suffix: str) -> None:
    fields, times = sets.states(9), sets.times_of(9)
    path = tmp_path / f"set.{suffix}"
    with ArchiveWriter(path, sets.CHANNELS, sets.GRID) as out:
        for start in range(0, 9, 2):
            out.append(times[start : start + 2], fields[start : start + 2])
    archive = open_archive(path, ["u500", "z500"])
    assert archive.step == sets.STEP and archive.grid.kind == "gauss"
    data = Forecasts(
        archive, Shares(0.5, 0.5), batch=2, rollout=2, horizon=3, staged=tmp_path / "staged"
    )
    assert np.array_equal(data.states.fields, fields[:, [1, 0]])
    window = next(iter(data.train_dataloader(0)))
    assert window.state.shape == (2, 3, 2, *sets.GRID.shape)
    for b in range(2):
        first = int(window.time[b, 0]) // sets.STEP
        assert np.array_equal(window.state[b].numpy(), fields[first : first + 3, [1, 0]])
    (held_out,) = data.val_dataloader()
    assert held_out.time[0].tolist() == times[4:8].tolist()

"""Windows of time: which ones a step sees, and that they hold what the archive holds."""

import itertools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from globe.archive import sets
from torch import Tensor

from sciml.contracts import Data, UserError
from sciml.globe import data as module
from sciml.globe.archive import Archive, open_archive
from sciml.globe.data import Forecasts
from sciml.globe.splits import Shares, Trajectories
from sciml.globe.symmetries import Symmetries
from sciml.globe.windows import Window

DAY = 86400
TIMES = np.concatenate([sets.times_of(12, start=20 * n * DAY) for n in range(5)])
FIELDS = sets.states(60)
SPLIT = Trajectories([0, 3], [3, 4], [4, 5])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    path = tmp_path_factory.mktemp("set") / "set.zarr"
    return open_archive(sets.written(path, TIMES, FIELDS), sets.NAMES, gaps="allowed")


@pytest.fixture
def make(archive: Archive) -> Any:
    def forecasts(**given: Any) -> Forecasts:
        named = {"split": SPLIT, "batch": 4, "horizon": 5, "memory": True, **given}
        return Forecasts(archive, **named)

    return forecasts


def starts(window: Window) -> list[int]:
    """Numbers of the first times."""
    return np.searchsorted(TIMES, window.time[:, 0].numpy()).tolist()


def batches(data: Data, count: int, start: int = 0, rank: int = 0, ranks: int = 1) -> list[Window]:
    return list(itertools.islice(data.train_dataloader(start, rank, ranks), count))


def test_a_window_is_a_piece_of_the_archive(make: Any) -> None:
    for window in batches(make(rollout=3), 5):
        assert window.state.shape == (4, 4, 5, *sets.GRID.shape) and window.forcing is None
        assert window.state.dtype == torch.float32 and window.time.dtype == torch.int64
        for state, time, first in zip(window.state, window.time, starts(window), strict=True):
            assert np.array_equal(state.numpy(), FIELDS[first : first + 4])
            assert np.array_equal(time.numpy(), TIMES[first : first + 4])
            assert np.ptp(time.numpy()) == 3 * sets.STEP


@pytest.mark.parametrize("batch", [4, 7, 100])
def test_an_epoch_shows_every_window_once(make: Any, batch: int) -> None:
    data = make(batch=batch, rollout=2)
    expected = [first for run in range(3) for first in range(12 * run, 12 * run + 10)]
    count = -(-3 * len(expected) // batch)
    shown = [first for window in batches(data, count) for first in starts(window)]
    epochs = [shown[n * 30 : n * 30 + 30] for n in range(3)]
    assert all(sorted(epoch) == expected for epoch in epochs)
    assert epochs[0] != epochs[1] != sorted(epochs[1])


def test_a_batch_depends_on_seed_and_number_alone(make: Any) -> None:
    data = make(symmetries=Symmetries())
    whole = batches(data, 20)
    for start in (0, 1, 7, 13):
        late = batches(make(symmetries=Symmetries()), 3, start)
        for a, b in zip(late, whole[start:], strict=False):
            assert torch.equal(a.state, b.state) and torch.equal(a.time, b.time)
    other = batches(make(seed=1), 20)
    assert [starts(w) for w in other] != [starts(w) for w in whole]


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_share_a_batch(make: Any, ranks: int) -> None:
    whole = batches(make(symmetries=Symmetries()), 4, start=2)
    shares = [batches(make(symmetries=Symmetries()), 4, 2, rank, ranks) for rank in range(ranks)]
    for n, window in enumerate(whole):
        own = [share[n] for share in shares]
        assert torch.equal(torch.cat([share.state for share in own]), window.state)
        assert sum((share.seeds for share in own), ()) == window.seeds
        assert [share.counts for share in own] == [len(share) * ranks / 4 for share in own]
    with pytest.raises(UserError, match="each of 5 ranks in a batch, got 4; set windows.batch=5"):
        make().train_dataloader(0, 0, 5)


def test_two_small_batches_are_one_large_one(make: Any) -> None:
    large = batches(make(symmetries=Symmetries(), batch=6), 5)
    small = batches(make(symmetries=Symmetries(), batch=3), 10)
    for n, window in enumerate(large):
        pair = small[2 * n : 2 * n + 2]
        assert torch.equal(torch.cat([part.state for part in pair]), window.state)
        assert pair[0].seeds + pair[1].seeds == window.seeds


def test_phases_lengthen_the_rollout(make: Any) -> None:
    data = make(rollout=1)
    assert batches(data, 1)[0].state.shape[1] == 2
    data.configure(rollout=7)
    assert batches(data, 1)[0].state.shape[1] == 8 and len(data.starts) == 3 * 5
    data.configure()
    assert batches(data, 1)[0].state.shape[1] == 2
    with pytest.raises(UserError, match="'train': expected 13 states in a row for 12 steps, got 1"):
        data.configure(rollout=12)


def test_validation_and_test_windows_reach_the_horizon(make: Any) -> None:
    data = make(spacing=3)
    (held_out,) = data.val_dataloader()
    assert starts(held_out) == [36, 39, 42] and held_out.state.shape[1] == 6
    (tested,) = data.test_dataloader()
    assert starts(tested) == [48, 51, 54]
    without = make(split=Trajectories([0, 3], [3, 5]), batch=2)
    assert [starts(w) for w in without.val_dataloader()] == [[36, 41], [48, 53]]
    assert [starts(w) for w in without.test_dataloader()] == [[36, 41], [48, 53]]


def test_splits_too_short_for_a_window(make: Any) -> None:
    with pytest.raises(UserError, match="'validation': expected 21 states in a row for 20 steps"):
        make(horizon=20)
    with pytest.raises(UserError, match="expected batch >= 1, got 0"):
        make(batch=0)


def test_statistics_are_of_the_training_split_and_kept(archive: Archive, tmp_path: Path) -> None:
    def data() -> Forecasts:
        return Forecasts(archive, SPLIT, 2, horizon=5, staged=tmp_path)

    found = data().statistics
    np.testing.assert_allclose(found.climatology, FIELDS[:36].mean(0, dtype="f8"), rtol=1e-6)
    (kept,) = tmp_path.rglob("statistics-*.safetensors")
    before = kept.stat().st_mtime_ns
    assert np.array_equal(data().statistics.std, found.std)
    assert kept.stat().st_mtime_ns == before
    other = Forecasts(archive, Shares(0.3, 0.3), 2, horizon=5, staged=tmp_path).statistics
    assert not np.array_equal(other.std, found.std)
    assert len(list(tmp_path.rglob("statistics-*.safetensors"))) == 2


def test_increments_never_cross_a_gap(make: Any) -> None:
    found = make().increments(100).numpy()
    runs = [np.diff(FIELDS[12 * n : 12 * n + 12], axis=0) for n in range(3)]
    assert np.array_equal(found, np.concatenate(runs))
    assert make().increments(7).shape == (7, 5, *sets.GRID.shape)


@dataclass(frozen=True)
class Latitude:
    """One forcing: hours of the time, plus latitude."""

    names: tuple[str, ...] = ("place",)

    def __call__(self, time: Tensor, grid: Any) -> Tensor:
        lat = torch.tensor(grid.lat)[:, None].expand(*grid.shape)
        return (time[..., None, None] / 3600 + lat)[:, :, None]


def test_forcing_comes_with_the_states(make: Any) -> None:
    data = make(forcing=Latitude(), rollout=2)
    (window,) = batches(data, 1)
    assert data.forcings == ("place",) and window.forcing.dtype == torch.float32
    assert window.forcing.shape == (4, 3, 1, *sets.GRID.shape)
    expected = window.time[2, 1] / 3600 + sets.GRID.lat[4]
    assert window.forcing[2, 1, 0, 4, 7] == pytest.approx(float(expected), rel=1e-6)
    moved = window.to(torch.device("cpu"), torch.float64)
    assert moved.forcing.dtype == moved.state.dtype == torch.float64
    assert moved.time.dtype == torch.int64


def test_masked_points_are_filled(archive: Archive, tmp_path: Path) -> None:
    fields = FIELDS.copy()
    fields[:, 4, :2] = np.nan
    path = sets.written(tmp_path / "sea.zarr", TIMES, fields)
    sea = open_archive(path, sets.NAMES, gaps="allowed", missing=["t2m"])
    data = Forecasts(sea, SPLIT, 2, horizon=5, fill=0.0, memory=True)
    (window,) = batches(data, 1)
    assert (window.state[:, :, 4, :2] == 0).all() and torch.isfinite(window.state).all()
    assert not data.states.mask[4, :2].any() and data.states.mask[4, 2:].all()
    assert (data.statistics.climatology[4, :2] == 0).all()
    assert (data.increments(3)[:, 4, :2] == 0).all()


def test_a_checkpoint_of_other_batches_is_refused(make: Any) -> None:
    state = make().state_dict()
    make().load_state_dict(state)
    for other in (make(seed=3), make(batch=2), make(split=Trajectories([0, 2], [3, 4]))):
        with pytest.raises(UserError, match="resume: expected the batches of the checkpoint"):
            other.load_state_dict(state)


def test_slow_batches_are_made_ahead_and_a_loader_can_be_left(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count()
    loader = make().train_dataloader(0)
    expected = [starts(next(loader)) for _ in range(10)]
    monkeypatch.setattr(module, "HANDOVER", 0.0)
    monkeypatch.setattr(module, "TRIED", 4)
    loader = make().train_dataloader(0)
    assert [starts(next(loader)) for _ in range(10)] == expected
    assert threading.active_count() == before + 1
    loader.close()
    assert threading.active_count() == before


def test_what_goes_wrong_ahead_is_said_when_it_is_asked_for(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDOVER", 0.0)
    data = make()
    whole = data.window
    made = iter([True, True, False])
    monkeypatch.setattr(data, "window", lambda *a: whole(*a) if next(made) else 1 / 0)
    loader = data.train_dataloader(0)
    next(loader), next(loader)
    with pytest.raises(ZeroDivisionError):
        next(loader)

"""Statistics in one pass against NumPy over everything at once."""

from pathlib import Path

import numpy as np
import pytest
from globe.archive import sets

from sciml.contracts import UserError
from sciml.globe import statistics as module
from sciml.globe.staging import Staged
from sciml.globe.statistics import Statistics, statistics

TIMES = np.append(sets.times_of(9), sets.times_of(6, start=30 * 86400))


@pytest.fixture
def frames() -> Staged:
    return Staged(sets.states(15), TIMES, sets.CHANNELS, sets.GRID)


@pytest.mark.parametrize("piece", [1, 3 * 8 * 5 * 6 * 12, 10**9])
def test_they_are_numpys_over_all_at_once(
    frames: Staged, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    found = statistics(frames, [(0, 8), (9, 15)])
    whole = np.concatenate([frames.fields[:8], frames.fields[9:]]).astype(np.float64)
    steps = [np.diff(frames.fields[a:b].astype(np.float64), axis=0) for a, b in ((0, 8), (9, 15))]
    changes, area = np.concatenate(steps), np.broadcast_to(sets.GRID.area, whole[:, 0].shape)
    for c in range(len(sets.CHANNELS)):
        mean = np.average(whole[:, c], weights=area)
        spread = np.sqrt(np.average((whole[:, c] - mean) ** 2, weights=area))
        assert found.mean[c] == pytest.approx(mean, rel=1e-13)
        assert found.std[c] == pytest.approx(spread, rel=1e-11)
        change, weight = changes[:, c], area[: len(changes)]
        middle = np.average(change, weights=weight)
        spread = np.sqrt(np.average((change - middle) ** 2, weights=weight))
        assert found.increment_std[c] == pytest.approx(spread, rel=1e-11)
    np.testing.assert_allclose(found.climatology, whole.mean(0), rtol=1e-6)


def test_a_small_spread_on_a_large_mean_is_not_lost() -> None:
    fields = 1e5 + 1e-2 * np.random.default_rng(0).normal(size=(50, 5, 6, 12))
    kept = fields.astype(np.float32).astype(np.float64)
    frames = Staged(fields.astype(np.float32), sets.times_of(50), sets.CHANNELS, sets.GRID)
    weights = np.broadcast_to(sets.GRID.area, kept[:, 0].shape)
    mean = np.average(kept[:, 0], weights=weights)
    spread = np.sqrt(np.average((kept[:, 0] - mean) ** 2, weights=weights))
    assert statistics(frames, [(0, 50)]).std[0] == pytest.approx(spread, rel=1e-6)


def test_a_channel_that_never_changes_has_no_spread() -> None:
    fields = sets.states(9)
    fields[:, 1] = 0.1
    found = statistics(Staged(fields, sets.times_of(9), sets.CHANNELS, sets.GRID), [(0, 9)])
    assert found.std[1] == found.increment_std[1] == 0 and (found.std[[0, 2, 3, 4]] > 0).all()


def test_masked_points_do_not_count(frames: Staged) -> None:
    fields = frames.fields.copy()
    fields[:, 1, :2] = np.nan
    found = statistics(Staged(fields, TIMES, sets.CHANNELS, sets.GRID), [(0, 9)])
    area = np.broadcast_to(sets.GRID.area[2:], fields[:9, 1, 2:].shape)
    assert found.mean[1] == pytest.approx(np.average(fields[:9, 1, 2:], weights=area), rel=1e-6)
    assert np.isnan(found.climatology[1, :2]).all() and np.isfinite(found.climatology[0]).all()


def test_no_increments_no_statistics(frames: Staged) -> None:
    with pytest.raises(UserError, match="two times that follow one another"):
        statistics(frames, [(0, 1), (4, 5)])


def test_they_are_kept_and_refused_for_other_channels(tmp_path: Path, frames: Staged) -> None:
    found = statistics(frames, [(0, 9)])
    found.save(tmp_path / "s.safetensors")
    again = Statistics.load(tmp_path / "s.safetensors", sets.NAMES)
    for name in ("mean", "std", "increment_std", "climatology"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    with pytest.raises(UserError, match=r"channels u500, z500, got those of z500, u500"):
        Statistics.load(tmp_path / "s.safetensors", ["u500", "z500"])
    (tmp_path / "s.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match="holds no statistics"):
        Statistics.load(tmp_path / "s.safetensors", sets.NAMES)

"""Sets that are made: their times and splits, the same numbers every time, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sciml.contracts import UserError
from sciml.globe.archive import open_archive
from sciml.weather.simulate import make, trajectories
from sciml.weather.simulate.trajectories import Plan

SMALL = {"train": 2, "validation": 1, "test": 1, "days": 0.5, "spin_up": 0.25, "n_lat": 16}


def small(path, **changes):
    return make.shallow_water(path, **{**SMALL, "dt": 3600, "batch": 3, **changes})


def opened(path):
    archive = open_archive(path, ["z", "u", "v"], gaps="allowed")
    return archive, archive.read(np.arange(len(archive.times)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "small.nc"
    return small(path)


def test_trajectories_are_the_stretches_without_a_gap(made):
    archive, fields = opened(made)
    assert archive.runs == ((0, 3), (3, 6), (6, 9), (9, 12))
    assert fields.shape == (12, 3, 16, 32)
    assert archive.grid.kind == "gauss"


def test_fields_are_geopotential_and_wind_in_their_units(made):
    archive, fields = opened(made)
    mean = (fields[:, 0] * archive.grid.area).sum((-1, -2))
    assert mean == pytest.approx(5600 * 9.80616, abs=0.1)
    assert 20 < abs(fields[:, 1:]).max() < 120


def test_attributes_say_which_trajectories_are_for_what(made):
    import netCDF4

    with netCDF4.Dataset(made) as file:
        assert json.loads(file.trajectories)["validation"] == [2, 3]
        first, last = file.train.split("/")
        assert np.datetime64(first) < np.datetime64(last) < np.datetime64(file.test[:16])
        assert json.loads(file.recipe)["seed"] == 0


def test_the_same_seed_makes_the_same_numbers_in_other_batches(made, tmp_path):
    again = make.shallow_water(tmp_path / "a.nc", **SMALL, dt=3600, batch=3)
    other = small(tmp_path / "b.nc", batch=1)
    seed = small(tmp_path / "c.nc", seed=1)
    fields = opened(made)[1]
    np.testing.assert_array_equal(fields, opened(again)[1])
    np.testing.assert_allclose(fields, opened(other)[1], rtol=1e-4, atol=0.05)
    assert abs(fields - opened(seed)[1]).max() > 1


def test_a_run_that_was_cut_short_goes_on_to_the_same_numbers(made, tmp_path, monkeypatch):
    path, whole = tmp_path / "cut.nc", trajectories._trajectories

    def cut(atmosphere, plan, numbers, progress):
        if numbers[0]:
            raise KeyboardInterrupt
        return whole(atmosphere, plan, numbers, progress)

    monkeypatch.setattr(trajectories, "_trajectories", cut)
    monkeypatch.setattr("sciml.globe.layout.BLOCK", 4 * 3 * 16 * 32 * 4)  # four states
    with pytest.raises(KeyboardInterrupt):
        small(path)
    with pytest.raises(UserError, match="incomplete"):
        opened(path)
    monkeypatch.setattr(trajectories, "_trajectories", whole)
    np.testing.assert_array_equal(opened(small(path))[1], opened(made)[1])


def test_a_climate_is_another_set(made, tmp_path):
    """Same random numbers; half a day of heating has moved the wind by metres per second."""
    driven = small(tmp_path / "a.nc", climate=True)
    change = abs(opened(driven)[1] - opened(made)[1])
    assert 0.5 < change[2, 1].max() < 40


def test_a_set_that_is_whole_is_not_made_again(made, monkeypatch):
    monkeypatch.setattr(trajectories, "_trajectories", None)
    assert small(made) == made


def test_a_set_that_was_made_otherwise_is_refused(made):
    with pytest.raises(UserError, match="delete it"):
        small(made, seed=5)
    assert opened(made)[1].shape[0] == 12


def test_cost_comes_first_then_progress(tmp_path, capsys):
    small(tmp_path / "a.nc")
    first, *_, last = capsys.readouterr().err.splitlines()
    assert "4 trajectories" in first and "GB of memory" in first and "on the disk" in first
    assert "100%" in last


def test_a_run_that_blows_up_says_so(tmp_path):
    with pytest.raises(UserError, match="set a smaller dt"):
        small(tmp_path / "a.nc", n_lat=32, dt=21600, spin_up=6, train=1, validation=0, test=0)


PLAN = Plan(3, 1, 1, days=2, spin_up=1, dt=1200.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 0}, "train > 0"),
        ({"test": -1}, "test >= 0"),
        ({"spin_up": 0}, "spin_up > 0"),
        ({"dt": 1000.0}, "dt to divide 21600"),
        ({"spin_up": 0.3}, "hours to divide"),
    ],
)
def test_plans_that_make_no_sense_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(PLAN, **change)


def test_plan_counts():
    assert PLAN.count == 5 and PLAN.states == 9 and PLAN.between == 18 and PLAN.before == 72
    assert [len(chunk) for chunk in replace(PLAN, batch=2).chunks()] == [2, 2, 1]
    gap = PLAN.times(1)[0] - PLAN.times(0)[-1]
    assert gap == 86400 and (np.diff(PLAN.times(1)) == 21600).all()


def test_held_suarez_has_eras_names(tmp_path):
    path = make.held_suarez(
        tmp_path / "a.nc", days=0.25, train=1, validation=0, test=1, spin_up=0.25, n_lat=16,
        layers=5, levels=[700, 300],
    )  # fmt: skip
    names = ["z700", "z300", "t700", "t300", "u700", "u300", "v700", "v300", "sp"]
    archive = open_archive(path, names, gaps="allowed")
    fields = dict(zip(names, archive.read([0])[0], strict=True))
    assert len(archive.runs) == 2 and archive.shape[-2:] == (16, 32)
    assert (fields["sp"] * archive.grid.area).sum() == pytest.approx(1e5, rel=1e-3)
    assert (fields["z300"] > fields["z700"]).all() and 230 < fields["t700"].mean() < 290


@pytest.mark.gpu
def test_both_atmospheres_run_on_an_accelerator(made, tmp_path):
    there = small(tmp_path / "a.nc", device="cuda")
    np.testing.assert_allclose(opened(made)[1], opened(there)[1], rtol=1e-3, atol=0.1)
    make.held_suarez(
        tmp_path / "b.nc", days=0.25, train=1, validation=0, test=0, spin_up=0.25, n_lat=16,
        layers=5, levels=[500], device="cuda",
    )  # fmt: skip

"""Members of ensembles, by a model that turns the planet and remembers how often it was asked."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from globe.test_system import START, STEP, Turning, waves

from sciml.contracts import UserError
from sciml.globe import ensembles
from sciml.globe.archive import open_forecast
from sciml.globe.data import Forecasts
from sciml.globe.losses import MSE, FairCRPS
from sciml.globe.metrics import EnsembleMetric
from sciml.globe.objective import EnsembleLoss
from sciml.globe.predictor import dataset
from sciml.globe.schema import LEAD, NUMBER, TIME, Schema
from sciml.globe.source import opened
from sciml.globe.splits import Trajectories
from sciml.globe.system import Evaluation, assemble

STARTS = ["2000-01-01T12", "2000-01-02T00"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("waves") / "waves.zarr"
    return opened(str(path), ["z", "u", "v"], make=waves, gaps="allowed")


def system(archive, losses=None, forcing=None, **given):
    windows = partial(
        Forecasts, batch=2, memory=True, spacing=2, split=Trajectories([0, 2], [2, 3], [3, 4])
    )
    windows = partial(windows, forcing=forcing)
    losses = losses or {"mse": MSE}
    evaluation = Evaluation([1, 4], spectra=["v"], degrees=[3], members=4)
    return assemble(archive, Turning, losses, windows, evaluation, seed=1, **given)


def written(parts, path: Path, factor: float = 1.0, starts=STARTS, data=None, **asked):
    """`[start, member, lead, C, lat, lon]`."""
    with torch.no_grad():
        parts.model.factor.fill_(factor)
    parts.predictor.forecast(parts.model, starts, 3, path, data, asked)
    found = open_forecast(path)
    names = ("geopotential", "u_component_of_wind", "v_component_of_wind")
    return np.stack([found[n].values.swapaxes(-1, -2) for n in names], 3)


def increments(archive) -> np.ndarray:
    """Standard deviation over one step, `[C]`, of the training split: runs 0 and 1, 9 states."""
    states = archive.read(slice(None)).reshape(4, 9, 3, *archive.grid.shape)[:2]
    change = np.diff(states, axis=1)
    return np.sqrt((change**2 * archive.grid.area).sum((-2, -1)).mean((0, 1)))


def test_a_control_and_members_around_it(archive, tmp_path) -> None:
    made = written(system(archive), tmp_path / "f.zarr", members=6, amplitude=0.5)
    modes = 12**2 / (12 * 24)  # T11 of 288 cells: the share of white noise that is kept
    for n, number in enumerate((2, 4)):
        truth = archive.read(slice(number + 1, number + 4))
        np.testing.assert_allclose(made[n, 0], truth, atol=1e-3)
        away = made[n, 1:] - truth
        assert abs(away).max(axis=(1, 2, 3, 4)).min() > 0
        size = np.sqrt((away**2 * archive.grid.area).sum((-2, -1)).mean((0, 1)))
        assert size / (0.5 * increments(archive)) == pytest.approx(modes**0.5, rel=0.25)
    apart = made[0, 1:, 0] - made[0, :1, 0]
    assert len({float(one.sum()) for one in apart}) == 5


def test_noise_belongs_to_start_and_member_alone(archive, tmp_path, monkeypatch) -> None:
    parts = system(archive)
    many = written(parts, tmp_path / "many.zarr", members=5, amplitude=0.5)
    monkeypatch.setattr(ensembles, "CELLS", 2 * archive.grid.area.size)  # two at a time
    few = written(parts, tmp_path / "few.zarr", starts=STARTS[1:], members=3, amplitude=0.5)
    np.testing.assert_array_equal(few[0], many[1, :3])
    assert not np.array_equal(many[0, 1] - many[0, 0], many[1, 1] - many[1, 0])


def test_lagged_members_are_the_longer_leads_of_older_forecasts(archive, tmp_path) -> None:
    """The model multiplies by 0.9 every step: member m has been stepped m lags more."""
    made = written(
        system(archive), tmp_path / "f.zarr", 0.9, starts=["2000-01-02T00"],
        members=3, kind="lagged", lag=12,
    )  # fmt: skip
    truth = archive.read(slice(5, 8))  # the planet turns exactly
    for member in range(3):
        for lead in range(3):
            expected = 0.9 ** (lead + 1 + 2 * member) * truth[lead]
            np.testing.assert_allclose(made[0, member, lead], expected, rtol=1e-4, atol=1e-3)


def test_lagged_members_see_the_forcing_of_their_times(archive) -> None:
    """A model that adds the hour of the forcing: sums of hours tell which ones it was told."""

    class Hours:
        names = ("hour",)

        def __call__(self, time, grid):
            hours = ((time - START) // 3600).float()
            return hours[..., None, None, None].expand(*time.shape, 1, *grid.shape)

    parts = system(archive, forcing=Hours())

    class Adding(torch.nn.Linear):
        def forward(self, state, forcing):
            return state + forcing

    ahead = ensembles.Ahead(Adding(1, 1), archive, parts.data)
    start = START + 4 * STEP
    found = ensembles.Lagged(3, STEP).first(ahead, start, [0, 2, 1])
    base = archive.read([4, 2, 3])
    told = (found.numpy() - base).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(told, [0, 12 + 18, 18], atol=1e-3)


def test_an_ensemble_goes_on_where_it_was_cut_short(archive, tmp_path, monkeypatch) -> None:
    parts = system(archive)
    whole = written(parts, tmp_path / "whole.zarr", members=4, amplitude=0.5)
    monkeypatch.setattr(ensembles, "CELLS", archive.grid.area.size)  # one at a time
    calls, step = [], Turning.forward

    def forward(self, state, forcing=None):
        calls.append(len(state))
        if len(calls) == 3 * 5 + 2:  # in the sixth member
            raise KeyboardInterrupt
        return step(self, state, forcing)

    monkeypatch.setattr(Turning, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        written(parts, tmp_path / "parts.zarr", members=4, amplitude=0.5)
    found = written(parts, tmp_path / "parts.zarr", members=4, amplitude=0.5)
    assert calls == [1] * (3 * 5 + 2 + 3 * 3)
    np.testing.assert_array_equal(found, whole)


def test_a_system_of_ensembles_is_judged_and_sampled_as_it_was_trained(archive, tmp_path) -> None:
    losses = {"mse": MSE, "crps": FairCRPS}
    parts = system(archive, losses, noise=0.3, members=2)
    assert isinstance(parts.objective, EnsembleLoss) and parts.objective.terms == ("crps",)
    assert isinstance(parts.metric, EnsembleMetric) and parts.metric.members == 4
    window = next(iter(parts.data.train_dataloader()))
    parts.objective.eval()
    loss = parts.objective(parts.model, window)["crps"]
    assert parts.objective(parts.model, window)["crps"] == loss, "validation sees the same noise"
    with torch.no_grad():
        parts.model.factor.fill_(1.0)
    from sciml.training.run import measure

    found = measure(parts, parts.model)
    for name in ("crps/z/6h", "spread_over_error/v/24h", "acc/u/24h", "power_ratio/v/l3/24h"):
        assert np.isfinite(found[name]), name
    assert found["rmse/z/6h"] < found["spread/z/6h"], "the mean of an exact step around the truth"
    made = written(parts, tmp_path / "f.zarr", members=3)
    truth = archive.read(slice(3, 6))
    away = abs(made[0] - truth).max(axis=(1, 2, 3, 4))
    assert away.min() > 0.1, "no control among samples"


def test_a_dataset_in_memory_is_as_the_store(archive, tmp_path) -> None:
    made = written(system(archive), tmp_path / "f.zarr", members=3, amplitude=0.5)
    schema = Schema(archive.channels, archive.grid, (TIME, NUMBER, LEAD))
    starts = [START + 2 * STEP, START + 4 * STEP]
    found = dataset(schema, made, np.array(starts), STEP * np.arange(1, 4))
    xarray.testing.assert_equal(found, open_forecast(tmp_path / "f.zarr").load())
    assert found.number.attrs["standard_name"] == "realization"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"members": 1}, "at least 2 members, got 1"),
        ({"lag": 6.0}, "how many members the ensemble has; set --members"),
        ({"members": 2}, "trained without noise; give the amplitude"),
        ({"members": 2, "amplitude": -0.1}, "an amplitude > 0, got -0.1"),
        ({"members": 2, "lag": 6.0}, "a perturbed ensemble has no lag"),
        ({"members": 2, "kind": "sampled"}, "only a run with system.members >= 2 can be sampled"),
        ({"members": 2, "kind": "lagged"}, "a lag > 0 for a lagged ensemble, hours, got none"),
        ({"members": 2, "kind": "lagged", "lag": 0.0}, "a lag > 0 .* got 0"),
        ({"members": 2, "kind": "lagged", "lag": 9.0}, "whole steps of 6 hours, got 9"),
        (
            {"members": 4, "kind": "lagged", "lag": 6.0},
            "member 3 of 2000-01-01T12:00 starts at 1999-12-31T18:00, a time that the data do not",
        ),
        ({"members": 2, "kind": "guessed"}, "perturbed, sampled, lagged, got 'guessed'"),
    ],
)
def test_what_makes_no_ensemble_is_one_line_and_no_store(archive, tmp_path, asked, said) -> None:
    with pytest.raises(UserError, match=said) as caught:
        written(system(archive), tmp_path / "f.zarr", **asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "f.zarr").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members": 2, "noise": 0.0, "losses": {"crps": FairCRPS}}, "expected noise, by which"),
        ({"members": 2, "noise": 0.1, "losses": {"mse": MSE}}, "a loss of ensembles.* got mse"),
        ({"members": 1, "noise": 0.1, "losses": {"c": FairCRPS}}, "losses.c is one of ensembles"),
        ({"members": 0, "noise": 0.1, "losses": {"mse": MSE}}, "a number >= 1, got 0"),
        (
            {"members": 2, "noise": 0.1, "losses": {"crps": FairCRPS}, "noise_at_every_step": True},
            "a single forecast, got system.members=2",
        ),
        (
            {"members": 1, "noise": 0.0, "losses": {"mse": MSE}, "noise_at_every_step": True},
            "expected noise .* got system.noise=0",
        ),
    ],
)
def test_losses_and_members_fit(archive, given, said) -> None:
    with pytest.raises(UserError, match=said):
        system(archive, **given)

"""A forecaster from an archive to its forecasts, with a network of a few numbers."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from sciml.calculus.sphere import Harmonics, gauss
from sciml.contracts import Forecaster, UserError
from sciml.globe.archive import open_forecast
from sciml.globe.channels import Channels
from sciml.globe.data import Forecasts
from sciml.globe.losses import MSE, MSH
from sciml.globe.source import opened
from sciml.globe.splits import Trajectories
from sciml.globe.system import Evaluation, assemble
from sciml.globe.writer import ArchiveWriter

GRID, STEP, START = gauss(12), 21600, 946684800


def waves(path: Path, runs: int = 4, states: int = 9) -> None:
    """z, u, v that turn to the east by two points each step, in runs with gaps between."""
    generator = torch.Generator().manual_seed(0)
    harmonics = Harmonics(GRID).double()
    with ArchiveWriter(path, Channels.named(["z", "u", "v"]), GRID) as store:
        for run in range(runs):
            field = torch.randn(3, *GRID.shape, generator=generator, dtype=torch.float64)
            smooth = 20 * harmonics.project(field)
            moved = torch.stack([smooth.roll(2 * k, -1) for k in range(states)])
            times = START + STEP * (np.arange(states) + run * (states + 4))
            store.append(times, moved.numpy())


class Turning(nn.Module):
    """The exact step, times a number that is learned."""

    def __init__(self, channels, forcings: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.forcings, self.names = forcings, channels.names

    def forward(self, state, forcing=None):
        return self.factor * state.roll(2, -1)


@pytest.fixture
def archive(tmp_path: Path):
    return opened(str(tmp_path / "waves.zarr"), ["z", "u", "v"], make=waves, gaps="allowed")


def system(archive):
    windows = partial(
        Forecasts, batch=2, memory=True, spacing=2, split=Trajectories([0, 2], [2, 3], [3, 4])
    )
    losses = {"mse": MSE, "msh": MSH}
    evaluation = Evaluation([1, 4], spectra=["v"], degrees=[3])
    return assemble(archive, Turning, losses, windows, evaluation, seed=1)


def test_a_network_gets_what_it_names(archive):
    model = system(archive).model
    assert model.names == ("z", "u", "v") and model.forcings == 0


def test_terms_vanish_for_the_exact_step(archive):
    parts = system(archive)
    window = next(iter(parts.data.train_dataloader()))
    before = parts.objective(parts.model, window)
    assert set(before) == {"mse", "msh"} and min(before.values()) > 0.1
    with torch.no_grad():
        parts.model.factor.fill_(1.0)
    for term in parts.objective(parts.model, window).values():
        assert abs(term.item()) < 1e-6


def test_scores_are_of_the_test_set(archive):
    from sciml.training.run import measure

    parts = system(archive)
    with torch.no_grad():
        parts.model.factor.fill_(1.0)
    found = measure(parts, parts.model)
    assert found["rmse_over_persistence/z/6h"] < 1e-5
    assert found["power_ratio/v/l3/24h"] == pytest.approx(1, abs=1e-5)
    windows = list(parts.data.test_dataloader())
    assert sum(len(w.state) for w in windows) == 3, "starts 0, 2, 4 of the last run"
    with torch.no_grad():
        parts.model.factor.fill_(0.0)
    truth = np.concatenate([w.state[:, 1, 0].numpy() for w in windows])
    expected = np.sqrt((truth**2 * GRID.area).sum((1, 2)).mean())
    assert measure(parts, parts.model)["rmse/z/6h"] == pytest.approx(expected, rel=1e-5)


def test_the_dataset_holds_forecast_and_truth(archive):
    parts = system(archive)
    with torch.no_grad():
        parts.model.factor.fill_(1.0)
    data = next(iter(parts.predictor(parts.model, {})))
    assert data.geopotential.dims == ("time", "prediction_timedelta", "longitude", "latitude")
    assert data.sizes["time"] == 2 and data.sizes["prediction_timedelta"] == 4
    xarray.testing.assert_allclose(
        data.geopotential, data.geopotential_reference.rename("geopotential"), rtol=1e-4
    )
    assert data.geopotential.attrs["units"] == "m2 s-2"


def test_forecasts_are_streamed_to_a_store(archive, tmp_path):
    parts = system(archive)
    assert isinstance(parts.predictor, Forecaster)
    with torch.no_grad():
        parts.model.factor.fill_(1.0)
    starts = ["2000-01-01T00", "2000-01-01T12"]
    out = parts.predictor.forecast(parts.model, starts, 3, tmp_path / "f.zarr", None)
    found = open_forecast(out)
    assert found.sizes["time"] == 2 and found.sizes["prediction_timedelta"] == 3
    expected = archive.read([3])[0, 1]
    last = found.u_component_of_wind.sel(time=starts[0]).isel(prediction_timedelta=2)
    np.testing.assert_allclose(last.values.T, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("start", "said"), [("2000-01-01T03", "nearest time is 2000-01-01T"), ("soon", "got 'soon'")]
)
def test_a_time_that_is_not_there(archive, tmp_path, start, said):
    parts = system(archive)
    with pytest.raises(UserError, match=said):
        parts.predictor.forecast(parts.model, [start], 3, tmp_path / "f.zarr", None)
    assert not (tmp_path / "f.zarr").exists()


def test_a_set_is_made_by_who_knows_whether_it_is_there(tmp_path):
    path, asked = tmp_path / "data/waves.zarr", []

    def make(target: Path) -> None:
        asked.append(target)
        if not target.exists():
            waves(target, states=5)

    for _ in range(2):
        assert len(opened(str(path), ["z"], make=make, gaps="allowed")) == 20
    assert asked == [path, path]


def test_nothing_there_and_nothing_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"expected data at .*era5.zarr, found nothing"):
        opened(str(tmp_path / "era5.zarr"), ["z500"])

"""A forecaster as a module of one input: columns, names, units, the trained model's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sciml.calculus.sphere import gauss
from sciml.export import export, load
from sciml.globe.archive import open_archive
from sciml.globe.channels import Channels
from sciml.globe.data import Forecasts
from sciml.globe.splits import Shares
from sciml.globe.surrogate import surrogate
from sciml.globe.writer import ArchiveWriter

GRID = gauss(8)


class Pushed(nn.Module):
    """s + k F: by hand, skt is moved by twice the first forcing and t2m by thrice the second."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([2.0, 3.0])[:, None, None])

    def forward(self, state: torch.Tensor, forcing: torch.Tensor | None) -> torch.Tensor:
        return state * self.factor if forcing is None else state + self.factor * forcing


class Clock:
    """Hours since the beginning, and its negative."""

    names = ("hours", "hours_left")

    def __call__(self, time: torch.Tensor, grid: object) -> torch.Tensor:
        hours = (time - 946_684_800)[..., None, None, None] / 3600.0
        return torch.cat([hours, -hours], 2).expand(*time.shape, 2, *GRID.shape)


def data(folder: Path, forcing: object) -> Forecasts:
    states = np.random.default_rng(0).normal(280, 10, (12, 2, *GRID.shape))
    with ArchiveWriter(folder / "a.zarr", Channels.named(["skt", "t2m"]), GRID) as out:
        out.append(946_684_800 + 21_600 * np.arange(12), states)
    archive = open_archive(folder / "a.zarr", ["skt", "t2m"])
    split = Shares(0.5, 0.25, 0.25)
    return Forecasts(archive, split, batch=2, horizon=1, forcing=forcing, memory=True)


@pytest.mark.parametrize("forcing", [None, Clock()], ids=["bare", "forced"])
def test_columns_are_channels_then_forcings(tmp_path: Path, forcing) -> None:
    found = surrogate(data(tmp_path, forcing), Pushed())
    forced = ["hours", "hours_left"] if forcing else []
    assert list(found.outputs) == ["skt", "t2m"]
    assert list(found.inputs) == ["skt", "t2m", *forced]
    assert found.outputs["t2m"]["units"] == "K" and found.inputs["skt"]["units"] == "K"
    assert found.sample.shape == (2, len(found.inputs), *GRID.shape)
    if forcing:  # of the test split, which begins with the tenth state: 54 hours on
        assert found.sample[:, 2].unique().tolist() == [54, 60]


def test_a_bundle_steps_by_state_and_forcing(tmp_path: Path) -> None:
    found = surrogate(data(tmp_path, Clock()), Pushed())
    export(found, {"case": "pushed"}, tmp_path / "bundle", ("onnx",))
    x = np.random.default_rng(1).normal(280, 10, (5, 4, *GRID.shape)).astype(np.float32)
    after = load(tmp_path / "bundle")(x)
    np.testing.assert_allclose(after["skt"], x[:, 0] + 2 * x[:, 2], rtol=1e-6)
    np.testing.assert_allclose(after["t2m"], x[:, 1] + 3 * x[:, 3], rtol=1e-6)

"""`sciml forecast --ranks`: the same forecasts by one process and by two, as a user types it."""

from pathlib import Path

import numpy as np
import planets
import pytest
import torch
import xarray
from ranks.processes import together

from sciml import cli, compose

START, STEPS = "--start", ["--steps", "3"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory):
    """A run of four steps, and a time that its archive holds."""
    with planets.alone(tmp_path_factory.mktemp("planet")):
        words = [*planets.SMALL, "phases.one_step.steps=3", "phases.two_steps.steps=1"]
        words += ["phases.one_step.schedule.warmup=1", "run_dir=run"]
        assert cli.main(["run", "weather_shallow_water", *words]) == 0
        parts, _ = compose.restore("run")
        yield str(np.datetime64(int(parts.system.data.archive.times[18]), "s"))


@pytest.mark.parametrize("kind", ["zarr", "nc"])
def test_two_ranks_write_the_ensemble_of_one(start: str, kind: str) -> None:
    asked = ["run", START, start, *STEPS, "--members", "3", "--amplitude", "0.3"]
    assert cli.main(["forecast", *asked, "--out", f"one.{kind}"]) == 0
    words = ["-m", "sciml", "forecast", *asked, "--out", f"two.{kind}", "--ranks", "2"]
    ((code, said),) = together(words, 1, folder=Path.cwd())
    assert code == 0, said
    assert said.count(f"forecast: two.{kind}") == 1
    opened = xarray.open_zarr if kind == "zarr" else xarray.open_dataset
    with opened(f"one.{kind}") as one, opened(f"two.{kind}") as two:
        assert float(one.geopotential.std("number").max()) > 0
        for name in one.data_vars:  # three members together or two and one: other sums of float32
            torch.testing.assert_close(
                torch.from_numpy(two[name].values), torch.from_numpy(one[name].values),
                rtol=1e-5, atol=1e-4,
            )  # fmt: skip
    assert not list(Path().glob(".two*"))


def test_more_ranks_than_forecasts_are_one_line(start: str) -> None:
    words = ["-m", "sciml", "forecast", "run", START, start, *STEPS, "--out", "g.zarr"]
    ((code, said),) = together([*words, "--ranks", "2"], 1, folder=Path.cwd())
    assert code == 2
    assert said.count("\n") == 1 and "each of 2 ranks, got 1 (starts × members)" in said
    assert not Path("g.zarr").exists()

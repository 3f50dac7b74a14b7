"""An ensemble trained by CRPS, from the command to its scores, on the small planet of the cases."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_globe_cases import SMALL, _planet, config_of  # noqa: F401

from sciml import cli, compose, runs

CASE = "weather_shallow_water/crps"
SHORT = [
    *SMALL, "phases.one_step.steps=6", "phases.one_step.schedule.warmup=1",
    "phases.two_steps.steps=2", "phases.fine_tuning.steps=1", "evaluation.members=3",
    "run_dir=ensemble",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(_planet) -> Path:  # noqa: F811
    assert cli.main(["run", CASE, *SHORT]) == 0
    return Path("ensemble")


def starts(*numbers: int) -> str:
    parts, _ = compose.restore("ensemble")
    times = parts.system.data.archive.times
    return ",".join(str(np.datetime64(int(times[n]), "s")) for n in numbers)


def test_metrics_are_those_of_an_ensemble(run) -> None:
    metrics = runs.read_metrics(run)
    for channel in "zuv":
        for hours in (6, 24):
            crps, rmse = (metrics[f"{kind}/{channel}/{hours}h"] for kind in ("crps", "rmse"))
            assert 0 < crps < rmse
            assert 0 < metrics[f"spread_over_error/{channel}/{hours}h"] < 10
    assert "power_ratio/v/l3/24h" in metrics and "acc/z/24h" in metrics
    assert (run / "figures/ensemble.png").is_file() and (run / "figures/forecast.gif").is_file()


def test_the_same_command_gives_the_same_numbers(run, tmp_path) -> None:
    words = [word for word in SHORT if not word.startswith("run_dir")]
    assert cli.main(["run", CASE, *words, f"run_dir={tmp_path / 'again'}"]) == 0
    again, first = runs.read_metrics(tmp_path / "again"), runs.read_metrics(run)
    assert {k: v for k, v in first.items() if "/" in k} == {
        k: v for k, v in again.items() if "/" in k
    }


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--ensemble", "sampled"], 18),
        ([], 18),
        (["--ensemble", "perturbed", "--amplitude", "0.5"], 18),
        (["--ensemble", "lagged", "--lag", "6"], 20),
    ],
)
def test_forecast_and_score(run, tmp_path, capsys, options, number) -> None:
    out, truth = tmp_path / "f.zarr", str(config_of("weather_shallow_water/default").archive.path)
    asked = ["--start", starts(number, number + 1), "--steps", "3", "--members", "3", *options]
    assert cli.main(["forecast", str(run), *asked, "--out", str(out)]) == 0, capsys.readouterr().err
    assert cli.main(["score", str(out), truth, "--to", str(tmp_path / "s")]) == 0
    assert "2 forecasts of 3 members" in capsys.readouterr().out
    found = json.loads((tmp_path / "s/scores.json").read_text())
    assert found["members"] == 3 and found["spread/v/18h"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--members", "1"], "at least 2 members, got 1"),
        (["--lag", "6"], "how many members the ensemble has; set --members"),
        (["--members", "3", "--ensemble", "lagged", "--lag", "6"], "a time that the data do not"),
        (["--members", "3", "--ensemble", "lagged"], "a lag > 0 for a lagged ensemble"),
        (["--members", "3", "--ensemble", "luck"], "invalid choice: 'luck'"),
    ],
)
def test_a_mistake_is_one_line(run, tmp_path, capsys, options, said) -> None:
    asked = ["--start", starts(18), "--steps", "2", "--out", str(tmp_path / "f.zarr"), *options]
    assert cli.main(["forecast", str(run), *asked]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "f.zarr").exists()

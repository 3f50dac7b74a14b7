"""One contract over every case of fields on the globe, on a small planet that it makes itself."""

from functools import cache
from pathlib import Path

import planets
import pytest
import torch
from test_cases import EVERY, assert_same_weights, is_forecast, simulated, weights_in

from sciml import compose, runs
from sciml.training.phases import hand_over, lay_out
from sciml.training.run import train
from sciml.training.step import Step

ROOT = Path(__file__).resolve().parents[1]
#: Cases on shallow water that the package simulates, and those that need archives of the user's.
SIMULATED = [c for c in EVERY if simulated(c) == "shallow_water"]
OTHERS = [c for c in EVERY if is_forecast(c) and not simulated(c)]
SMALL = [*planets.SMALL, "archive.make.dt=3600"]


@pytest.fixture(scope="module", autouse=True)
def _planet(tmp_path_factory):
    """The set is made by the first case that asks for it."""
    with planets.alone(tmp_path_factory.mktemp("planet")):
        yield


@cache
def config_of(case: str):
    truncations = [
        f"losses.{name}.truncation=10"
        for name, loss in compose.compose(case, []).losses.items()
        if "truncation" in loss
    ]
    return compose.compose(case, [*SMALL, *truncations])


@pytest.mark.parametrize("case", OTHERS)
def test_a_case_without_its_data_says_so(case, capsys):
    from sciml import cli

    assert cli.main(["run", case, "run_dir=r"]) == 2
    assert "archive.path: expected data at" in capsys.readouterr().err


def test_an_optimizer_that_wants_residuals_comes_to_no_data(tmp_path, monkeypatch, capsys):
    from sciml import cli

    monkeypatch.setenv("SCIML_DATA", str(tmp_path / "none"))
    phases = ("one_step", "two_steps")
    exact = [f"+phases.{name}.precision=float64" for name in phases]
    plain = [f"phases.{name}.clip=null" for name in phases]
    words = ["run", "weather_shallow_water", "optimizer=levenberg_marquardt", *exact, *plain]
    assert cli.main([*words, f"run_dir={tmp_path / 'r'}"]) == 2
    error = capsys.readouterr().err
    assert "needs residual rows and the objective ForecastLoss has none" in error
    assert error.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", SIMULATED)
def test_terms_are_those_of_the_phases_and_ten_steps_lower_the_loss(case):
    parts = compose.build(config_of(case))
    system, model = parts.system, parts.system.model
    assert system.metric is not None and system.tested is not None
    for stretch in lay_out(parts.phases):
        hand_over(stretch.phase.settings, (system.objective, system.data), stretch.name)
        batch = next(iter(system.data.train_dataloader(0, 0, 1)))
        assert batch.state.shape[1] == system.objective.steps + 1
        parameters = dict(model.named_parameters())
        optimizer = stretch.phase.optimizer(parameters.values())
        model.eval(), system.objective.eval()  # without noise, so that losses can be compared
        totals = []
        for index in range(6):
            optimizer.zero_grad()
            step = Step(system.objective, model, [batch], index, parameters)
            assert tuple(step.terms) == system.objective.terms
            total = sum(step.terms.values())
            total.backward()
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < totals[0], stretch.name


def test_a_case_resumes_bit_for_bit(tmp_path):
    """Six steps across the change of phase; interrupted before step 5, after the save at 3."""
    keys = {"one_step": 4, "two_steps": 2}
    steps = [f"phases.{name}.steps={n}" for name, n in keys.items()]
    steps += ["phases.one_step.schedule.warmup=1", "trainer.save_every=3"]
    config = compose.compose("weather_shallow_water/default", [*SMALL, *steps])

    def attempt(run: Path, last: int | None = None) -> None:
        parts = compose.build(config)

        def interrupt(balancer, given):
            if given[0].index == last:
                raise RuntimeError("interrupted")

        parts.balancer.register_forward_pre_hook(interrupt)
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        train(parts.system, parts.balancer, parts.phases, parts.settings, run)

    attempt(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        attempt(tmp_path / "parts", last=5)
    assert weights_in(tmp_path / "parts")[0] == 3
    attempt(tmp_path / "parts")
    assert_same_weights(tmp_path / "parts", tmp_path / "whole", 6)


def test_from_the_command_to_scores(tmp_path, capsys):
    """run → forecast → score, as a user types them."""
    from sciml import cli

    words = [*SMALL, "phases.one_step.steps=3", "phases.two_steps.steps=1"]
    words += ["phases.one_step.schedule.warmup=1", "run_dir=run"]
    assert cli.main(["run", "weather_shallow_water", *words]) == 0, capsys.readouterr().err
    for name in ("result.nc", "metrics.json", "report.html", "figures/scorecard.png"):
        assert (Path("run") / name).is_file(), name
    metrics = runs.read_metrics("run")
    assert 0 < metrics["rmse_over_persistence/z/24h"] < 2
    parts, _ = compose.restore("run")
    archive = parts.system.data.archive
    starts = ",".join(
        str(torch.tensor(0).numpy().astype("M8[s]") + int(archive.times[n])) for n in (18, 19)
    )
    asked = ["--start", starts, "--steps", "3", "--out", "f.zarr"]
    assert cli.main(["forecast", "run", *asked]) == 0, capsys.readouterr().err
    truth = str(config_of("weather_shallow_water/default").archive.path)
    assert cli.main(["score", "f.zarr", truth, "--to", "s"]) == 0, capsys.readouterr().err
    assert "2 forecasts" in capsys.readouterr().out

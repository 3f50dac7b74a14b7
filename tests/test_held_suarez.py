"""The case of the layered atmosphere, on a planet so small that the test makes it."""

from pathlib import Path

import numpy as np
import planets
import pytest
import torch

from sciml import compose, runs
from sciml.training.phases import hand_over, lay_out

SMALL = [*planets.SMALL, "archive.make.layers=5"]


@pytest.fixture(scope="module", autouse=True)
def _planet(tmp_path_factory):
    """The set is made by the first test that asks for it."""
    with planets.alone(tmp_path_factory.mktemp("planet")):
        yield


@pytest.mark.parametrize("case", ["weather_held_suarez/default", "weather_held_suarez/long"])
def test_layers_are_learned_phase_by_phase(case):
    """Windows are as long as each phase's rollout, and some steps lower its loss."""
    parts = compose.build(compose.compose(case, SMALL))
    system, model = parts.system, parts.system.model
    model.eval(), system.objective.eval()  # without noise, so that losses can be compared
    for stretch in lay_out(parts.phases):
        hand_over(stretch.phase.settings, (system.objective, system.data), stretch.name)
        batch = next(iter(system.data.train_dataloader(0, 0, 1)))
        assert batch.state.shape[1:3] == (system.objective.steps + 1, 17)
        optimizer = stretch.phase.optimizer(model.parameters())
        totals = []
        for _ in range(6):
            optimizer.zero_grad()
            total = sum(system.objective(model, batch).values())
            total.backward()
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < totals[0], stretch.name


def test_each_level_is_carried_by_its_own_wind_and_air_is_neither_made_nor_lost():
    system = compose.build(compose.compose("weather_held_suarez/default", SMALL)).system
    data, names = system.data, system.data.archive.channels.names
    state = next(iter(data.test_dataloader())).state[:, 0]
    inputs = system.model.inputs
    before = dict(zip(inputs.names, inputs.raw(state)[0], strict=True))
    for level in ("850", "700", "500", "250"):
        assert {f"{x} of u{level}" for x in ("vorticity", "divergence")} <= before.keys()
    calm = state.clone()
    calm[:, [names.index("u250"), names.index("v250")]] = 0
    after = dict(zip(inputs.names, inputs.raw(calm)[0], strict=True))
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert {"carried t250", "carried z250"} <= changed
    assert all("250" in name for name in changed)
    torch.nn.init.normal_(system.model.finish[1][-1].bias)
    area = torch.from_numpy(data.archive.grid.area)
    sp = names.index("sp")
    with torch.no_grad():
        mean = [(x[:, sp].double() * area).sum((-2, -1)) for x in (state, system.model(state))]
    torch.testing.assert_close(mean[1], mean[0], rtol=1e-6, atol=0)


def test_a_run_reports_the_anomaly_correlation_by_lead_time(capsys):
    from sciml import cli

    words = [*SMALL, "phases.one_step.steps=3", "phases.two_steps.steps=1"]
    words += ["phases.one_step.schedule.warmup=1", "run_dir=run"]
    assert cli.main(["run", "weather_held_suarez", *words]) == 0, capsys.readouterr().err
    metrics = runs.read_metrics("run")
    assert all(-1 <= metrics[f"acc/z500/{hours}h"] <= 1 for hours in (6, 24))
    assert Path("run/figures/scorecard.png").is_file()


def test_an_exported_forecaster_steps_as_the_trained_one(capsys):
    """Fed with its own output, ONNX goes where torch goes, for another batch than the sample's."""
    from sciml import cli
    from sciml.export import load

    words = [*SMALL, "~phases.two_steps", "phases.one_step.steps=3", "run_dir=run_e"]
    words += ["phases.one_step.schedule.warmup=1", "archive.channels=[z500,t500,u500,v500,sp]"]
    assert cli.main(["run", "weather_held_suarez", *words]) == 0, capsys.readouterr().err
    asked = ["--to", "bundle", "--format", "onnx"]
    assert cli.main(["export", "run_e", *asked]) == 0, capsys.readouterr().err
    parts, model = compose.restore("run_e")
    data = parts.system.data
    state = torch.cat([w.state[:, 0] for w in data.test_dataloader()])[:1]
    exported = load("bundle")
    assert [o["name"] for o in exported.outputs] == list(data.archive.channels.names)
    theirs, ours = state.numpy(), state
    for _ in range(3):
        with torch.no_grad():
            ours = model(ours, None)
        theirs = np.stack(list(exported(theirs).values()), 1)
    apart = np.abs(ours.numpy() - theirs).max((0, 2, 3))
    assert (apart < 1e-5 * ours.abs().amax((0, 2, 3)).numpy()).all()
    assert (apart < 1e-3 * data.statistics.std).all()  # of what varies, not of the mean

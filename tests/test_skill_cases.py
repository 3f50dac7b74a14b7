"""The cases of skills on coarse meshes: run as a user does, and what is said of mistakes."""

import numpy as np
import pytest
import xarray

import sciml
from sciml import cli, compose

TINY = ["sensor.mesh.rings=2", "sensor.mesh.layers=1", "fine_sensor.mesh.rings=2"]
TINY += ["fine_sensor.mesh.layers=1", "fine_sensor.degree=1", "system.motion.increments=4"]
KNOTS = {
    "tactile_surface_follow": ("height", "pitch"),
    "tactile_reorient": ("angle", "depth", "rise", "tilt"),
}
WORDS = {
    case: [*TINY, *(f"system.motion.{curve}.knots=4" for curve in curves)]
    for case, curves in KNOTS.items()
}
LAST = {"tactile_surface_follow": "finer_force_rms_percent", "tactile_reorient": "angle_finer"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", KNOTS)
def test_a_skill_runs_and_reports(case: str, tmp_path) -> None:
    words = [*WORDS[case], "optimizer.max_iter=2", "optimizer.max_eval=3"]
    result = sciml.run(case, *words, "run_dir=run")
    assert np.isfinite(result.metrics[LAST[case]])
    with xarray.open_dataset("run/result.nc") as found:
        found.load()
    assert found.sizes["time"] == 6  # the start, the approach and four increments after its end
    assert float(found.normal[1:].max()) > 0.05
    for name in ("u", "contact_force", "normal", "x", "z", "pitch"):
        assert found[name].attrs["units"] and found[name].attrs["long_name"]
    pictures = {path.name for path in (tmp_path / "run/figures").iterdir()}
    assert {"motion.gif", "maps.png", "markers.png"} <= pictures


@pytest.mark.parametrize("case", KNOTS)
def test_any_optimiser_and_balancer_is_one_override_away(case: str) -> None:
    for words in (["optimizer=adam", "balancer=relobralo"], ["optimizer=cma"]):
        parts = compose.build(compose.compose(f"{case}/default", [*WORDS[case], *words]))
        assert set(parts.system.objective.terms) >= {"centre", "smooth"}


def test_starts_differ_by_the_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        words = [*WORDS["tactile_reorient"], f"seed={seed}"]
        model = compose.build(compose.compose("tactile_reorient/default", words)).system.model
        found.append(model.depth.z.detach().numpy().copy())
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tactile_surface_follow", "system.wanted.target=-1.0"], "expected target > 0, got -1.0"),
        (["tactile_surface_follow", "system.motion.height.knots=9"], "at most 5 knots for 4"),
        (["tactile_surface_follow", "system.motion.height.start=0.01"], "curve: expected start"),
        (["tactile_reorient", "touch.solid.mass=0.0"], "block: expected mass > 0 kg"),
        (["tactile_reorient", "system.wanted.target=40.0"], "beyond its reach"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys) -> None:
    assert cli.main(["run", words[0], *WORDS[words[0]], *words[1:], "run_dir=r"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1

"""One contract over every case of a tactile sensor, on coarse meshes."""

import numpy as np
import pytest
import torch
import xarray
from test_cases import EVERY, is_mechanics, texts_of

import sciml
from sciml import cli, compose
from sciml.tactile import figures

#: Cases that are simulated only, and those that find constants.
SKILLS = ("tactile_surface_follow", "tactile_reorient")  # in test_skill_cases.py
MECHANICS = [case for case in EVERY if is_mechanics(case) and not case.startswith(SKILLS)]
IDENTIFIED = [
    case
    for case in MECHANICS
    if any("system: identification" in text for text in texts_of(case.split("/")[0]))
]
SIMULATED = [case for case in MECHANICS if case not in IDENTIFIED]
COARSE = ["sensor.mesh.cells=[6,6,1]", "sensor.camera.width=80", "sensor.camera.height=60"]
COARSE += ["sensor.camera.lens.fx=86", "sensor.camera.lens.fy=86"]
COARSE += ["sensor.camera.lens.cx=39.5", "sensor.camera.lens.cy=29.5"]
LINEAR = ["sensor.degree=1", "finer.degree=1"]
SAME = ["sensor.mesh.cells=[4,4,1]", "finer.mesh.cells=[4,4,1]", *LINEAR, "scene.steps=[2,2]"]
HELD = [*SAME[:-1], "scene.steps=[2,4]", "recording.every=1", "recording.scene.scheme.dt=0.025"]
RELAXING = {"E": 1.6e5, "beta": 0.5, "tau": 0.3}
MAPPED = ["sensor.mesh.cells=[4,4,3]", "finer.mesh.cells=[5,5,3]", *LINEAR, "optimizer.max_iter=2"]
MAPPED += [f"sensor.camera.{side}=80" for side in ("width", "height")]
MAPPED += [f"sensor.camera.lens.{key}" for key in ("fx=120", "fy=120", "cx=39.5", "cy=39.5")]
MAPPED += ["scene.stations=[[0.0,0.0,0.008],[0.0,0.0,0.0076],[0.002,0.0,0.0076]]"]
SMALL = {
    "tactile_identify/default": SAME,
    "tactile_identify/relaxation": HELD,
    "tactile_stiffness_map/default": MAPPED,
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIML_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("case", MECHANICS)
def test_a_case_composes(case: str) -> None:
    parts = compose.build(compose.compose(case, COARSE if case in SIMULATED else SMALL[case]))
    assert parts.system.model.scene.steps > 0


@pytest.mark.parametrize("case", SIMULATED)
def test_a_simulation_is_in_balance_and_its_numbers_have_units(case: str, tmp_path) -> None:
    result = sciml.run(case, *COARSE, "run_dir=run")
    assert result.metrics["steps"] == 0
    with xarray.open_dataset("run/result.nc") as found:
        found.load()
    nodal = found.contact_force.sum("node")
    np.testing.assert_allclose(nodal, -found.force, atol=1e-9)
    assert not found.force[0].any() and not found.u[0].any()
    assert float(found.force[-1, 2]) > 0.05
    assert 0 < float(found.penetration.max()) < 1e-4
    for name in ("u", "force", "markers", "position", "penetration"):
        assert found[name].attrs["units"] and found[name].attrs["long_name"]
    pictures = {path.stem for path in (tmp_path / "run/figures").iterdir()}
    assert pictures == {"forces", "images", "maps", "markers", "scene", "touch"}
    assert result.metrics["touch/normal_force_N"] == pytest.approx(float(found.force[-1, 2]))
    assert sciml.run(case, *COARSE, "run_dir=run").metrics["steps"] == 0


def test_a_run_leaves_out_its_film_and_writes_files_for_viewers(tmp_path) -> None:
    pytest.importorskip("meshio", reason="writes them; extra mesh")
    words = ["sensor.degree=1", "scene.steps=1", "system.film=false", "system.vtk=true"]
    sciml.run("tactile_press", *COARSE, *words, "run_dir=run")
    assert not (tmp_path / "run/figures/touch.gif").exists()
    files = {path.name for path in (tmp_path / "run/vtk").iterdir()}
    assert files == {"touch-0000.vtu", "touch-0001.vtu", "touch.pvd"}


def test_an_identification_finds_what_made_the_recording(tmp_path, monkeypatch) -> None:
    """Without noise and on the same mesh, to the optimiser's accuracy; pictures are others'."""
    monkeypatch.setattr(figures.Figures, "__call__", lambda self, run: [])
    words = ["tactile_identify", *SAME, "system.add_noise=false", "optimizer.max_iter=12"]
    words += ["optimizer.max_eval=16"]
    result = sciml.run(*words, "run_dir=run")
    for name in ("E", "nu", "friction"):
        assert result.metrics[f"rel_error/{name}"] < 1e-2, name
    with xarray.open_dataset("run/result.nc") as found:
        inside = (found.low <= found.value) & (found.value <= found.high)
        assert inside.all() and list(found.constant.values) == ["E", "nu", "friction"]
    stamp = (tmp_path / "data/tactile_identify.nc").stat().st_mtime_ns
    compose.evaluate("run")
    assert (tmp_path / "data/tactile_identify.nc").stat().st_mtime_ns == stamp


def test_a_held_press_tells_how_a_gel_relaxes() -> None:
    """The truth gives the recording; from elsewhere the loss has the gradient of differences."""
    words = [*HELD, "system.add_noise=false"]
    system = compose.build(compose.compose("tactile_identify/relaxation", words)).system
    model, batch = system.model, next(system.data.val_dataloader())
    with torch.no_grad():
        observed = model.simulate({k: torch.tensor(v).double() for k, v in RELAXING.items()})
    force = observed.wrench[:, 2]
    assert float((observed.wrench[:, :3] - system.data.seen[0].force).abs().max()) < 1e-7
    assert float(force[2]) > 1.05 * float(force[-1])  # held, it pushes less and less

    def loss() -> torch.Tensor:
        return sum(system.objective(model, batch).values())

    unknowns = [model.unknowns[name].z for name in ("beta", "tau")]
    slopes = torch.autograd.grad(loss(), unknowns)
    for z, slope in zip(unknowns, slopes, strict=True):
        ends = []
        for change in (1e-4, -2e-4):
            z.data += change
            ends.append(float(loss().detach()))
        z.data += 1e-4
        assert float(slope) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4)


def test_a_map_is_a_field_with_its_truth_its_bound_and_a_picture(tmp_path) -> None:
    words = ["tactile_stiffness_map", *MAPPED, "phases.fit.steps=1", "run_dir=run"]
    found = sciml.run(*words).metrics
    assert found["background/E"] < 2.4e5  # softer than the start
    assert {"dice/E", "ratio/E", "centre_error/E", "found/E"} <= found.keys()
    with xarray.open_dataset("run/result.nc") as dataset:
        dataset.load()
    assert dataset.E.shape == dataset.E_truth.shape == dataset.E_bound.shape == (288,)
    assert np.isfinite(dataset.E_bound).all() and float(dataset.E_bound.min()) > 0
    assert (tmp_path / "run/figures/map_E.png").is_file()
    with (tmp_path / "run/history.csv").open() as file:
        assert "loss/variation_E" in file.readline()


def test_the_same_mesh_at_the_truth_gives_the_recording() -> None:
    parts = compose.build(
        compose.compose("tactile_identify/default", [*SAME, "system.add_noise=false"])
    )
    model, seen = parts.system.model, parts.system.data.seen[0]
    truth = {"E": 1.6e5, "nu": 0.47, "friction": 0.45}
    values = {k: torch.tensor(v, dtype=torch.float64) for k, v in truth.items()}
    observed = model.simulate(values)
    assert float((observed.markers - seen.markers).abs().max()) < 1e-9
    assert float((observed.wrench[:, :3] - seen.force).abs().max()) < 1e-9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tactile_press", "scene.friction=-0.1"], "friction: expected a coefficient >= 0"),
        (["tactile_press", "scene.steps=[2,3]"], "steps: expected one number >= 1 for each of 1"),
        (["tactile_press", "scene.stations=[[0.0,0.0,0.0]]"], "stations: expected two poses"),
        (["tactile_press", "scene.stations.0.2=0.008"], "outside 'front' at the start"),
        (["helmholtz_2d", "~phases", "+phases={}"], "phases: expected at least one phase"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys) -> None:
    small = COARSE if words[0] == "tactile_press" else []
    assert cli.main(["run", *words, *small, "run_dir=r"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1

"""Under `trainer=gpu` the cases end where the processor does: `make test ARGS="-m gpu"`."""

from pathlib import Path

import planets
import pytest
import torch

from sciml import compose
from sciml.training.run import measure, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible"),
]

STEPS = ["trainer.save_every=5", "trainer.validate_every=5"]
PINN = ["derivatives=taylor", "phases.adam.steps=10", *STEPS]
WEATHER = [
    *(*planets.SMALL, "archive.make.dt=3600", "system.noise=0", "phases.one_step.steps=6"),
    *("phases.two_steps.steps=2", "phases.one_step.schedule.warmup=1", *STEPS),
]
IDENTIFY = [
    *("sensor.mesh.cells=[4,4,1]", "finer.mesh.cells=[4,4,1]", "sensor.degree=1", "finer.degree=1"),
    *("scene.steps=[2,2]", "optimizer.max_iter=1", "optimizer.max_eval=2"),
]
#: Case, what makes it small, how far the weights may be apart in units of their largest. Adam
#: divides by gradients of any size, so that rounding of float32 may grow to a step's length.
CASES = [
    ("helmholtz_2d/m1", [*PINN, "phases.adam.precision=float64"], 1e-9),
    ("helmholtz_2d/m4", PINN, 1e-2),
    ("klein_gordon/m1", [*PINN, "balancer=pcgrad", "phases.adam.precision=float64"], 1e-8),
    ("helmholtz_2d/best", STEPS, 1e-3),
    ("weather_shallow_water/fastnet", [*WEATHER, "phases.fine_tuning.steps=1"], 2e-2),
    ("weather_shallow_water/default", WEATHER, 2e-2),
    ("tactile_identify/default", IDENTIFY, 1e-6),
]


@pytest.fixture(scope="module", autouse=True)
def _planet(tmp_path_factory):
    with planets.alone(tmp_path_factory.mktemp("planet")):
        yield


def trained(case: str, words: list[str], trainer: str, folder: Path):
    parts = compose.build(compose.compose(case, [*words, f"trainer={trainer}"]))
    model = train(parts.system, parts.balancer, parts.phases, parts.settings, folder).model
    return {k: v.double().cpu() for k, v in model.state_dict().items()}, measure(
        parts.system, model
    )


@pytest.mark.parametrize(("case", "words", "apart"), CASES, ids=[c[0] for c in CASES])
def test_a_run_ends_as_on_the_processor(case, words, apart, tmp_path):
    torch.cuda.reset_peak_memory_stats()
    there, found = trained(case, words, "gpu", tmp_path / "gpu")
    assert torch.cuda.max_memory_allocated() > 0, "nothing was computed on the GPU"
    here, expected = trained(case, words, "cpu", tmp_path / "cpu")
    for name, value in here.items():
        if value.numel():
            limit = apart * value.abs().max()
            assert (there[name] - value).abs().max() <= limit, name
    for name in expected:
        assert found[name] == pytest.approx(expected[name], rel=max(0.05, 10 * apart)), name


def test_a_press_is_the_same_press(tmp_path):
    """Its mechanics is on the processor under either trainer."""
    words = ["sensor.mesh.cells=[6,6,1]", "scene.steps=2"]
    found = []
    for trainer in ("gpu", "cpu"):
        parts = compose.build(compose.compose("tactile_press", [*words, f"trainer={trainer}"]))
        with torch.no_grad():
            found.append(parts.system.model().wrench)
    torch.testing.assert_close(*found)


def test_bf16_and_a_compiled_step_run(tmp_path):
    """FastNet in bf16-mixed, and the compiled derivatives, as GPUs would be used."""
    words = [*WEATHER, "phases.fine_tuning.steps=1", "phases.one_step.precision=bf16-mixed"]
    _, found = trained("weather_shallow_water/fastnet", words, "gpu", tmp_path / "a")
    assert all(value == value for value in found.values())
    words = ["phases.adam.steps=10", "derivatives=compiled", *STEPS]
    _, found = trained("helmholtz_2d/m4", words, "gpu", tmp_path / "b")
    assert found["held_out"] > 0

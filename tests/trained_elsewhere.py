"""Run by `test_devices.py` in a process of its own: what training does on the pretended device.

    python -m tests.trained_elsewhere FOLDER [NAME …]

Trains each of `RUNS` on the processor and there, and writes FOLDER/found.json: name → how far
apart the weights end, as a share of the largest, and operations done there.
"""

import json
import os
import sys
from pathlib import Path

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from sciml import compose
from sciml.training import run as training
from tests import planets, pretended

STEPS = ["trainer.validate_every=2", "trainer.save_every=2"]
PINN = ["derivatives=taylor", "phases.adam.steps=3", *STEPS]
WEATHER = [
    *(
        *planets.SMALL,
        "archive.make.dt=3600",
        "phases.one_step.steps=2",
        "phases.two_steps.steps=1",
    ),
    *("phases.one_step.schedule.warmup=1", *STEPS),
]
TUNED = [*WEATHER, "phases.fine_tuning.steps=1"]
TACTILE = [
    *("sensor.mesh.cells=[4,4,1]", "finer.mesh.cells=[4,4,1]", "sensor.degree=1", "finer.degree=1"),
    *("scene.steps=[2,2]", "optimizer.max_iter=1", "optimizer.max_eval=2"),
]
#: Name → case and what makes it small.
RUNS = {
    "gated network, annealing": ("helmholtz_2d/m4", PINN),
    "gradient rows": ("helmholtz_2d/m1", [*PINN, "balancer=pcgrad"]),
    "tangent kernel": ("klein_gordon/m1", [*PINN, "balancer=ntk"]),
    "nested derivatives": ("lid_driven_cavity/stream_m1", [*PINN, "derivatives=autograd"]),
    "least squares": (
        "helmholtz_2d/best",
        [*STEPS, "network.width=60", "sampling.points.residual=150"],
    ),
    "points by residual": ("burgers/adam", [*PINN, "sampling=rad", "point_weights=vrba"]),
    "causal weights": ("burgers/adam", [*PINN, "sampling=r3", "point_weights=causal"]),
    "filter network": ("weather_shallow_water/default", WEATHER),
    "FastNet": ("weather_shallow_water/fastnet", TUNED),
    "spectral loss": (
        "weather_shallow_water/msh_gradient",
        [*TUNED, "losses.msh_gradient.truncation=10"],
    ),
    "identification": ("tactile_identify/default", TACTILE),
}


class There(SingleDeviceStrategy):
    """One device that Lightning has no accelerator for."""

    def setup_environment(self) -> None:
        """Nothing: its accelerator is the processor's, which would refuse the device."""


def trained(name: str, folder: Path, there: torch.device | None) -> dict[str, torch.Tensor]:
    """What a run ends with: weights and metrics."""
    case, words = RUNS[name]
    parts = compose.build(compose.compose(case, words))
    if there is not None:
        object.__setattr__(parts.settings, "strategy", There(there))
    outcome = training.train(parts.system, parts.balancer, parts.phases, parts.settings, folder)
    found = {k: v.detach().cpu() for k, v in outcome.model.state_dict().items()}
    measured = training.measure(parts.system, outcome.model)
    return found | {k: torch.tensor(v, dtype=torch.float64) for k, v in measured.items()}


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference, in units of the largest number of its tensor; NaN where one is."""
    assert one.keys() == other.keys()
    found = [torch.zeros((), dtype=torch.float64)]
    for name, a in one.items():
        if a.numel():
            a, b = a.double(), other[name].double()
            found.append((a - b).abs().max() / a.abs().max().clamp(1e-30))
    return float(torch.stack(found).max())


def main(folder: Path, names: list[str]) -> None:
    os.chdir(folder)
    os.environ |= {"SCIML_DATA": str(folder / "data"), "SCIML_STAGE": str(folder / "staged")}
    torch.set_num_threads(1)
    found = {}
    with pretended.device() as there:  # before the first derivative: autograd counts devices then
        for n, name in enumerate(names or RUNS):
            here = trained(name, folder / f"{n}" / "here", None)
            before = pretended.done
            other = trained(name, folder / f"{n}" / "there", there)
            found[name] = {"apart": apart(here, other), "done": pretended.done - before}
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""Run by `test_training.py` once per rank: trains cases on their share of the global batch."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import planets
import torch
from omegaconf import DictConfig, OmegaConf

from sciml import compose, runs
from sciml.training.run import train

HELMHOLTZ = [
    *("derivatives=autograd", "network.width=8", "network.depth=2", "sampling.grid=[9,9]"),
    *("sampling.points={residual: 33, left: 7, right: 8, bottom: 1, top: 5}", "sampling.every=3"),
    *("phases.adam.steps=12", "phases.adam.precision=float64", "trainer.log_every=4"),
]
WEATHER = [
    *planets.SMALL,
    *("windows.batch=3", "phases.one_step.steps=5", "phases.two_steps.steps=3"),
    *("phases.one_step.schedule.warmup=1", "trainer.log_every=2", "trainer.validate_every=4"),
    "+losses.msh={_target_: sciml.globe.losses.MSH, _partial_: true, truncation: 10}",
    *("phases.one_step.settings.terms=[mse,msh]", "phases.two_steps.settings.terms=[mse,msh]"),
]
DOUBLE = ["+phases.one_step.precision=float64", "+phases.two_steps.precision=float64"]
BF16 = ["+phases.one_step.precision=bf16-mixed", "+phases.two_steps.precision=bf16-mixed"]
TWICE = ["+phases.one_step.accumulate=2", "+phases.two_steps.accumulate=2"]
ADAM = "phases.fit.optimizer={_target_:torch.optim.Adam,_partial_:true,lr:0.05}"
#: Name → case and overrides; sets of points and batches that two ranks cannot share evenly.
CASES = {
    "annealing_rad": ("helmholtz_2d/m4", [*HELMHOLTZ, "sampling=rad"]),
    "gradnorm_rar": (
        "helmholtz_2d/m4",
        [*HELMHOLTZ, "balancer=gradnorm", "sampling=rar_d", "sampling.adaptive.growth=3"],
    ),
    "ntk_r3": ("helmholtz_2d/m4", [*HELMHOLTZ, "balancer=ntk", "sampling=r3"]),
    "samgs_vrba": (
        "helmholtz_2d/m4",
        [*HELMHOLTZ, "balancer=samgs", "sampling=fixed", "sampling.every=null",
         "point_weights=vrba"],
    ),
    "weather_relobralo": (
        "weather_shallow_water/default",
        [*WEATHER, *DOUBLE, "balancer=relobralo", "average=none"],
    ),
    "weather_annealing": (
        "weather_shallow_water/default",
        [*WEATHER, *DOUBLE, "balancer=annealing_paper", "equations=[mse]", "average=none",
         "+balancer.within=last", "balancer.every=2"],
    ),
    "weather_accumulated": (
        "weather_shallow_water/default",
        [*WEATHER, *DOUBLE, "balancer=pcgrad", "average=none"],
    ),
    "weather_bf16": (
        "weather_shallow_water/default",
        [*WEATHER, *BF16, "balancer=relobralo", "average=none"],
    ),
    "weather_sharded": (
        "weather_shallow_water/default",
        [*WEATHER, *DOUBLE, "balancer=relobralo", "network.width=32", "network.layers=2"],
    ),
    "presses": (
        "tactile_identify/default",
        [*("sensor.mesh.cells=[4,4,1]", "finer.mesh.cells=[4,4,1]", "sensor.degree=1"),
         *("finer.degree=1", "scene.steps=[2,1]", ADAM),
         *("phases.fit.steps=4", "balancer=ntk", "balancer.every=2")],
    ),
}  # fmt: skip
#: Paths of further presses of the gel: with the first, three for two ranks.
STATIONS = (
    [[0.0, 0.0, 0.012], [0.0, 0.0, 0.0116], [0.0004, 0.0, 0.0116]],
    [[-0.001, 0.0, 0.012], [-0.001, 0.0, 0.0117], [-0.001, 0.0005, 0.0117]],
)
#: What differs between one process and two: four windows at once, or twice two. In bf16 those that
#: go through the network together are the same: gradients of the weights are rounded.
ONLY = {
    ("weather_accumulated", 1): ["windows.batch=4"],
    ("weather_accumulated", 2): ["windows.batch=2", *TWICE],
    ("weather_bf16", 1): ["windows.batch=2", *TWICE],
    ("weather_bf16", 2): ["windows.batch=4"],
    ("weather_sharded", 2): ["trainer.strategy=fsdp", "trainer.save_every=6"],
}
#: Steps after which a run is cut, before it goes on; both ends are in the second phase.
CUT = 6


def press(config: DictConfig, stations: list[list[float]]) -> dict[str, Any]:
    """Another press, with a recording of its own."""
    scene, recording = (
        OmegaConf.to_container(config[key], resolve=False) for key in ("scene", "recording")
    )
    recording["scene"] |= {"stations": stations}
    return {
        "_target_": "sciml.tactile.system.Press",
        "scene": scene | {"stations": stations},
        "recording": recording | {"path": None},
    }


def carried_out(case: str, words: list[str], ranks: int, run: Path):
    """The parts of a run that is trained to its end, or goes on to it, and what comes of it."""
    config = compose.compose(case, words)
    if case.startswith("tactile"):
        config.more = [press(config, stations) for stations in STATIONS]
    parts = compose.build(config)
    settings = replace(parts.settings, nodes=ranks)
    if ranks > 1 and settings.strategy == "auto":
        settings = replace(settings, strategy="ddp")
    return parts, train(parts.system, parts.balancer, parts.phases, settings, run)


def main(folder: Path, ranks: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or CASES:
        case, overrides = CASES[name]
        words = [*overrides, *ONLY.get((name, ranks), [])]
        run = folder / name
        run.mkdir(exist_ok=True)
        if "trainer.strategy=fsdp" in words:
            carried_out(case, [*words, f"phases.two_steps.steps={CUT - 5}"], ranks, run)
            if runs.rank() == 0:
                shutil.copytree(run, folder / "cut")
        parts, outcome = carried_out(case, words, ranks, run)
        state = {f"model.{k}": v for k, v in outcome.model.state_dict().items()}
        state |= {f"balancer.{k}": v for k, v in parts.balancer.state_dict().items()}
        torch.save(state, folder / f"{name}_{runs.rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

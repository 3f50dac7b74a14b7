"""Every optimiser of `conf/optimizer`: a phase like any other, resumed bit by bit, on new points.

The sine's points are others at every step.
"""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sciml.balance.fixed import Fixed
from sciml.contracts import Phase, UserError
from sciml.training.run import Settings, measure, train
from sciml.training.schedules import exponential
from tests.training.sine import sine_system

CONF = Path(__file__).resolve().parents[3] / "conf/optimizer"
NAMES = ["soap", "ssbfgs", "ssbroyden", "bfgs", "lbfgs", "diffgrad", "spectral_clipping"]
RARE = Settings(save_every=1000, validate_every=1000, log_every=1000)
OFTEN = Settings(save_every=7, validate_every=1000, log_every=1000)
every_optimizer = pytest.mark.parametrize("name", NAMES)


def of(name: str, **keys):
    return instantiate(OmegaConf.load(CONF / f"{name}.yaml"), **keys)


def phases(name: str, steps: int, before: int = 10) -> dict[str, Phase]:
    return {
        "adam": Phase(steps=before, optimizer=partial(torch.optim.Adam, lr=1e-2)),
        name: Phase(
            steps=steps,
            optimizer=of(name),
            precision="float64",
            schedule=exponential(0.9, 10),
        ),
    }


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@every_optimizer
def test_adam_then_it_lowers_the_error(tmp_path, name):
    system = sine_system()
    start = measure(system, system.model)["rmse/u"]
    model = train(system, Fixed(), phases(name, 10, 20), RARE, tmp_path).model
    assert measure(system, model)["rmse/u"] < 0.8 * start


@every_optimizer
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, name):
    whole = train(sine_system(), Fixed(), phases(name, 9), OFTEN, tmp_path / "whole").model
    train(sine_system(), Fixed(), phases(name, 4), OFTEN, tmp_path / "cut")
    outcome = train(sine_system(), Fixed(), phases(name, 9), OFTEN, tmp_path / "cut")
    assert outcome.resumed_from == 14
    assert torch.equal(weights(outcome.model), weights(whole))


@pytest.mark.parametrize("name", ["ssbfgs", "ssbroyden", "bfgs"])
def test_quasi_newton_fits_the_sine_to_five_digits(tmp_path, name):
    system = sine_system()
    model = train(system, Fixed(), phases(name, 20, 20), RARE, tmp_path).model
    assert measure(system, model)["rmse/u"] < 1e-4


def test_torchs_lbfgs_makes_twenty_iterations_a_step_and_keeps_its_history(tmp_path):
    """20 a step for 5 steps, though the loss is tiny; torch's own tolerances end it before."""
    one = {"lbfgs": Phase(steps=5, optimizer=of("lbfgs"), precision="float64")}
    train(sine_system(), Fixed(), one, RARE, tmp_path)
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    state = saved["optimizer_states"][0]["state"][0]
    assert state["n_iter"] == 100 and len(state["old_dirs"]) > 50


def test_single_precision_is_refused_in_one_line(tmp_path):
    one = {"bfgs": Phase(steps=2, optimizer=of("bfgs"))}
    with pytest.raises(UserError, match=r"float64 for .*, got float32; set phases\.bfgs"):
        train(sine_system(), Fixed(), one, RARE, tmp_path)


def test_clipped_gradients_are_refused_in_one_line(tmp_path):
    one = {"bfgs": Phase(steps=2, optimizer=of("bfgs"), precision="float64", clip=1.0)}
    with pytest.raises(UserError, match="expected clip=null with an optimiser that infers"):
        train(sine_system(), Fixed(), one, RARE, tmp_path)

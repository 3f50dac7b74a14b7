"""A forecast model trained by phases in the common loop: it learns, and resumes bit by bit."""

from functools import partial
from pathlib import Path

import pytest
import torch

from sciml.balance.losses import ReLoBRaLo
from sciml.calculus.sphere import gauss
from sciml.contracts import Phase, System
from sciml.globe.losses import MSE, MSH, FairCRPS, Measure
from sciml.globe.metrics import Errors, ForecastMetric
from sciml.globe.noise import InputNoise
from sciml.globe.objective import EnsembleLoss, ForecastLoss
from sciml.globe.windows import Window
from sciml.training.run import Settings, measure, train
from tests.globe.windows import Columns, noise, window_of

GRID = gauss(6)
ADAM = partial(torch.optim.Adam, lr=2e-2)
SETTINGS = Settings(save_every=5, validate_every=20, log_every=20)


class Worlds:
    """`contracts.Data`: windows of a world that a teacher network drives."""

    def __init__(self) -> None:
        self.teacher, self.steps = Columns(2), 1
        with torch.no_grad():
            self.teacher.first.mul_(-1.5)

    def configure(self, rollout: int = 1) -> None:
        self.steps = rollout

    def window(self, number: int, steps: int) -> Window:
        states = [noise(4, 2, *GRID.shape, seed=number, dtype=torch.float32)]
        with torch.no_grad():
            for _ in range(steps):
                states.append(self.teacher(states[-1]))
        return window_of(torch.stack(states, dim=1))

    def train_dataloader(self, start: int, rank: int, ranks: int):
        while True:
            yield self.window(start, self.steps)
            start += 1

    def val_dataloader(self):
        return [self.window(10**6 + n, 4) for n in range(2)]

    def refresh(self, model, objective, step) -> None:
        pass

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def system(ensemble: bool = False) -> System:
    measure = Measure(GRID, [0.3, 0.3])
    perturbed = InputNoise([0.3, 0.3], amplitude=0.1)
    if ensemble:
        objective = EnsembleLoss({"crps": FairCRPS(measure)}, perturbed, members=3)
    else:
        objective = ForecastLoss({"mse": MSE(measure), "msh": MSH(measure)}, noise=perturbed)
    metric = ForecastMetric([Errors(GRID.area, ["a", "b"])], [1, 4])
    return System(Columns(2), objective, Worlds(), metric, None, None)


def phases(first: int, second: int) -> dict[str, Phase]:
    return {
        "one": Phase(first, ADAM, settings={"rollout": 1, "terms": ["mse"]}),
        "three": Phase(second, ADAM, settings={"rollout": 3}, precision="bf16-mixed"),
    }


def trained(folder: Path, plan: dict[str, Phase], ensemble: bool = False):
    torch.manual_seed(0)  # as `compose` does; the noise of a step follows from it
    return train(system(ensemble), ReLoBRaLo(), plan, SETTINGS, folder)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_phases_lower_the_error_and_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    before = measure(system(), Columns(2))
    whole = trained(tmp_path / "whole", phases(30, 10)).model
    after = measure(system(), whole)
    for lead in ("6h", "24h"):
        assert after[f"rmse/a/{lead}"] < 0.7 * before[f"rmse/a/{lead}"]
    trained(tmp_path / "cut", phases(30, 5))
    resumed = trained(tmp_path / "cut", phases(30, 10))
    assert resumed.resumed_from == 35
    assert torch.equal(weights(resumed.model), weights(whole))


def test_an_ensemble_is_trained(tmp_path: Path) -> None:
    before = measure(system(ensemble=True), Columns(2))
    plan = {"crps": Phase(30, ADAM, settings={"rollout": 2})}
    model = trained(tmp_path, plan, ensemble=True).model
    assert measure(system(ensemble=True), model)["held_out"] < 0.7 * before["held_out"]


def test_a_metric_is_no_part_of_the_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path, phases(5, 5))
    content = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert "objective.named.losses.msh.beta" in content
    assert not [name for name in content if name.startswith("metric")]
    assert content["objective.named.losses.mse.inverse"].tolist() == pytest.approx([1 / 0.3] * 2)

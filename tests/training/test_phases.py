"""What a phase hands to objective and data, what is random in a model, and which step was best."""

import csv
from functools import partial

import pytest
import torch
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.contracts import Phase, System, UserError
from sciml.training import checkpoint
from sciml.training.run import Settings, restore, train
from tests.training.sine import Abscissae, SineData, SineMetric, SineObjective, sine_system

SETTINGS = Settings(save_every=5, validate_every=5, log_every=5)
descent = partial(torch.optim.SGD, lr=0.05)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def system(objective=None, data=None, model=None) -> System:
    plain = sine_system()
    objective, model = objective or plain.objective, model or plain.model
    return System(model, objective, data or SineData(), SineMetric(), None, None)


class Stretched(SineData):
    """Points on [0, reach]; `reach` comes with the phase, `shift` from the model."""

    def __init__(self) -> None:
        self.reach, self.shift = 1.0, 0.0
        self.events: list[tuple[str, float]] = []

    def configure(self, reach: float) -> None:
        self.reach = reach
        self.events.append(("configure", reach))

    def refresh(self, model, objective, step) -> None:
        if step % 4 == 0:
            self.shift = 0.1 * model[2].bias.item()
        self.events.append(("refresh", step))

    def train_dataloader(self, start, rank, ranks):
        self.events.append(("start", start))
        for batch in super().train_dataloader(start, rank, ranks):
            self.events.append(("batch", self.reach))
            yield Abscissae(self.reach * batch.x + self.shift)

    def state_dict(self):
        return {"shift": self.shift}

    def load_state_dict(self, state):
        self.shift = state["shift"]


def ladder(first: int, second: int) -> dict[str, Phase]:
    return {
        name: Phase(steps=steps, optimizer=descent, settings={"reach": reach}, accumulate=2)
        for name, steps, reach in (("short", first, 1.0), ("long", second, 2.0))
        if steps
    }


def test_data_is_configured_before_the_first_batch_of_a_phase(tmp_path):
    data = Stretched()
    train(system(data=data), Fixed(), ladder(2, 1), SETTINGS, tmp_path)
    one, two = ("batch", 1.0), ("batch", 2.0)
    assert data.events == [
        ("configure", 1.0),
        ("refresh", 0), ("start", 0), one, one, ("refresh", 1), one, one,
        ("configure", 2.0),
        ("refresh", 2), ("start", 4), two, two,
    ]  # fmt: skip


def test_a_run_that_stopped_in_an_earlier_phase_is_restored_with_that_phases_settings(tmp_path):
    train(system(data=Stretched()), Fixed(), ladder(5, 0), SETTINGS, tmp_path)
    data = Stretched()
    restore(system(data=data), Fixed(), ladder(10, 10), tmp_path)
    assert data.reach == 1.0


def test_points_that_follow_the_model_and_the_phase_resume_exactly(tmp_path):
    whole = train(system(data=Stretched()), Fixed(), ladder(10, 10), SETTINGS, tmp_path / "a")
    for first, second in ((5, 0), (10, 5), (10, 10)):
        cut = train(
            system(data=Stretched()), Fixed(), ladder(first, second), SETTINGS, tmp_path / "b"
        )
    assert cut.resumed_from == 15
    assert torch.equal(weights(cut.model), weights(whole.model))


def dropout_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 20), nn.Dropout(0.3), nn.Tanh(), nn.Linear(20, 1))


def test_what_is_random_in_a_model_resumes_exactly(tmp_path):
    def run(folder: str, steps: int):
        phases = {"only": Phase(steps=steps, optimizer=descent)}
        return train(system(model=dropout_network()), Fixed(), phases, SETTINGS, tmp_path / folder)

    whole = run("a", 20).model
    run("b", 10)
    torch.rand(7)  # a new process would be somewhere else, too
    resumed = run("b", 20).model
    assert torch.equal(weights(resumed), weights(whole))
    assert not resumed.training


def test_another_seed_draws_other_masks(tmp_path):
    ends = []
    for seed in (1, 2):
        phases = {"only": Phase(steps=3, optimizer=descent)}
        parts = system(model=dropout_network())
        torch.manual_seed(seed)
        ends.append(train(parts, Fixed(), phases, SETTINGS, tmp_path / str(seed)).model)
    assert not torch.equal(*map(weights, ends))


def test_the_search_for_the_best_begins_again_with_other_settings(tmp_path):
    class Scaled(SineObjective):
        def configure(self, scale: float) -> None:
            self.scale = scale

        def forward(self, model, batch):
            return {name: self.scale * term for name, term in super().forward(model, batch).items()}

    def two(scale: float) -> dict[str, Phase]:
        return {
            name: Phase(steps=5, optimizer=descent, settings={"scale": factor})
            for name, factor in (("easy", 1.0), ("hard", scale))
        }

    for scale, best in ((2.0, 10), (1.0, 10)):
        folder = tmp_path / str(scale)
        train(system(Scaled()), Fixed(), two(scale), SETTINGS, folder)
        assert checkpoint.load(folder / "checkpoints/best.ckpt")["global_step"] == best

    phases = two(1.0) | {"worse": Phase(steps=5, optimizer=partial(torch.optim.SGD, lr=2.0),
                                        settings={"scale": 1.0})}  # fmt: skip
    train(system(Scaled()), Fixed(), phases, SETTINGS, tmp_path / "same")
    kept = checkpoint.load(tmp_path / "same/checkpoints/best.ckpt")["global_step"]
    assert kept == 10, "the same problem made worse is no better"


def test_logged_steps_have_cosines_and_logging_changes_no_bit(tmp_path):
    ends = []
    for every in (5, 1000):
        settings = Settings(save_every=100, validate_every=100, log_every=every)
        phases = {"only": Phase(steps=20, optimizer=descent)}
        ends.append(train(system(), Fixed(), phases, settings, tmp_path / str(every)).model)
    assert torch.equal(*map(weights, ends))
    with (tmp_path / "5/history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 5, 10, 15, 20]
    assert all(-1 <= float(row["cosine/residual~walls"]) <= 1 for row in rows)


def test_a_part_may_refuse_several_batches_a_step_before_the_first_phase(tmp_path):
    class Once(SineData):
        one_batch_a_step = "these points are one set; take more of them"

    phases = {"one": Phase(steps=1, optimizer=descent)}
    train(system(data=Once()), Fixed(), phases, SETTINGS, tmp_path / "one")
    phases["two"] = Phase(steps=1, optimizer=descent, accumulate=2)
    with pytest.raises(UserError, match=r"phases.two.accumulate: expected 1, got 2; these points"):
        train(system(data=Once()), Fixed(), phases, SETTINGS, tmp_path / "two")
    assert not list((tmp_path / "two").rglob("*.ckpt"))


def test_a_setting_that_nobody_takes_is_refused(tmp_path):
    phases = {"one": Phase(steps=1, optimizer=descent, settings={"reach": 1.0})}
    with pytest.raises(UserError, match="phases.one.settings: neither .* takes reach"):
        train(system(), Fixed(), phases, Settings(), tmp_path)

"""Optimisers that ask for losses only: differences, the same draws after a resume, refusals."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from sciml.balance.fixed import Fixed
from sciml.contracts import Phase, System, UserError
from sciml.training.optimizers.derivative_free import WORST, Evolution, FiniteDifferences
from sciml.training.run import Settings, train
from sciml.training.step import Step

CONF = Path(__file__).resolve().parents[3] / "conf/optimizer"
RARE = Settings(save_every=1000, validate_every=1000, log_every=1000)
OFTEN = Settings(save_every=2, validate_every=1000, log_every=1000)
TARGET = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.b = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self) -> torch.Tensor:
        return torch.cat([self.a, self.b[None]])


class Valley(nn.Module):
    """near = |x - target|², stretched = 25 (x₀ - target₀)²; counts how often it is asked."""

    terms = ("near", "stretched")

    def __init__(self, refuses: bool = False) -> None:
        super().__init__()
        self.calls, self.refuses = 0, refuses

    def forward(self, model: nn.Module, batch: object) -> dict[str, torch.Tensor]:
        self.calls += 1
        off = model() - TARGET
        if self.refuses and self.calls > 3:
            raise UserError("no balance")
        return {"near": off.square().sum(), "stretched": 25 * off[0].square()}


class Always:
    """One batch for ever."""

    def to(self, device, dtype) -> "Always":
        return self

    def train_dataloader(self, start: int, rank: int, ranks: int):
        while True:
            yield self

    def val_dataloader(self):
        return [self]

    def refresh(self, model, objective, step) -> None:
        pass

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def system(refuses: bool = False) -> System:
    return System(Point(), Valley(refuses), Always(), None, None, None)


def phases(optimizer, steps: int, **keys) -> dict[str, Phase]:
    return {"fit": Phase(steps=steps, optimizer=optimizer, precision="float64", **keys)}


def asked(model: nn.Module, objective: Valley) -> Step:
    return Step(objective, model, [Always()], 0, dict(model.named_parameters()))


def test_cma_finds_the_minimum_and_keeps_the_best(tmp_path) -> None:
    pytest.importorskip("cma", reason="extra identify")
    model = train(system(), Fixed(), phases(Evolution, 80), RARE, tmp_path).model
    torch.testing.assert_close(model().detach(), TARGET, atol=1e-4, rtol=0)


def test_cma_goes_on_as_if_it_had_not_stopped(tmp_path) -> None:
    pytest.importorskip("cma", reason="extra identify")
    whole = train(system(), Fixed(), phases(Evolution, 9), OFTEN, tmp_path / "whole").model
    train(system(), Fixed(), phases(Evolution, 4), OFTEN, tmp_path / "cut")
    cut = system()
    outcome = train(cut, Fixed(), phases(Evolution, 9), OFTEN, tmp_path / "cut")
    assert outcome.resumed_from == 4
    assert torch.equal(outcome.model(), whole())
    assert cut.objective.calls <= 5 * (7 + 2)  # what it was told is not evaluated again


def test_cma_never_takes_a_worse_point_and_counts_its_evaluations() -> None:
    pytest.importorskip("cma", reason="extra identify")
    model, objective = Point(), Valley()
    optimizer = Evolution(model.parameters(), generations=3, population=6, seed=1)
    losses = []
    for _ in range(4):
        step = asked(model, objective)
        one = {name: torch.ones_like(loss) for name, loss in step.losses.items()}
        losses.append(float(optimizer.step(step=step, weights=one)))
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert optimizer.evaluations == 4 * 3 * 6 == objective.calls - 4


def test_candidates_that_are_refused_are_the_worst_and_nothing_moves() -> None:
    pytest.importorskip("cma", reason="extra identify")
    model, objective = Point(), Valley(refuses=True)
    optimizer = Evolution(model.parameters(), population=4)
    step = asked(model, objective)
    one = {name: torch.ones_like(loss) for name, loss in step.losses.items()}
    objective.calls = 3
    optimizer.step(step=step, weights=one)
    told = optimizer.state_dict()["state"][0]["told"]
    assert told.tolist() == [WORST] * 4 and not model().any()


@pytest.mark.parametrize("central", [False, True])
def test_differences_are_the_gradient_of_the_weighted_sum(central: bool) -> None:
    model, objective = Point(), Valley()
    optimizer = FiniteDifferences(
        model.parameters(), partial(torch.optim.SGD, lr=0.0), change=1e-3, central=central
    )
    step = asked(model, objective)
    optimizer.step(step=step, weights={"near": torch.tensor(1.0), "stretched": torch.tensor(2.0)})
    found = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    exact = -2 * TARGET * torch.tensor([51.0, 1.0, 1.0])
    error = 1e-3 * torch.tensor([51.0, 1.0, 1.0]) * (not central)  # h L''/2
    torch.testing.assert_close(found, exact + error, rtol=1e-9, atol=1e-9)
    assert optimizer.evaluations == objective.calls == (7 if central else 4)


def test_differences_follow_lbfgs_to_the_same_point(tmp_path) -> None:
    optimizer = instantiate(OmegaConf.load(CONF / "finite_differences.yaml"))
    found = train(system(), Fixed(), phases(optimizer, 1), RARE, tmp_path / "d").model
    torch.testing.assert_close(found().detach(), TARGET, atol=1e-4, rtol=0)


def test_differences_share_the_state_of_the_optimiser_they_serve(tmp_path) -> None:
    adam = partial(FiniteDifferences, optimizer=partial(torch.optim.Adam, lr=0.1))
    whole = train(system(), Fixed(), phases(adam, 9), OFTEN, tmp_path / "whole").model
    train(system(), Fixed(), phases(adam, 4), OFTEN, tmp_path / "cut")
    again = train(system(), Fixed(), phases(adam, 9), OFTEN, tmp_path / "cut").model
    assert torch.equal(again(), whole())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: Evolution(p, sigma=0.0), "expected sigma > 0"),
        (lambda p: Evolution(p, population=2), "population >= 3 or null"),
        (lambda p: FiniteDifferences(p, torch.optim.Adam, change=0.0), "expected change > 0"),
        (lambda p: FiniteDifferences(p, Evolution), "expected an optimiser that follows gradients"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(Point().parameters())


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"clip": 1.0}, "expected clip=null with an optimiser that is given no gradient")],
)
def test_what_does_not_go_with_them_is_refused(tmp_path, keys, said: str) -> None:
    with pytest.raises(UserError, match=said):
        train(system(), Fixed(), phases(Evolution, 1, **keys), RARE, tmp_path)

"""A signal during training: the step it came in is saved, and the rest is as if none had come."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from sciml.balance.fixed import Fixed
from sciml.contracts import Interrupted, Phase
from sciml.launch import signals
from sciml.training import checkpoint, interruption
from sciml.training.run import Settings, train
from tests.training.sine import SineData, sine_system

STEPS = 40
PHASES = {"adam": Phase(steps=STEPS, optimizer=partial(torch.optim.Adam, lr=1e-2))}
SETTINGS = Settings(save_every=1000, validate_every=10, log_every=10)


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals are handled in the test only; a look is due after every step."""
    before = {number: signal.getsignal(number) for number in signals.ANNOUNCED}
    monkeypatch.setattr(signals, "_received", 0)
    monkeypatch.setattr(interruption, "LOOK_EVERY", 0.0)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Signalled(SineData):
    """Sends this process a signal with the batch of step `at`."""

    def __init__(self, number: int, at: int) -> None:
        super().__init__()
        self.number, self.at = number, at

    def refresh(self, model, objective, step):
        if step == self.at:
            os.kill(os.getpid(), self.number)


def trained(folder: Path, data: SineData | None = None) -> dict[str, torch.Tensor]:
    system = sine_system()
    if data is not None:
        object.__setattr__(system, "data", data)
    train(system, Fixed(), PHASES, SETTINGS, folder, (signals.received, signals.install))
    return checkpoint.load(folder / "checkpoints/last.ckpt")["state_dict"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_it_is_saved_in_the_step_and_ends_in_the_same_bits(tmp_path: Path, number: int) -> None:
    """TERM too, of which Lightning has a handler of its own."""
    whole = trained(tmp_path / "whole")
    name = signal.Signals(number).name
    with pytest.raises(Interrupted, match=f"stopped by {name} after step 17 of 40") as caught:
        trained(tmp_path / "cut", Signalled(number, 16))
    assert caught.value.exit_code == 75
    assert checkpoint.load(tmp_path / "cut/checkpoints/last.ckpt")["global_step"] == 17
    signals._received = 0
    ours = trained(tmp_path / "cut")
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_one_that_came_before_training_lets_a_step_be_done(tmp_path: Path) -> None:
    """However early it comes, again and again, the run makes progress."""
    signals.install()
    for step in (1, 2, 3):
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Interrupted, match=f"after step {step} of 40"):
            trained(tmp_path)


def test_one_in_the_last_step_changes_nothing(tmp_path: Path) -> None:
    trained(tmp_path, Signalled(signal.SIGUSR1, STEPS - 1))
    assert checkpoint.load(tmp_path / "checkpoints/last.ckpt")["global_step"] == STEPS


def test_looks_are_about_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.02 s a step: the look after that of step 10 is due at 60."""
    monkeypatch.setattr(interruption, "LOOK_EVERY", 1.0)
    clock = iter([0.2, 1.2])
    monkeypatch.setattr(interruption.time, "monotonic", lambda: next(clock))
    looks = []
    watch = interruption.Interruption(lambda: looks.append(1) or 0, lambda: None, None)
    module, trainer = (type("Stub", (), {})() for _ in range(2))
    module.steps, trainer.world_size, watch.next = 10**6, 1, 10
    for step in range(11):
        trainer.global_step = step
        watch.on_train_batch_end(trainer, module, None, None, 0)
    assert len(looks) == 1 and watch.next == 60

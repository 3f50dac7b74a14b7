"""kill -9 at any moment: the next start resumes and ends bit-identical to an uninterrupted run."""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from sciml import atomic
from sciml.balance.gradients import Annealing
from sciml.contracts import Phase
from sciml.training import checkpoint
from sciml.training.run import Settings, train
from tests.training.sine import sine_system

STEPS = 3000
PHASES = {"adam": Phase(steps=STEPS, optimizer=partial(torch.optim.Adam, lr=1e-2))}
SETTINGS = Settings(save_every=10, validate_every=500, log_every=100)


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(folder / "checkpoints/last.ckpt")
    assert content["global_step"] == STEPS
    return content["state_dict"]


def in_child(folder: Path, before=lambda: None) -> int:
    """Train in a forked process; its process id. The imports are already paid for."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before()
            train(sine_system(200), Annealing(), PHASES, SETTINGS, folder)
            code = 0
        finally:
            os._exit(code)
    return child


def die_in_save(after: int, where: str):
    """Kill this process inside its `after`-th save: before the sync, or between the two renames."""

    def arm() -> None:
        real, count = getattr(atomic, where), iter(range(10**6))

        def deadly(*arguments):
            if next(count) == after:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(atomic, where, deadly)

    return arm


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    _, status = os.waitpid(in_child(folder), 0)
    assert status == 0
    return final_weights(folder)


def test_killed_twenty_times(tmp_path, uninterrupted):
    dice = random.Random(5)
    steps, kills = [], 0
    for attempt in range(20):
        if attempt % 4 == 3:
            where = dice.choice(["sync", "keep_as"])
            child = in_child(tmp_path, die_in_save(dice.randrange(1, 6), where))
        else:
            child = in_child(tmp_path)
            time.sleep(dice.uniform(0.02, 0.5))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        found = checkpoint.newest(tmp_path / "checkpoints")
        steps.append(checkpoint.load(found)["global_step"] if found else 0)
    assert steps == sorted(steps), "a kill lost a checkpoint that had been saved"
    assert kills >= 15, "the run ended too early to be killed"
    _, status = os.waitpid(in_child(tmp_path), 0)
    assert status == 0
    ours = final_weights(tmp_path)
    assert all(torch.equal(ours[name], uninterrupted[name]) for name in uninterrupted)
    assert not list(tmp_path.rglob("*.part"))

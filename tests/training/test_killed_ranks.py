"""kill -9 of any rank at any moment: the run loads, loses one save interval at most, and ends in
the bits of one that nobody killed.

`SCIML_SEED=N` repeats the draws of a failure, whose seed is printed.
"""

import mmap
import os
import random
import signal
import struct
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from sciml.balance.gradients import Annealing
from sciml.contracts import Phase
from sciml.training import checkpoint
from sciml.training.run import Settings, train
from tests.training import forked
from tests.training.sine import SineData, sine_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS, EVERY, KILLS = 800, 10, 20
PHASES = {"adam": Phase(steps=STEPS, optimizer=partial(torch.optim.Adam, lr=1e-2))}


class Counted(SineData):
    """Notes in memory that outlives the process how many steps are done."""

    def __init__(self, done: mmap.mmap) -> None:
        super().__init__()
        self.done = done

    def refresh(self, model, objective, step):
        self.done[:8] = struct.pack("q", step)


def run(folder: Path, ranks: int, done: mmap.mmap) -> list[int]:
    settings = Settings(
        nodes=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        save_every=EVERY,
        validate_every=500,
        log_every=100,
    )

    def work(rank: int) -> None:
        system = sine_system(200)
        if rank == 0:
            object.__setattr__(system, "data", Counted(done))
        train(system, Annealing(), PHASES, settings, folder)

    return forked.start(ranks, work)


def steps(done: mmap.mmap) -> int:
    return struct.unpack("q", done[:8])[0]


def saved(folder: Path) -> int:
    """The step of the newest checkpoint; one that does not load raises."""
    found = checkpoint.newest(folder / "checkpoints")
    return checkpoint.load(found)["global_step"] if found else 0


def finished(folder: Path, ranks: int) -> dict[str, torch.Tensor]:
    """The weights after the last step."""
    children = run(folder, ranks, mmap.mmap(-1, 8))
    assert list(forked.ended(children, 300).values()) == [0] * ranks
    content = checkpoint.load(folder / "checkpoints/last.ckpt")
    assert content["global_step"] == STEPS
    return content["state_dict"]


def killed(children: list[int], dice: random.Random, start: int, done: mmap.mmap) -> None:
    """Kills one of the ranks, and after a moment what is left of the others, as srun does.

    Every fourth time it is a moment of the start, when ranks look for each other and load; else one
    in or about the first 60 steps, however fast the machine is.
    """
    end = time.monotonic() + 60
    at = start + dice.randrange(60)
    if dice.randrange(4) == 0:
        time.sleep(dice.uniform(0.0, 0.4))
    else:
        while steps(done) < at and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(dice.uniform(0.0, 0.02))
    os.kill(dice.choice(children), signal.SIGKILL)
    over = forked.ended(children, 0.2)
    for child in set(children) - set(over):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("ranks", [1, 2])
def test_any_rank_killed_at_twenty_random_moments(tmp_path: Path, ranks: int) -> None:
    seed = int(os.environ.get("SCIML_SEED") or random.SystemRandom().randrange(10**6))
    print(f"SCIML_SEED={seed} draws these moments again")
    dice, done, kept = random.Random(seed), mmap.mmap(-1, 8), [0]
    for _ in range(KILLS):
        done[:8] = struct.pack("q", kept[-1])
        killed(run(tmp_path / "cut", ranks, done), dice, kept[-1], done)
        kept.append(saved(tmp_path / "cut"))
        lost = steps(done) - kept[-1]
        assert lost <= EVERY, f"{lost} steps were lost, and {EVERY} are between saves"
    print(f"saved when killed: {kept[1:]}")
    assert kept == sorted(kept), "a kill lost a checkpoint that had been saved"
    assert 0 < kept[-1] < STEPS, "the run was not killed while it trained"
    whole, ours = finished(tmp_path / "whole", ranks), finished(tmp_path / "cut", ranks)
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    assert not list(tmp_path.rglob("*.part"))

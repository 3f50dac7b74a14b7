"""What goes wrong while training: NaN, a full disk, a folder that cannot be written, a kill."""

import csv
import errno
import os
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Timer

import pytest
import torch

from sciml import atomic
from sciml.balance.fixed import Fixed
from sciml.balance.gradients import Annealing
from sciml.contracts import Diverged, Phase, UserError
from sciml.training import checkpoint, history
from sciml.training.run import Settings, restore, train
from tests.small_disk import fill, small_disk
from tests.training.sine import SineObjective, sine_system

SETTINGS = Settings(save_every=5, validate_every=100, log_every=5)


def phases(steps: int, optimizer=torch.optim.Adam, **keys) -> dict[str, Phase]:
    return {"adam": Phase(steps=steps, optimizer=partial(optimizer, lr=1e-2), **keys)}


def run(folder: Path, steps: int = 20, system=None, settings=SETTINGS, balancer=None, **keys):
    system = system or sine_system()
    return train(system, balancer or Fixed(), phases(steps, **keys), settings, folder)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def saved_step(folder: Path) -> int:
    return checkpoint.load(folder / "checkpoints/last.ckpt")["global_step"]


# ---- NaN ----------------------------------------------------------------------------------------


def test_nan_in_a_term_leaves_no_newer_checkpoint_than_the_last_good_one(tmp_path):
    with pytest.raises(Diverged, match=r"'walls' became nan at step 12; .*last.ckpt"):
        run(tmp_path, system=sine_system(poison_at=13))
    assert saved_step(tmp_path) == 10
    assert torch.isfinite(weights(restore(sine_system(), Fixed(), phases(20), tmp_path))).all()


class Cusp(SineObjective):
    """From its 10th call on, walls has a finite value, 0, and an infinite derivative: √|0·u|."""

    def forward(self, model, batch):
        terms = super().forward(model, batch)
        if self.calls >= 10:
            terms["walls"] = (0 * model(batch.x)).abs().sum().sqrt()
        return terms


@pytest.mark.parametrize("balancer", [Fixed, lambda: Annealing(every=1)])
def test_a_gradient_of_nan_under_finite_terms_is_refused_before_the_step(tmp_path, balancer):
    system = sine_system()
    object.__setattr__(system, "objective", Cusp())
    with pytest.raises(Diverged, match=r"the gradient by '0.weight' became NaN .* at step 9"):
        run(tmp_path, system=system, balancer=balancer())
    assert saved_step(tmp_path) == 5
    assert torch.isfinite(weights(system.model)).all()


class Breaks(torch.optim.SGD):
    """Makes a parameter NaN in its 10th step, which no gradient announces."""

    def step(self, closure=None):
        super().step(closure)
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == 10:
            self.param_groups[0]["params"][0].data.fill_(float("nan"))


def test_a_parameter_of_nan_at_the_moment_of_a_save_is_not_saved(tmp_path):
    with pytest.raises(Diverged, match="the parameter '0.weight' became NaN or infinite before st"):
        run(tmp_path, optimizer=Breaks)
    assert saved_step(tmp_path) == 5


def test_nan_before_the_first_checkpoint_says_so(tmp_path):
    with pytest.raises(Diverged, match="no checkpoint had been saved yet"):
        run(tmp_path, system=sine_system(poison_at=2))


# ---- disks --------------------------------------------------------------------------------------


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def test_a_full_disk_keeps_the_checkpoint_and_the_run_goes_on_later(small_disk, tmp_path):
    whole = run(tmp_path / "whole", 20)
    run(small_disk, 10)
    ballast = fill(small_disk)
    with pytest.raises(UserError, match="No space left on device") as error:
        run(small_disk, 20)
    assert "\n" not in str(error.value) and "could not be written" in str(error.value)
    assert saved_step(small_disk) == 10
    assert not list(small_disk.rglob("*.part"))
    ballast.unlink()
    outcome = run(small_disk, 20)
    assert outcome.resumed_from == 10
    assert torch.equal(weights(outcome.model), weights(whole.model))


def test_an_error_of_the_disk_keeps_the_checkpoint_and_the_run_goes_on_later(tmp_path, monkeypatch):
    run(tmp_path, 10)
    real = checkpoint.save

    def full(content, path):
        path.write_bytes(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(UserError, match="No space left on device; what stood there before is kept"):
        run(tmp_path, 20)
    assert saved_step(tmp_path) == 10
    monkeypatch.setattr(checkpoint, "save", real)
    assert run(tmp_path, 20).resumed_from == 10


def test_a_folder_that_cannot_be_written_is_the_users_mistake(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"checkpoints/last.ckpt could not be written"):
        run(tmp_path, 10)


def test_a_folder_without_permission_is_the_users_mistake(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("read-only folder: root may write anywhere")
    (tmp_path / "checkpoints").mkdir(mode=0o500)
    with pytest.raises(UserError, match="Permission denied"):
        run(tmp_path, 10)


def test_a_read_only_disk_is_the_users_mistake(small_disk):
    run(small_disk, 5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match="Read-only file system"):
        run(small_disk, 10)
    assert saved_step(small_disk) == 5


# ---- interruptions ------------------------------------------------------------------------------


def test_history_is_whole_after_a_kill(tmp_path):
    class Dies(SineObjective):
        def forward(self, model, batch):
            if self.calls == 17:
                os._exit(9)
            return super().forward(model, batch)

    child = os.fork()
    if child == 0:
        system = sine_system()
        object.__setattr__(system, "objective", Dies())
        run(tmp_path, system=system)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert run(tmp_path).resumed_from == 15
    with (tmp_path / "history.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 5, 10, 15, 20]


def test_a_finished_run_costs_nothing_more(tmp_path):
    first = run(tmp_path, 10)
    again = run(tmp_path, 10)
    recorded = checkpoint.load(tmp_path / "checkpoints/last.ckpt")["callbacks"]
    (clock,) = [state for state in recorded.values() if "cpu_s" in state]
    assert again.cpu_s == clock["cpu_s"] <= first.cpu_s
    assert again.wall_s == clock["wall_s"] <= first.wall_s
    with (tmp_path / "history.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


# ---- another balancer ---------------------------------------------------------------------------


def test_a_run_cannot_go_on_with_a_balancer_of_other_buffers(tmp_path):
    run(tmp_path, 10, balancer=Annealing(every=2))
    with pytest.raises(UserError, match="of another balancer.*balancer.weights.term:walls"):
        run(tmp_path, 20, balancer=Fixed())


def test_the_model_is_restored_whatever_the_balancer_was(tmp_path):
    model = run(tmp_path, 10, balancer=Annealing(every=2)).model
    restored = restore(sine_system(), Fixed(), phases(10), tmp_path)
    assert torch.equal(weights(restored), weights(model))
    assert not restored.training


def test_a_folder_that_is_being_trained_is_refused(tmp_path):
    with atomic.held(tmp_path), pytest.raises(UserError, match="by another process"):
        run(tmp_path)
    run(tmp_path)


def test_a_requeued_run_waits_for_the_lock_of_a_lost_node(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with ExitStack() as lost:
        lost.enter_context(atomic.held(tmp_path))
        timer = Timer(0.5, lost.pop_all().close)
        timer.start()
        run(tmp_path)
        timer.join()


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    """As Lustre is mounted on some clusters."""

    def unavailable(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unavailable)
    with atomic.held(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_run_started_again_says_where_it_goes_on(tmp_path, capsys):
    run(tmp_path, 20)
    run(tmp_path, 30)
    assert "going on from step 20 of 30" in capsys.readouterr().err
    run(tmp_path, 30)
    assert "already finished after 30 steps" in capsys.readouterr().err


def test_a_loss_that_grew_is_told(tmp_path, capsys):
    fast = {"sgd": Phase(steps=6, optimizer=partial(torch.optim.SGD, lr=1.5))}
    train(sine_system(), Fixed(), fast, SETTINGS, tmp_path)
    assert "warning: the loss grew from" in capsys.readouterr().err


def test_phases_are_not_compared_with_one_another(tmp_path):
    """A second phase whose loss is larger from its first step on, and falls."""
    table = history.History(tmp_path / "history.csv", 1)
    losses = {1: ("a", 2.0), 2: ("a", 1.0), 3: ("b", 5.0), 4: ("b", 4.0)}
    table.rows = {n: {"phase": phase, "loss/mse": loss} for n, (phase, loss) in losses.items()}
    assert not table.growth()
    table.rows[4]["loss/mse"] = 6.0
    assert "grew from 5 to 6" in table.growth()

"""The training loop: phases, resume, checkpoints, averages; on a system that knows no physics."""

import contextlib
import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback

from sciml.balance.fixed import Fixed
from sciml.balance.gradients import Annealing
from sciml.contracts import Diverged, Phase, UserError
from sciml.training import checkpoint
from sciml.training.callbacks import Average, KeepBest
from sciml.training.run import Settings, measure, restore, train
from sciml.training.schedules import cosine, exponential
from tests.training.sine import sine_system

adam = partial(torch.optim.Adam, lr=1e-2)
QUICK = Settings(save_every=20, validate_every=25, log_every=10)


def phases(steps: int = 60, **keys) -> dict[str, Phase]:
    return {"adam": Phase(steps=steps, optimizer=adam, **keys)}


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def run(
    folder: Path, steps: int = 60, settings: Settings = QUICK, system=None, balancer=None, **keys
):
    return train(
        system or sine_system(), balancer or Annealing(), phases(steps, **keys), settings, folder
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_falls_and_everything_is_logged(tmp_path):
    outcome = run(tmp_path)
    assert outcome.steps == 60 and outcome.resumed_from == 0
    history = rows(tmp_path)
    assert [int(row["step"]) for row in history] == [1, 10, 20, 25, 30, 40, 50, 60]
    assert float(history[-1]["loss/residual"]) < 0.2 * float(history[0]["loss/residual"])
    assert float(history[3]["metric/rmse/u"]) > 0
    assert {"cpu_s", "wall_s", "lr", "weight/walls", "cosine/residual~walls"} <= set(history[0])


def test_one_step_is_one_plain_adam_step(tmp_path):
    system = sine_system()
    reference = sine_system().model
    optimizer = adam(reference.parameters())
    outcome = run(tmp_path, 1, system=system, balancer=Fixed({"walls": 3.0}))
    batch = next(iter(system.data.train_dataloader(0, 0, 1)))
    batch = batch.to(torch.device("cpu"), torch.float32)
    terms = sine_system().objective(reference, batch)
    (terms["residual"] + 3 * terms["walls"]).backward()
    optimizer.step()
    torch.testing.assert_close(weights(outcome.model), weights(reference), rtol=0, atol=1e-7)


def test_gradients_from_rows_and_from_one_backward_pass_agree(tmp_path):
    class Asks(torch.nn.Module):
        def forward(self, step):
            step.rows()
            return Fixed()(step)

    one = run(tmp_path / "a", 1, balancer=Asks(), precision="float64").model
    other = run(tmp_path / "b", 1, balancer=Fixed(), precision="float64").model
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-14)


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole = run(tmp_path / "whole", 60).model
    run(tmp_path / "cut", 40)
    outcome = run(tmp_path / "cut", 60)
    assert outcome.resumed_from == 40
    assert torch.equal(weights(outcome.model), weights(whole))
    assert [r["step"] for r in rows(tmp_path / "cut")] == [
        r["step"] for r in rows(tmp_path / "whole")
    ]


def test_a_finished_run_started_again_changes_nothing(tmp_path):
    first = run(tmp_path).model
    again = run(tmp_path)
    assert again.resumed_from == 60
    assert torch.equal(weights(first), weights(again.model))


def test_phases_follow_one_another_and_resume_in_the_second(tmp_path):
    def two(first: int, second: int) -> dict[str, Phase]:
        return {
            "adam": Phase(steps=first, optimizer=adam, schedule=exponential(0.9, 10)),
            "lbfgs": Phase(
                steps=second,
                optimizer=partial(torch.optim.LBFGS, lr=0.5, max_iter=4),
                precision="float64",
                trainable=("2.*",),
            ),
        }

    settings = Settings(save_every=5, validate_every=15, log_every=5)
    whole = train(sine_system(), Annealing(), two(20, 20), settings, tmp_path / "a").model
    assert weights(whole).dtype == torch.float64
    frozen = torch.load(tmp_path / "a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    train(sine_system(), Annealing(), two(20, 10), settings, tmp_path / "b")
    resumed = train(sine_system(), Annealing(), two(20, 20), settings, tmp_path / "b")
    assert resumed.resumed_from == 30
    assert torch.equal(weights(whole), weights(resumed.model))
    first_phase = train(
        sine_system(), Annealing(), {"adam": two(20, 1)["adam"]}, settings, tmp_path / "c"
    )
    assert torch.equal(frozen["model.0.weight"], first_phase.model[0].weight.double())


def test_accumulating_four_batches_is_one_batch_four_times_as_large(tmp_path):
    system = sine_system()
    reference = sine_system().model.double()
    descent = partial(torch.optim.SGD, lr=0.1)
    optimizer = descent(reference.parameters())
    two = {"sgd": Phase(steps=2, optimizer=descent, accumulate=4, precision="float64")}
    outcome = train(system, Fixed(), two, QUICK, tmp_path)
    batches = iter(system.data.train_dataloader(0, 0, 1))
    for _ in range(2):
        optimizer.zero_grad()
        for _ in range(4):
            terms = sine_system().objective(reference, next(batches))
            (sum(terms.values()) / 4).backward()
        optimizer.step()
    torch.testing.assert_close(weights(outcome.model), weights(reference), rtol=1e-12, atol=1e-14)


def test_clipping_bounds_the_step_of_plain_descent(tmp_path):
    before = weights(sine_system().model)
    sgd = {"sgd": Phase(steps=1, optimizer=partial(torch.optim.SGD, lr=1.0), clip=1e-3)}
    outcome = train(sine_system(), Annealing(), sgd, QUICK, tmp_path)
    assert float((weights(outcome.model) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("decay", [0.9, None])
def test_the_averaged_weights_are_judged_and_resume(tmp_path, decay):
    def averaged(folder: Path, steps: int):
        settings = Settings(save_every=10, callbacks=[Average(decay, start=5)])
        return run(tmp_path / folder, steps, settings)

    whole = averaged("a", 30).model
    averaged("b", 20)
    assert torch.equal(weights(whole), weights(averaged("b", 30).model))
    assert torch.equal(
        weights(whole), weights(restore(sine_system(), Annealing(), phases(30), tmp_path / "a"))
    )
    raw = torch.load(tmp_path / "a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert not torch.equal(raw["model.0.weight"], whole[0].weight)


@pytest.mark.parametrize("late", [Average(start=100), KeepBest(every=100)], ids=["mean", "best"])
def test_an_average_that_has_not_begun_is_not_restored(tmp_path, late):
    def stop(trainer, module, *_):
        if trainer.global_step == 20:
            raise KeyboardInterrupt

    stopping = LambdaCallback(on_train_batch_end=stop)
    settings = Settings(save_every=10, validate_every=50, callbacks=[late, stopping])
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        run(tmp_path, 60, settings)
    state = checkpoint.load(tmp_path / "checkpoints/last.ckpt")["state_dict"]
    assert int(state["average.n_averaged"]) == 0
    restored = restore(sine_system(), Annealing(), phases(60), tmp_path)
    assert torch.equal(restored[0].weight, state["model.0.weight"])


def test_a_run_that_ends_before_its_average_begins_is_restored_as_it_was_judged(tmp_path):
    settings = Settings(save_every=10, callbacks=[Average(start=100)])
    outcome = run(tmp_path, 20, settings)
    restored = restore(sine_system(), Annealing(), phases(20), tmp_path)
    assert torch.equal(weights(restored), weights(outcome.model))


def test_dense_average_is_the_mean_of_the_trajectory(tmp_path):
    seen = [weights(run(tmp_path / str(n), n, balancer=Fixed()).model) for n in (1, 2, 3)]
    settings = Settings(callbacks=[Average(None)])
    mean = run(tmp_path / "mean", 3, settings, balancer=Fixed()).model
    torch.testing.assert_close(weights(mean), torch.stack(seen).mean(0), rtol=1e-6, atol=1e-7)


def test_divergence_names_the_term_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(Diverged, match=r"'walls' became nan at step 44; .*checkpoints/last.ckpt"):
        run(tmp_path, system=sine_system(poison_at=45))
    assert checkpoint.load(tmp_path / "checkpoints/last.ckpt")["global_step"] == 40


def test_restore_gives_the_trained_weights_and_their_metrics(tmp_path):
    outcome = run(tmp_path)
    system = sine_system()
    model = restore(system, Annealing(), phases(), tmp_path)
    assert torch.equal(weights(model), weights(outcome.model))
    values = measure(system, model)
    x = torch.linspace(0, 1, 50)[:, None]
    expected = float(((model(x)[:, 0].detach() - torch.sin(3 * x[:, 0])) ** 2).mean() ** 0.5)
    assert values["rmse/u"] == pytest.approx(expected, rel=1e-5)
    assert values["held_out"] == pytest.approx(
        values["held_out/residual"] + values["held_out/walls"]
    )


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(UserError, match=r"another network: model.0.bias is of shape \[10\]"):
        run(tmp_path, 80, system=sine_system(width=12))


def test_a_truncated_checkpoint_gives_way_to_the_previous_one(tmp_path):
    run(tmp_path)
    last = tmp_path / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert run(tmp_path, 60).resumed_from == 40


def test_no_checkpoint_that_loads_is_one_clear_line(tmp_path):
    run(tmp_path)
    for name in ("last.ckpt", "previous.ckpt"):
        (tmp_path / "checkpoints" / name).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="no checkpoint in .* can be read"):
        run(tmp_path)


def test_a_pickle_is_never_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": Harm(), "global_step": 1}, tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(UserError):
        run(tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_gradient_histograms_count_every_weight_at_start_middle_and_end(tmp_path):
    run(tmp_path)
    with np.load(tmp_path / "gradients.npz", allow_pickle=False) as file:
        index = json.loads(str(file["index"]))
        assert index["stages"] == {"start": 0, "middle": 29, "end": 59}
        for stage in index["stages"]:
            for term in ("residual", "walls"):
                assert file[f"counts_{stage}_{term}_0.weight"].sum() == 10


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"trainable": ("nothing.*",)}, "matches no parameter"),
        ({"accumulate": 0}, "accumulate >= 1"),
        ({"precision": "float16"}, "precision in"),
        ({"clip": 0.0}, "clip > 0"),
    ],
)
def test_phases_are_checked(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, 2, **keys)


def test_schedules():
    assert exponential(0.9, 1000)(2000) == pytest.approx(0.81)
    warm = cosine(110, warmup=10)
    assert warm(0) == pytest.approx(0.1) and warm(10) == 1.0
    assert warm(60) == pytest.approx(0.5) and warm(110) == pytest.approx(0.0)


def test_the_best_weights_are_kept_though_later_ones_spoil(tmp_path):
    keep = KeepBest(every=5)
    wild = {
        "adam": Phase(steps=40, optimizer=adam),
        "wild": Phase(steps=10, optimizer=partial(torch.optim.SGD, lr=5.0)),
    }
    settings = Settings(save_every=10, validate_every=5, log_every=5, callbacks=[keep])
    system = sine_system()
    outcome = train(system, Fixed(), wild, settings, tmp_path)
    judged = measure(system, outcome.model)["held_out"]
    history = [float(row["metric/held_out"]) for row in rows(tmp_path) if row["metric/held_out"]]
    last = sine_system().model
    state = checkpoint.load(tmp_path / "checkpoints/last.ckpt")["state_dict"]
    last.load_state_dict(
        {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    )
    assert judged == pytest.approx(keep.best, rel=1e-5)
    assert judged < 0.1 * measure(system, last)["held_out"]
    assert min(history) >= 0


def test_the_best_weights_survive_a_resume(tmp_path):
    def keeping(steps, folder):
        settings = Settings(save_every=10, validate_every=50, callbacks=[KeepBest(3)])
        return run(folder, steps, settings).model

    whole = keeping(40, tmp_path / "whole")
    keeping(20, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(keeping(40, tmp_path / "cut")))

"""Means are exact, progress says what matters, settings are checked."""

import io
from types import SimpleNamespace

import pytest
import torch

from sciml.contracts import Direction, UserError
from sciml.training.means import Means
from sciml.training.progress import Progress, bar, line
from sciml.training.run import Settings


def statistics(values: list[float]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    tensor = torch.tensor(values)
    return {"error": ((tensor**2).sum(), torch.tensor(float(len(values))))}


def test_the_mean_over_unequal_batches_is_the_mean_over_all_values():
    # (1 + 4 + 9 + 16 + 25)/5 = 11, whatever the batches; the mean of means 2.5, 16.67 is not
    means = Means()
    for batch in ([1.0, 2.0], [3.0, 4.0, 5.0]):
        means.add(statistics(batch))
    assert means.value(lambda tensor: tensor) == {"error": 11.0}
    assert means.value(lambda tensor: tensor) == {"error": 11.0}


def test_sums_and_weights_are_added_over_ranks_in_one_go():
    # two equal ranks: 2·55 / (2·5)
    means, calls = Means(), []
    means.add(statistics([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert means.value(lambda tensor: calls.append(1) or 2 * tensor) == {"error": 11.0}
    assert len(calls) == 1


def test_a_long_sum_of_small_numbers_keeps_its_digits():
    means = Means()
    for _ in range(1000):
        means.add({"error": (torch.tensor(0.1), torch.tensor(1.0))})
    assert means.value(lambda tensor: tensor)["error"] == pytest.approx(
        float(torch.tensor(0.1)), rel=1e-14
    )


def module(weights=None, metric=None):
    losses = {"residual": torch.tensor(0.031), "walls": torch.tensor(4e-5)}
    return SimpleNamespace(
        steps=40001,
        latest=SimpleNamespace(losses=losses),
        latest_weights=weights or {"residual": torch.tensor(1.0), "walls": torch.tensor(61.0)},
        validation={"held_out": 0.05, "held_out/walls": 0.01, "rel_l2/u": 0.025},
        metric=metric,
    )


def test_a_line_has_terms_weights_and_the_error():
    assert line(1200, module()) == (
        "step 1200/40001  residual 3.10e-02  walls 4.00e-05 ×61  held_out 5.000e-02"
        "  rel_l2/u 2.500e-02"
    )
    assert "×" not in line(1200, module(Direction(torch.zeros(3))))


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    progress = Progress(stream)
    trainer = SimpleNamespace(global_step=1200, is_global_zero=True)
    progress.on_train_batch_end(trainer, module(), None, None, 0)
    progress.on_validation_end(trainer, module())
    progress.on_train_end(trainer, module())
    assert stream.getvalue() == line(1200, module()) + "\n"


def test_one_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = io.StringIO()
    stream.isatty = lambda: True
    progress = Progress(stream)
    trainer = SimpleNamespace(global_step=1200, is_global_zero=True)
    for _ in range(3):  # at most five a second
        progress.on_train_batch_end(trainer, module(), None, None, 0)
    shown = bar(1200, 40001, 0.0) + "  " + line(1200, module())
    assert stream.getvalue() == "\r\x1b[2K" + shown[:59]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"devices": 0}, "devices >= 1"),
        ({"nodes": 0}, "nodes >= 1"),
        ({"save_every": 0}, "save_every >= 1"),
        ({"validate_every": -1}, "validate_every >= 1"),
        ({"log_every": 0}, "log_every >= 1"),
        ({"accelerator": "gpuu"}, "cpu, gpu or auto, got 'gpuu'"),
        ({"strategy": "deepspeed"}, "auto, ddp or fsdp, got 'deepspeed'"),
    ],
)
def test_settings_are_checked(keys, message):
    with pytest.raises(UserError, match=message):
        Settings(**keys)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="none is visible; use trainer=cpu"):
        Settings(accelerator="gpu")


def test_the_bar_tells_how_far_and_how_long():
    assert bar(1200, 6000, 48.0) == "[####----------------] 0:01:40 left"
    assert bar(0, 6000, 0.0) == "[--------------------] … left"

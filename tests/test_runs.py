"""The run folder: made once, found again for the same configuration, refused for another."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sciml import provenance, runs, tables
from sciml.contracts import UserError

COMMAND = ["sciml", "run", "toy/default", "seed=1"]
CONFIG: dict[str, Any] = {
    "case": "toy/default",
    "seed": 1,
    "run_dir": None,
    "width": 5,
    "length": 100,
    "phases": {"adam": {"steps": "${length}", "lr": 1e-5}, "lm": {"steps": 10}},
    "trainer": {"devices": 1},
    "published": {},
}


def changed(**values: Any) -> dict[str, Any]:
    return {**CONFIG, **values}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(runs.VARIABLE, "")  # set, so that what a test writes there is undone


def test_a_new_run_has_its_configuration_and_provenance() -> None:
    folder = runs.open_run(None, CONFIG, COMMAND)
    assert folder.parent == Path("runs/toy/default")
    assert runs.load_config(folder) == CONFIG
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["command"] == "sciml run toy/default seed=1"
    assert facts["seed"] == 1
    assert facts["versions"]["python"]
    assert facts["host"]["cores"] >= 1


def test_runs_started_together_get_folders_of_their_own() -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: runs.open_run(None, CONFIG, COMMAND), range(8)))
    assert len(set(folders)) == 8
    assert sorted(runs.find_runs()) == sorted(folders)


@pytest.mark.parametrize(
    "now",
    [
        CONFIG,
        changed(run_dir="elsewhere"),
        changed(trainer={"devices": 2, "save_every": 5}),
        changed(published={"rel_l2/u": {"value": 1.0}}),
        changed(length=200),
        changed(phases={"adam": {"steps": "${length}", "lr": 1e-5}, "lm": {"steps": 20}}),
    ],
)
def test_the_same_run_goes_on(now: dict[str, Any]) -> None:
    runs.open_run("r", CONFIG, COMMAND)
    assert runs.open_run("r", now, COMMAND) == Path("r")
    assert runs.load_config("r") == now
    assert len(runs.provenance("r")["continued"]) == 1


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (changed(seed=2), "seed=1, got seed=2"),
        (changed(length=50), "length=100, got length=50"),
        (changed(width=6, seed=3), "seed=1, got seed=3, and other width"),
        (
            changed(seed=2, **{f"new{n}": n for n in range(7)}),
            "seed=1, got seed=2, and other new0, new1, new2, new3, new4 and 2 more",
        ),
        (changed(extra=True), r"extra=\(absent\), got extra=True"),
        ({k: v for k, v in CONFIG.items() if k != "width"}, r"width=5, got width=\(absent\)"),
    ],
)
def test_another_run_is_refused(now: dict[str, Any], said: str) -> None:
    runs.open_run("r", CONFIG, COMMAND)
    for refuse in (lambda: runs.open_run("r", now, COMMAND), lambda: runs.check_run("r", now)):
        with pytest.raises(UserError, match=f"r holds a run with {said}; give another run_dir"):
            refuse()
    assert runs.load_config("r") == CONFIG


def test_a_file_in_the_way_is_refused() -> None:
    Path("file").write_text("")
    for path in ("file", "file/below"):
        with pytest.raises(UserError, match="expected a folder, got the file"):
            runs.check_run(path, CONFIG)
    with pytest.raises(UserError, match="expected a folder, got the file"):
        runs.open_run("file", CONFIG, COMMAND)


def test_a_folder_that_may_not_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="no permission to write"):
        runs.check_run(None, CONFIG)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_keeps_the_old_file(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder = runs.open_run("r", CONFIG, COMMAND)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match=os.strerror(code)):
        runs.open_run(folder, CONFIG, COMMAND)
    assert runs.load_config(folder) == CONFIG
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*.part"))


def test_json_has_no_nan(tmp_path: Path) -> None:
    runs.write_json(tmp_path / "metrics.json", {"a": float("nan"), "b": 1.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": None, "b": 1.5}


def test_what_is_no_run_is_answered_with_the_nearest() -> None:
    runs.open_run("runs/toy/first", CONFIG, COMMAND)
    with pytest.raises(UserError, match="did you mean 'runs/toy/first'?"):
        runs.load_config("runs/toy/fist")


def test_a_run_without_metrics_says_what_to_do() -> None:
    runs.open_run("r", CONFIG, COMMAND)
    with pytest.raises(UserError, match="run 'sciml evaluate r' first"):
        runs.read_metrics("r")


def test_a_broken_configuration_is_the_users_to_mend() -> None:
    runs.open_run("r", CONFIG, COMMAND)
    Path("r/config.yaml").write_text("a: [1,\n")
    with pytest.raises(UserError, match=r"config\.yaml is not YAML"):
        runs.load_config("r")


def test_further_processes_find_the_folder_and_write_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = runs.open_run(None, CONFIG, COMMAND)
    before = sorted(file.stat().st_mtime_ns for file in first.iterdir())
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runs.open_run(None, CONFIG, COMMAND) == first
    assert sorted(file.stat().st_mtime_ns for file in first.iterdir()) == before


def test_processes_of_one_srun_agree_without_talking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runs.VARIABLE)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    second = runs.open_run(None, CONFIG, COMMAND)
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert runs.open_run(None, CONFIG, COMMAND) == second == Path("runs/toy/default/slurm-77.0")


def test_further_processes_without_a_folder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runs.VARIABLE)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="several processes need one run folder"):
        runs.open_run(None, CONFIG, COMMAND)


def test_flat() -> None:
    assert runs.flat({"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}) == {
        "a.b": 1,
        "a.c": {},
        "d": [1, {"e": 2}],
    }


def test_git_state_outside_a_checkout_is_none(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) is None


def test_a_glance_reads_steps_behind_references() -> None:
    folder = runs.open_run("runs/r", CONFIG, COMMAND)
    assert runs.state(folder) == runs.State("toy/default", 0, 110, None)
    (folder / "history.csv").write_text("step,loss\n10,1.0\n20,0.5\n")
    assert runs.state(folder).done == 20 and not runs.state(folder).finished
    runs.write_json(folder / "metrics.json", {"steps": 110, "rel_l2/u": 0.1, "rel_l2/v": 0.2})
    assert runs.state(folder) == runs.State("toy/default", 110, 110, 0.1)


def test_runs_side_by_side() -> None:
    for i, (metrics, balancer) in enumerate(
        [
            (
                {"rel_l2/u": 0.1, "steps": 5},
                {"_target_": "sciml.balance.fixed.Fixed", "weights": 1},
            ),
            (
                {"rel_l2/u": 0.2, "rel_l2/p": 0.3, "steps": 5},
                {"_target_": "a.B", "_partial_": True},
            ),
        ]
    ):
        folder = runs.open_run(f"r{i}", changed(seed=i, balancer=balancer), COMMAND)
        runs.write_json(folder / "metrics.json", metrics)
    head, first, second = tables.comparison([Path("r0"), Path("r1")]).splitlines()
    assert head.split() == ["run", "rel_l2/u", "rel_l2/p", "steps", "seed", "balancer"]
    assert first.split() == ["r0", "0.1", "-", "5", "0", "Fixed"]
    assert second.split() == ["r1", "0.2", "0.3", "5", "1", "B"]


def test_within_one_target_the_keys_still_count() -> None:
    configs = [
        {"b": {"_target_": t, "rate": r, "x": x}}
        for t, r, x in (("A", 1, 1), ("B", 2, 3), ("B", 5, 3))
    ]
    assert tables.differences(configs) == {"b": ["A", "B", "B"], "b.rate": [1, 2, 5]}

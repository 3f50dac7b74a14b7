"""From a case and overrides to a finished run folder, with the smallest system there is: a line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import catalogue, compose, diagnosis, runs, tables
from sciml.catalogue import SEARCH_VARIABLE
from sciml.compose import execution
from sciml.contracts import UserError

CASES = Path(__file__).parent / "cases"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SEARCH_VARIABLE, str(CASES))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    monkeypatch.setenv(runs.VARIABLE, "")
    catalogue.install_namespace()


def shown(case: str, *overrides: str) -> dict[str, str]:
    """Lines of `show` without indentation, the first of equal ones: `key: value` → where from."""
    lines = reversed(compose.show(case, overrides).splitlines())
    pairs = [line.split("#") for line in lines if "#" in line]
    return {what.strip(): origin.strip() for what, origin in pairs}


def test_show_names_the_file_of_every_key() -> None:
    lines = shown("toy/long", "seed=3", "+system.scale=2.5")
    assert lines["case: toy/long"] == "command line"
    assert lines["seed: 3"] == "command line"
    assert lines["scale: 2.5"] == "command line"
    assert lines["lr: 0.001"] == "conf/optimizer/adam.yaml"
    assert lines["points: 16"] == "cases/toy/default.yaml"
    assert lines["steps: 40"] == "cases/toy/long.yaml"
    assert lines["numerator: misfit"] == "cases/toy/long.yaml"
    assert lines["_target_: sciml.balance.gradients.Annealing"].startswith("conf/balancer/")
    assert lines["run_dir: null"] == "conf/run.yaml"


def test_a_choice_on_the_command_line_wins_over_the_case() -> None:
    assert "_target_: sciml.balance.fixed.Fixed" in shown(
        "toy/long", "balancer=fixed", "~balancer.numerator"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("balanzer=fixed", "balanzer: expected a key .* did you mean 'balancer'?"),
        ("balancer=fixd", "balancer: expected one of .* got 'fixd'; did you mean 'fixed'?"),
        ("sede=1", "sede: expected a key .* did you mean 'seed'?"),
        ("system.poimts=1", r"system.poimts: .* sciml_cases.toy.case.system.* mean 'points'?"),
        ("system.scale=2", r"system.scale: .* takes it, .* write \+system.scale=2"),
        ("phases.adma.steps=1", "phases.adma: expected a key .* did you mean 'adam'?"),
        ("seed.x=1", "seed.x: there are no keys within seed"),
        ("published={y: 1}", r"published: expected entries .* written \+published={y: 1}"),
        ("seed=[1,", "no viable|mismatched|expect|missing"),
        ("seed=1,2", "seed: expected one value, got '1,2'; add -m for a sweep"),
    ],
)
def test_mistakes_in_composing(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose.compose("toy/default", [override])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=abc", "seed: expected a whole number >= 0, got 'abc'"),
        ("seed=-1", "seed: expected a whole number >= 0, got -1"),
        ("system.points=abc", r"system.points: expected int, got 'abc' \(str\)"),
        ("phases.adam.steps=1e3", r"expected int, got 1000.0 \(float\); set .*steps=1000"),
        ("+optimizer.lrr=1", "optimizer.lrr: expected a keyword .* did you mean 'lr'?"),
        ("seed=18446744073709551616", "seed: expected a whole number .* below 2.63"),
        ("published=3", "published: expected metrics and their values, got 3"),
        ("optimizer._target_=torch.optim.Adm", "phases: expected an import path.*no 'Adm'"),
        ("trainer.threads=many", "trainer.threads: expected int, got 'many'"),
        ("+system.x=${nowhere}", "configuration: Interpolation key 'nowhere' not found"),
        ("~phases.adam", "phases: expected at least one phase"),
        ("balancer._target_=sciml.balance.fixed.Fixd", "did you mean 'Fixed'?"),
    ],
)
def test_mistakes_in_values_leave_no_folder(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose.run("toy", override)
    assert not Path("runs").exists()


def test_a_constructors_refusal_names_its_node() -> None:
    with pytest.raises(UserError, match="system: points: expected > 0, got 0"):
        compose.run("toy", "system.points=0")
    assert not Path("runs").exists()


def test_a_run_dir_may_look_like_a_number() -> None:
    assert compose.run("toy", "run_dir=2026", "phases.adam.steps=2").path == Path("2026")


def test_an_unknown_case() -> None:
    with pytest.raises(UserError, match="did you mean 'toy'?"):
        compose.run("tooy")


def test_an_optimizer_refuses_its_settings_at_the_door() -> None:
    with pytest.raises(UserError, match=r"phases\.adam\.optimizer: Invalid learning rate: -1"):
        compose.run("toy", "optimizer.lr=-1.0")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimizer=gauss_newton"], "phases.adam.precision: expected float64 for GaussNewton"),
        (["optimizer=bfgs", "+phases.adam.precision=float64", "trainer.devices=2"],
         "phases.adam.optimizer: expected one process, got 2"),
        (["optimizer=gauss_newton", "+phases.adam.precision=float64"],
         "needs residual rows and the objective Misfit has none"),
        (["trainer.strategy=fsdp", "balancer=pcgrad"],
         "balancer: expected a rule of losses with trainer.strategy=fsdp"),
    ],
)  # fmt: skip
def test_parts_that_do_not_go_together_leave_no_folder(overrides: list[str], said: str) -> None:
    """Refused at the door, before other processes start."""
    with pytest.raises(UserError, match=said):
        compose.run("toy", *overrides, "run_dir=r")
    assert not Path("r").exists()
    assert compose.run("toy", "phases.adam.steps=2", "run_dir=r").metrics["steps"] == 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> compose.Result:
    """One run, shared by the tests that only look at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SEARCH_VARIABLE, str(CASES))
        patch.setenv(runs.VARIABLE, "")
        folder = tmp_path_factory.mktemp("finished") / "run"
        return compose.run("toy", "seed=1", f"run_dir={folder}")


def test_a_run_leaves_its_folder(finished: compose.Result) -> None:
    files = {file.name for file in finished.path.iterdir()}
    assert files >= {
        *("config.yaml", "provenance.json", "metrics.json", "history.csv"),
        *("result.nc", "report.html", "figures", "checkpoints"),
    }
    assert not (finished.path / ".hydra").exists()


def test_metrics_are_flat_and_those_of_the_model(finished: compose.Result) -> None:
    metrics = json.loads((finished.path / "metrics.json").read_text())
    assert metrics == finished.metrics
    slope = next(finished.model.parameters()).item()  # (slope − 2) x against 2 x, whatever the x
    assert metrics["rel_l2/y"] == pytest.approx(abs(slope - 2) / 2, rel=1e-5)
    assert metrics["steps"] == 20
    assert metrics["parameters"] == 1
    assert metrics["cpu_s"] > 0 and metrics["wall_s"] > 0 and metrics["peak_rss_mb"] > 100
    assert finished.objective == metrics["held_out"]  # never the error that is reported


def test_the_prediction_is_a_cf_dataset(finished: compose.Result) -> None:
    import xarray

    with xarray.open_dataset(finished.path / "result.nc") as dataset:
        slope = next(finished.model.parameters()).item()
        assert dataset.y.values == pytest.approx(slope * dataset.x.values, rel=1e-5, abs=1e-7)
        assert dataset.attrs["Conventions"] == "CF-1.11"
        assert "_FillValue" not in dataset.x.encoding


def test_configuration_keeps_interpolations_and_runs_again(finished: compose.Result) -> None:
    config = runs.load_config(finished.path)
    assert config["system"]["seed"] == "${seed}"
    assert config["case"] == "toy/default"
    again = compose.run("toy", "seed=1")
    assert again.metrics["rel_l2/y"] == finished.metrics["rel_l2/y"]
    assert again.path != finished.path


def test_evaluate_gives_the_same_numbers(finished: compose.Result) -> None:
    (finished.path / "metrics.json").unlink()
    metrics = compose.evaluate(finished.path)
    assert metrics["rel_l2/y"] == pytest.approx(finished.metrics["rel_l2/y"], rel=1e-6)
    assert metrics["steps"] == 20
    assert json.loads((finished.path / "metrics.json").read_text()) == metrics


def test_a_run_of_another_machine_is_evaluated_here() -> None:
    """Trained on a GPU there; and with a key that this version does not know."""
    run = compose.run("toy", "run_dir=r", "phases.adam.steps=2").path
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("accelerator: cpu", "accelerator: gpu"))
    assert compose.evaluate(run)["steps"] == 2
    (run / "config.yaml").write_text(text.replace("  points:", "  poimts:"))
    with pytest.raises(UserError, match="system.poimts: .* did you mean 'points'"):
        compose.evaluate(run)


def test_more_steps_go_on_and_equal_an_uninterrupted_run() -> None:
    compose.run("toy", "run_dir=r")
    longer = compose.run("toy", "run_dir=r", "phases.adam.steps=30")
    straight = compose.run("toy", "run_dir=s", "phases.adam.steps=30")
    assert longer.metrics["steps"] == 30
    assert longer.metrics["rel_l2/y"] == straight.metrics["rel_l2/y"]
    with pytest.raises(UserError, match="seed=0, got seed=1"):
        compose.run("toy", "run_dir=r", "phases.adam.steps=30", "seed=1")


def test_a_sweep_gives_every_job_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    compose.main(["toy/default", "toy/long"], ["seed=1,2", "run_dir=sweep"], ["-m"])
    seeds = [runs.load_config(f"sweep/{i}")["seed"] for i in range(4)]
    cases = [runs.load_config(f"sweep/{i}")["case"] for i in range(4)]
    assert seeds == [1, 2, 1, 2]
    assert cases == ["toy/default"] * 2 + ["toy/long"] * 2
    assert "job 3: toy/long seed=2" in capsys.readouterr().out
    assert not Path("outputs").exists() and not Path("multirun").exists()


def test_a_sweep_without_run_dir_makes_new_folders() -> None:
    compose.main(["toy/default"], ["seed=1,2", "hydra/launcher=basic"], ["-m"])
    assert len(list(runs.find_runs("runs/toy/default"))) == 2


def test_a_sweep_over_cases_still_knows_their_keys() -> None:
    with pytest.raises(UserError, match="phases.adam.stps: .* did you mean 'steps'?"):
        compose.main(["toy/default", "toy/long"], ["phases.adam.stps=1"], ["-m"])


def test_a_sweep_over_cases_chooses_from_groups_that_only_they_have() -> None:
    folder = Path("cases/drawn")
    folder.mkdir(parents=True)
    text = (
        "# @package _global_\ndefaults:\n  - toy/default\n  - /derivatives: compiled\n  - _self_\n"
    )
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(text)
    compose.main(
        ["drawn/a", "drawn/b"],
        ["derivatives=autograd", "seed=0,1", "phases.adam.steps=2", "run_dir=s"],
        ["-m"],
    )
    configs = [runs.load_config(f"s/{i}") for i in range(4)]
    assert [config["case"] for config in configs] == ["drawn/a"] * 2 + ["drawn/b"] * 2
    assert all("autograd" in str(config["derivatives"]) for config in configs)


@pytest.mark.parametrize("sign", ["", "++"])
def test_a_key_that_follows_another_is_set_there(sign: str) -> None:
    said = "system.seed: .* follows seed; set seed=5 instead"
    with pytest.raises(UserError, match=said):
        compose.run("toy", f"{sign}system.seed=5")
    with pytest.raises(UserError, match=said):
        compose.main(["toy/default"], [f"{sign}system.seed=5"])
    assert compose.show("toy/default", ["system.points=5"])


def test_an_unfinished_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    compose.run("toy", "run_dir=runs/r", "phases.adam.steps=2")
    file = Path("runs/r/config.yaml")
    assert runs.state(file.parent).finished
    file.write_text(file.read_text().replace("steps: 2\n", "steps: 40\n"))
    assert not runs.state(file.parent).finished
    with pytest.raises(UserError, match="unfinished: 2 of 40 steps; finish it .* or --force"):
        compose.export("runs/r", "bundle", ["pt2"])
    compose.evaluate("runs/r")
    assert "unfinished: 2 of 40 steps\n" in capsys.readouterr().out
    row = tables.overview().splitlines()[1].split()
    assert row[:5] == ["runs/r", "toy/default", "2", "of", "40"] and row[-1] == "unfinished"


def test_an_empty_mapping_takes_any_key() -> None:
    folder = Path("cases/open")
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text(
        "# @package _global_\ndefaults: [toy/default, _self_]\nnotes: {}\n"
    )
    run = compose.run("open", "phases.adam.steps=2", "notes.why=test")
    assert runs.load_config(run.path)["notes"] == {"why": "test"}


def test_a_missing_reference_names_its_key() -> None:
    error = Exception("Error\nfull_key: system")
    error.__cause__ = UserError("reference: expected a file, got a/b.npz, which does not exist; x")
    found = diagnosis.located(error)
    assert str(found).startswith("problem.reference: expected a file, got a/b.npz")
    assert str(found).endswith(f"; looked in {Path('a').absolute()}")


def test_weights_of_terms_need_no_plus() -> None:
    for given in ("weights.misfit=10", "weights={misfit: 10}"):
        assert compose.compose("toy/default", [given]).balancer.weights == {"misfit": 10}
    assert compose.compose("toy/default", ["weights=null"]).balancer.weights is None
    compose.main(
        ["toy/default", "toy/default"], ["weights.misfit=3", "phases.adam.steps=2"], ["-m"]
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["balancer.weights.misfit=3"], "follows weights.misfit; set weights.misfit=3 instead"),
        (["balancer.weights={misfit: 3}"], "follows weights; set weights={misfit: 3} instead"),
        (["weights.misfit=3", "balancer=ntk"], "weights.misfit: expected a balancer that takes"),
        (["weights={misfit: 3}", "balancer=dwa"], "weights: expected a balancer that takes weig"),
        (["weights.misfid=3"], "weights: no loss term is called 'misfid'; did you mean 'misfit'"),
        (["weights=3"], "weights: expected Mapping"),
    ],
)
def test_weights_that_are_not_taken_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose.run("toy", *overrides)
    assert not Path("runs").exists()


def test_a_rule_within_a_rule_may_take_the_weights() -> None:
    words = ["balancer=samo", "weights.misfit=3", "+balancer.inner.weights=${weights}"]
    assert compose.run("toy", "phases.adam.steps=2", *words).metrics["steps"] == 2


def test_a_run_from_before_the_weights_had_a_key_of_their_own_is_evaluated() -> None:
    run = compose.run("toy", "phases.adam.steps=2", "weights.misfit=3").path
    file = run / "config.yaml"
    text = file.read_text()
    for new, old in (
        ("weights:\n  misfit: 3\nequations: residual\n", ""),
        ("  weights: ${weights}\n", "  weights:\n    misfit: 3\n"),
    ):
        assert new in text
        text = text.replace(new, old)
    file.write_text(text)
    assert compose.evaluate(run)["steps"] == 2


def test_other_exceptions_pass_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(execution, "build", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        compose.main(["toy/default"], [])


def test_cfg_job_is_hydras_own(capsys: pytest.CaptureFixture[str]) -> None:
    compose.main(["toy/default"], ["seed=5"], ["--cfg", "job"])
    assert "seed: 5" in capsys.readouterr().out
    assert not Path("runs").exists()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sciml", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CASES.parents[1])},
    )


@pytest.mark.slow
def test_jobs_sent_to_other_processes_find_the_cases() -> None:
    pytest.importorskip("submitit", reason="needs the extra 'slurm'")
    words = ("toy", "seed=1,2", "run_dir=sweep", "-m", "hydra/launcher=submitit_local")
    done = command("run", *words)
    assert done.returncode == 0, done.stderr
    assert [runs.load_config(f"sweep/{i}")["seed"] for i in range(2)] == [1, 2]
    assert all(runs.read_metrics(f"sweep/{i}")["steps"] == 20 for i in range(2))


@pytest.mark.slow
def test_two_ranks_share_one_folder_in_every_job_of_a_sweep() -> None:
    done = command("run", "toy", "trainer.devices=2", "seed=1,2", "-m")
    assert done.returncode == 0, done.stderr
    folders = list(runs.find_runs("runs/toy/default"))
    assert len(folders) == 2
    assert all(runs.read_metrics(folder)["steps"] == 20 for folder in folders)
    assert not [file for folder in folders for file in folder.glob("**/*.part")]


def test_export_writes_a_bundle(finished: compose.Result) -> None:
    compose.export(finished.path, "bundle", ["pt2"])
    document = json.loads(Path("bundle/sciml.json").read_text())
    assert document["metadata"]["case"] == "toy/default"
    assert "host" not in document["metadata"], "a bundle is given away; the machine stays unnamed"

"""submit, status, logs, cancel and resume with stand-ins for SLURM's commands."""

import json
import shlex
from pathlib import Path

import pytest

from sciml import cli, runs
from sciml.launch import queue, record, signals, status

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; SLURM's stand-ins are written into it."""
    work, folder = tmp_path / "work", tmp_path / "bin"
    work.mkdir()
    folder.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("SCIML_CASES_PATH", str(ROOT / "tests/cases"))
    return folder


def stand_in(folder: Path, name: str, says: str = "", code: int = 0, complains: str = "") -> None:
    """A command that notes its arguments in `NAME.calls`."""
    lines = [
        "#!/bin/bash",
        f'echo "$*" >> {folder}/{name}.calls',
        f"echo {shlex.quote(complains)} >&2" if complains else ":",
        f"printf %s {shlex.quote(says)}",
        f"exit {code}",
    ]
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / name).chmod(0o755)


def calls(folder: Path, name: str) -> list[str]:
    file = folder / f"{name}.calls"
    return file.read_text().splitlines() if file.exists() else []


def refused(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


TOY = ("submit", "toy", "hpc=local", "check=false")


def test_without_slurm_only_writing_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert "submit=false writes the job script" in refused(*TOY, capsys=capsys)
    assert not Path("runs").exists()
    assert cli.main([*TOY, "submit=false", "nodes=2", "hpc.devices=3", "run_dir=a"]) == 0
    out = capsys.readouterr().out
    assert "#SBATCH --ntasks-per-node=3" in out and "submit it with: sbatch a/job.sbatch" in out
    trainer = runs.load_config("a")["trainer"]
    assert (trainer["nodes"], trainer["devices"], trainer["accelerator"]) == (2, 3, "cpu")
    assert cli.main(["status", "a"]) == 0
    assert "not submitted" in capsys.readouterr().out


def test_what_is_written_is_what_is_submitted(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(programs, "sbatch", says="41;cluster\n")
    assert cli.main([*TOY, "seed=3"]) == 0
    (folder,) = Path("runs/toy/default").iterdir()
    assert calls(programs, "sbatch") == [f"--parsable {folder.absolute()}/job.sbatch"]
    assert runs.load_config(folder)["seed"] == 3
    assert runs.load_config(folder)["run_dir"] == str(folder.absolute())
    assert (folder / "job.id").read_text() == "41\n"
    assert f"job 41: sciml status {folder}" in capsys.readouterr().out
    assert "export SCIML_CASES_PATH=" in (folder / "job.sbatch").read_text()


def test_staged_arrays_lie_in_the_sites_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCIML_STAGE", raising=False)
    command = (*TOY, "submit=false", f"hpc.scratch={tmp_path}", "run_dir=a")
    assert cli.main(command) == 0
    assert f"export SCIML_STAGE={tmp_path}/staged\n" in Path("a/job.sbatch").read_text()
    monkeypatch.setenv("SCIML_STAGE", "/fast")
    assert cli.main(command) == 0
    assert "export SCIML_STAGE=/fast\n" in Path("a/job.sbatch").read_text()


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("Invalid account or account/partition combination specified", "give hpc.account="),
        ("invalid partition specified: gpuu", "'sinfo' lists them"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "shorter hpc.time"),
        ("Requested node configuration is not available", "ask for less"),
        ("Unable to contact slurm controller (connect failure)", "try again later"),
        ("Invalid qos specification", "give hpc.qos="),
        ("Something new", "Something new ("),
    ],
)
def test_sbatch_is_heard(
    programs: Path, capsys: pytest.CaptureFixture[str], complaint: str, remedy: str
) -> None:
    full = f"sbatch: error: Batch job submission failed: {complaint}"
    stand_in(programs, "sbatch", code=1, complains=full)
    said = refused(*TOY, "run_dir=a", capsys=capsys)
    assert f"sbatch: {complaint}" in said and remedy in said and "a/job.sbatch is written" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy"], "expected hpc=SITE, got none; 'sciml list sites' shows them"),
        (["toy", "hpc=locl"], "did you mean 'local'"),
        (["tooy", "hpc=local"], "did you mean 'toy'"),
        ([], "expected the name of a case, got none"),
        (["toy", "toy", "hpc=local"], "got 'toy' and 'toy'"),
        (["toy,toy/long", "hpc=local"], "several cases need -m"),
        (["toy", "hpc=local", "--multi"], "got '--multi'; did you mean '--multirun'"),
        (["toy", "hpc=local", "trainer.devices=2"], "set hpc.devices=… instead"),
        (["toy", "hpc=local", "account=m1"], "is written hpc.account=m1"),
        (["toy", "hpc=local", "seed=1,2"], "add -m for a sweep"),
        (["toy", "hpc=local", "sed=1"], "did you mean 'seed'"),
        (["toy", "hpc=local", "submit=maybe"], "submit: expected true or false, got 'maybe'"),
        (["toy", "hpc=local", "throttle=0"], "throttle: expected a whole number >= 1"),
        (["toy", "hpc=local", "after=nowhere"], "after: expected the folder of a submitted run"),
        (["toy", "hpc=local", "throttle=2"], "throttle: expected a sweep, got one run"),
        (["hpc=local", "--"], "expected another command of sciml after --, got none"),
        (["hpc=local", "--", "exprt", "a"], "got 'exprt'; did you mean 'export'"),
        (["hpc=local", "--", "export", "a"], "the following arguments are required: --to"),
        (["hpc=local", "seed=1", "--", "evaluate", "a"], "expected no overrides before --"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused("submit", *words, *_unsubmitted(words), capsys=capsys)
    assert not Path("runs").exists()


@pytest.mark.parametrize(("command", "ranks"), [("forecast", 3), ("export", 1)])
def test_ranks_share_a_forecast(command: str, ranks: int, capsys: pytest.CaptureFixture) -> None:
    inner = {
        "forecast": ["forecast", "a", "--start", "0", "--steps", "2", "--out", "f.zarr"],
        "export": ["export", "a", "--to", "b"],
    }[command]
    words = ["submit", "hpc=local", "submit=false", "hpc.devices=3", "run_dir=j", "--", *inner]
    assert cli.main(words) == 0, capsys.readouterr().err
    assert f"#SBATCH --ntasks-per-node={ranks}\n" in Path("j/job.sbatch").read_text()


def _unsubmitted(words: list[str]) -> list[str]:
    return [] if "--" in words or "submit=maybe" in words else ["submit=false"]


def test_a_rehearsal_finds_what_the_job_would_find_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["submit", "hpc=local", "submit=false", "hpc.devices=2"]
    short = ["derivatives=autograd", "sampling.points.residual=1"]
    said = refused(*words, "helmholtz_2d/m4", *short, capsys=capsys)
    assert "expected a point of the equations for each of 2 ranks, got 1" in said
    said = refused(*words, "helmholtz_2d/m4", "trainer.strategy=fsdp", capsys=capsys)
    assert "residuals need whole parameters and CollocationLoss is made of them" in said
    said = refused(*words, "helmholtz_2d/levenberg_marquardt", capsys=capsys)
    assert "expected one process, got 2" in said and "trainer.devices" not in said
    said = refused(*TOY[:-1], "submit=false", "system.points=-1", capsys=capsys)
    assert "points: expected > 0, got -1" in said
    assert not Path("runs").exists()


def test_data_are_not_made_on_the_login_node(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be told without them is told; the job makes the archive."""
    words = ["submit", "hpc=local", "submit=false", "weather_shallow_water/mse"]
    assert "for each of 3 ranks in a batch, got 2" in refused(
        *words, "hpc.devices=3", capsys=capsys
    )
    fsdp = ["trainer.strategy=fsdp", "balancer=pcgrad"]
    assert "rule of losses with trainer.strategy=fsdp" in refused(*words, *fsdp, capsys=capsys)
    assert "windows.batch: expected the windows of a step, got none" in refused(
        *words, "~windows.batch", capsys=capsys
    )
    assert "evaluation: expected steps >= 1" in refused(
        *words, "evaluation.steps=[0]", capsys=capsys
    )
    assert cli.main([*words, "hpc.devices=2", "run_dir=a"]) == 0
    words[-1] = "tactile_identify"
    assert "unknowns.nu: unknown: expected 0.3 < start < 0.493" in refused(
        *words, "unknowns.nu.start=2.0", capsys=capsys
    )
    adam = "phases.fit.optimizer={_target_:torch.optim.Adam,_partial_:true}"
    assert "presses: expected one for each of 2 ranks, got 1" in refused(
        *words, adam, "hpc.devices=2", capsys=capsys
    )
    assert cli.main([*words, "run_dir=b"]) == 0
    words[-1] = "weather_era5_1deg"
    assert "expected data at runs/data/era5_1deg.zarr, found nothing" in refused(
        *words, capsys=capsys
    )
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b"]


def test_a_limit_below_the_time_between_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten seconds a step, as the run's own history says: 1000 steps are longer than an hour."""
    run = Path("a")
    run.mkdir()
    (run / "history.csv").write_text("step,wall_s\n1,10\n2,20\n")
    said = refused(*TOY, "submit=false", "run_dir=a", capsys=capsys)
    assert "about 10000 s in" in said and "set trainer.save_every=90 or a longer" in said
    assert cli.main([*TOY, "submit=false", "run_dir=a", "trainer.save_every=90"]) == 0


def test_a_sweep_has_a_folder_a_member(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(programs, "sbatch", says="7\n")
    words = ["submit", "toy,toy/long", "hpc=local", "check=false", "run_dir=s", "throttle=2"]
    assert cli.main([*words, "seed=1,2", "system.points=8", "-m"]) == 0
    found = [runs.load_config(f"s/{i}") for i in range(4)]
    assert [(c["case"], c["seed"]) for c in found] == [
        ("toy/default", 1), ("toy/default", 2), ("toy/long", 1), ("toy/long", 2)
    ]  # fmt: skip
    assert all(c["system"]["points"] == 8 for c in found)
    assert "#SBATCH --array=0-3%2" in Path("s/job.sbatch").read_text()
    states = "7_0|COMPLETED|None|0:00|n1\n7_1|RUNNING|None|59:00|n2\n7_3|FAILED|NonZeroExitCode||\n"
    stand_in(programs, "squeue", says=states + "7_2|PENDING|JobArrayTaskLimit|1:00:00|\n")
    Path("s/3/job.log").write_text("sciml: points: expected > 0\nsrun: error: task 0\n")
    assert cli.main(["status", "s"]) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[2] for line in lines] == ["COMPLETED", "RUNNING", "PENDING", "FAILED"]
    assert "on n2, 59:00 left" in lines[1] and "JobArrayTaskLimit" in lines[2]
    assert "points: expected > 0" in lines[3] and "srun" not in lines[3]
    stand_in(programs, "scancel")
    assert cli.main(["cancel", "s/2"]) == 0
    assert calls(programs, "scancel") == ["7_2"]
    assert "one member to follow" in refused("logs", "-f", "s", capsys=capsys)


def test_a_folder_whose_job_is_not_over_is_refused(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(programs, "sbatch", says="7\n")
    assert cli.main([*TOY, "run_dir=a"]) == 0
    stand_in(programs, "squeue", says="7|PENDING|Priority|1:00:00|\n")
    assert "a has job 7, which waits or runs" in refused(*TOY, "run_dir=a", capsys=capsys)
    stand_in(programs, "squeue", says="7|TIMEOUT|TimeLimit||\n")
    assert cli.main([*TOY, "run_dir=a", "hpc.time=02:00:00"]) == 0
    assert "holds a run with seed=0, got seed=1" in refused(
        *TOY, "run_dir=a", "seed=1", capsys=capsys
    )


@pytest.mark.parametrize(
    ("squeue", "option"),
    [
        ("7|RUNNING|None|59:00|n1\n", "--dependency=afterok:7 --kill-on-invalid-dep=yes "),
        ("7|COMPLETED|None||n1\n", ""),
        ("7|FAILED|NonZeroExitCode||n1\n", None),
    ],
)
def test_after(
    programs: Path, capsys: pytest.CaptureFixture[str], squeue: str, option: str | None
) -> None:
    """Waits for what runs, does not wait for what is done, refuses what has failed."""
    stand_in(programs, "sbatch", says="7\n")
    assert cli.main([*TOY, "run_dir=a"]) == 0
    stand_in(programs, "squeue", says=squeue)
    command = ["submit", "hpc=local", "run_dir=b", "after=a", "--", "evaluate", "a"]
    if option is None:
        assert "after: a did not finish" in refused(*command, capsys=capsys)
        return
    assert cli.main(command) == 0
    script = Path("b/job.sbatch").absolute()
    assert calls(programs, "sbatch")[-1] == f"--parsable {option}{script}"
    assert "-m sciml evaluate a" in script.read_text()


def test_what_squeue_has_forgotten_the_accounting_may_know(programs: Path) -> None:
    stand_in(programs, "squeue", code=1, complains="slurm_load_jobs error: Invalid job id 7")
    assert queue.entries("7") == {}  # no sacct at all
    stand_in(programs, "sacct", code=1, complains="Slurm accounting storage is disabled")
    assert queue.entries("7") == {}
    stand_in(programs, "sacct", says="7_0|COMPLETED|0:0\n7_1|CANCELLED by 0|1:0\n")
    found = queue.entries("7")
    assert {i: (e.state, e.reason) for i, e in found.items()} == {
        0: ("COMPLETED", ""), 1: ("CANCELLED", "ExitCode 1")
    }  # fmt: skip


def test_a_controller_that_is_away_is_not_a_lost_job(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(programs, "sbatch", says="7\n")
    assert cli.main([*TOY, "run_dir=a"]) == 0
    stand_in(programs, "squeue", code=1, complains="slurm_load_jobs error: Unable to contact")
    assert "squeue: slurm_load_jobs error: Unable to contact" in refused(
        "status", "a", capsys=capsys
    )


def test_forgotten_jobs_are_known_by_their_files(programs: Path) -> None:
    stand_in(programs, "sbatch", says="7\n")
    stand_in(programs, "squeue")
    assert cli.main([*TOY, "run_dir=a"]) == 0
    assert status.outcome(record.find("a")) == "failed"
    assert "ended" in status.table(["a"])
    Path("a/job.code").write_text("0\n")
    assert status.outcome(record.find("a")) == "finished"
    Path("a/job.code").write_text("2\n")  # and was then finished by hand
    Path("a/metrics.json").write_text('{"steps": 20, "rel_l2/y": 0.5}')
    assert status.outcome(record.find("a")) == "finished"
    assert "COMPLETED  20/20  0.5" in status.table(["a"])


def test_logs(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(programs, "sbatch", says="7\n")
    stand_in(programs, "squeue", says="7|COMPLETED|None||\n")
    assert cli.main([*TOY, "run_dir=a"]) == 0
    assert "a has no log yet" in refused("logs", "a", capsys=capsys)
    Path("a/job.log").write_text("one\ntwo\n")
    for words in (["logs", "a"], ["logs", "-f", "a"]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out == "one\ntwo\n"
    assert "expected the folder of a submitted run" in refused("logs", "b", capsys=capsys)


def test_resume_carries_out_the_written_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was composed at submission counts, and a signal that came before training is obeyed."""
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(signals, "_received", 10)
    assert cli.main([*TOY, "submit=false", "run_dir=a", "seed=5"]) == 0
    assert cli.main(["resume", "a"]) == 75
    said = "stopped by SIGUSR1 after step 1 of 20, which is saved"
    assert said in capsys.readouterr().err and said in Path("a/.interrupted").read_text()
    monkeypatch.setattr(signals, "_received", 0)
    assert cli.main(["resume", "a"]) == 0
    assert "going on from step 1 of 20" in capsys.readouterr().err
    assert json.loads(Path("a/metrics.json").read_text())["steps"] == 20
    assert cli.main(["run", "toy", "run_dir=b", "seed=5"]) == 0
    ours, other = (Path(run, "metrics.json").read_text() for run in ("a", "b"))
    assert json.loads(ours)["rel_l2/y"] == json.loads(other)["rel_l2/y"]

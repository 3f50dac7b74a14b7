"""The command line: light, one line for a mistake, exit codes, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import cli, compose
from sciml.catalogue import SEARCH_VARIABLE
from sciml.contracts import Diverged, UserError

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(__file__).parent / "cases"
HEAVY = "torch hydra omegaconf yaml deepxde pytorch_lightning lightning numpy xarray matplotlib"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SEARCH_VARIABLE, str(CASES))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def answer(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(words)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    "command",
    [
        "['--help']",
        "['list']",
        "['list', 'runs']",
        "['list', 'balancers']",
        "['list', 'sites']",
        "['status']",
        "['rnu']",
    ],
)
def test_standard_library_only_and_under_300_ms(command: str) -> None:
    code = (
        "import sys\nfrom sciml.cli import main\n"
        f"try: main({command})\nexcept SystemExit: pass\n"
        f"loaded = [m for m in '{HEAVY}'.split() if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        after = os.times()
        used = after.children_user + after.children_system
        seconds.append(used - before.children_user - before.children_system)
    assert min(seconds) < 0.3


def test_import_is_light() -> None:
    code = (
        f"import sciml, sys; print([m for m in '{HEAVY}'.split() if m in sys.modules], dir(sciml))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("[] ["), done.stderr
    assert "'run'" in done.stdout and "'load_surrogate'" in done.stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sciml", "run", "tooy"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'toy'?" in done.stderr


def test_list_shows_cases_and_titles(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = answer("list", capsys=capsys)
    assert code == 0
    assert "toy/default" in out and "y = 2x from sixteen points" in out
    assert "_part" not in out


@pytest.mark.parametrize("kind", ["balancers", "balancer"])
def test_list_takes_the_singular(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [line.split()[0] for line in answer("list", kind, capsys=capsys)[1].splitlines()]
    assert {"annealing_paper", "fixed"} <= set(listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu toy", "expected a command .* did you mean 'run'?"),
        ("list casess", "did you mean 'cases'?"),
        ("run", "expected the name of a case, got none"),
        ("run tooy", "did you mean 'toy'?"),
        ("run toy/defaultt", "did you mean 'toy/default'?"),
        ("run toy long", "expected one case"),
        ("run toy,toy/long", "several cases need -m"),
        ("run toy -m --cfg job", "expected either -m or --cfg"),
        ("run toy seed = 1", "no spaces around ="),
        ("run toy seed =1", "no spaces around ="),
        ("run toy seed=0,1", "seed: .* add -m for a sweep"),
        ("run toy --mutlirun", "did you mean '--multirun'?"),
        ("run toy balancer=fixd", "did you mean 'fixed'?"),
        ("run toy balanzer=fixed", "did you mean 'balancer'?"),
        ("run toy system.points=abc", "expected int, got 'abc'"),
        ("run toy -m balancer=fixed,fixd", "did you mean 'fixed'?"),
        ("run toy balancer=null", "balancer: expected one of .* got 'null'"),
        ("run toy =3", "expected key=value, got '=3'"),
        ("run toy case=toy/long", "expected the case as a word of its own"),
        ("run toy --cfg jb", "expected one of job, hydra, all after --cfg, got 'jb'.*'job'"),
        ("run toy --cfg", "expected one of job, hydra, all after --cfg, got ''"),
        ("show toy cases=x", "expected the case as a word of its own"),
        ("show toy -m", "expected an option of 'sciml show --help'"),
        ("evaluate nowhere", "expected a run folder"),
        ("compare nowhere", "expected a run folder"),
        ("export nowhere --to x", "expected a run folder"),
        ("export nowhere", "required: --to"),
        ("completion fish", "invalid choice: 'fish'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    code, out, err = answer(*words.split(), capsys=capsys)
    assert code == 2
    assert not out
    assert err.startswith("sciml: ") and err.count("\n") == 1
    assert re.search(said, err), err


def test_exit_codes_follow_the_exception(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: BaseException) -> int:
        def run(*_: object) -> None:
            raise error

        monkeypatch.setattr(compose, "main", run)
        return cli.main(["run", "toy"])

    wrapped = RuntimeError("Error in call to target")
    wrapped.__cause__ = UserError("the\nreason")
    ended = SystemExit(1)
    ended.__context__ = KeyboardInterrupt()
    assert fail(Diverged("the term became NaN")) == 3
    assert fail(wrapped) == 2
    assert fail(KeyboardInterrupt()) == 130
    assert fail(ended) == 130
    assert "sciml: the reason\n" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError("a bug"))


CODE = """import math
import torch
from sciml_cases.toy import case as toy

def system(points: int, seed: int):
    {line}
    return toy.system(points, seed)
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("toy.system(points, seed, exakt=1)", "6: TypeError: .*keyword argument 'exakt'"),
        ("toy.system(points)", "6: TypeError: .*missing 1 required .*'seed'"),
        ("math.pii", "6: AttributeError: .*'pii'"),
        ("math.cos(torch.ones(3))", "6: (ValueError|RuntimeError): "),
        ("def (", "6: SyntaxError: "),
        ("import torhc", "6: ModuleNotFoundError: .*'torhc'; did you mean 'torch'"),
    ],
)
def test_a_mistake_in_a_case_names_its_line(
    line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    name = f"bad{abs(hash(line))}"
    folder = Path("cases") / name
    folder.mkdir(parents=True)
    (folder / "case.py").write_text(CODE.format(line=line))
    (folder / "default.yaml").write_text(
        "# @package _global_\ndefaults: [toy/default, _self_]\n"
        f"system: {{_target_: sciml_cases.{name}.case.system}}\n"
    )
    code, _, err = answer("run", name, "phases.adam.steps=2", capsys=capsys)
    assert code == 2 and err.count("\n") == 1
    assert re.match(f"sciml: cases/{name}/case.py:{said}", err), err
    assert "pip install" not in err and "SCIML_TRACEBACK=1" in err
    monkeypatch.setenv("SCIML_TRACEBACK", "1")
    with pytest.raises(Exception, match="."):
        cli.main(["run", name, "phases.adam.steps=2"])


def test_flags_come_first_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], ...]] = []
    monkeypatch.setattr(compose, "main", lambda *given: seen.append(given))
    cli.main(["run", "toy,toy/long", "seed=1,2", "-m"])
    cli.main(["run", "--cfg", "job", "toy", "seed=1"])
    assert seen == [
        (["toy/default", "toy/long"], ["seed=1,2"], ["-m"]),
        (["toy/default"], ["seed=1"], ["--cfg", "job"]),
    ]


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli._COMMANDS:
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0
        assert f"usage: sciml {command}" in capsys.readouterr().out


def complete(line: str, script: Path) -> set[str]:
    """What bash offers at the end of a line; it splits words at spaces and at `=`."""
    words = line.replace("=", " = ").split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_LINE='{line}'; COMP_POINT={len(line)}; "
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _sciml; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert not done.stderr
    return set(done.stdout.split())


def test_bash_completes_commands_cases_and_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(answer("completion", "bash", capsys=capsys)[1])
    assert complete("sciml ev", script) == {"evaluate"}
    assert complete("sciml run to", script) == {"toy", "toy/default", "toy/long"}
    assert complete("sciml run toy trainer=", script) == {"cpu", "gpu"}
    assert "balancers" in complete("sciml list ba", script)
    assert complete("sciml submit toy hpc=lo", script) == {"local"}


def test_zsh_reads_the_same_script(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer("completion", "zsh", capsys=capsys)[1]
    assert out.startswith("autoload -U +X bashcompinit")

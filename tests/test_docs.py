"""What the documents say is so: the walk-through trains, commands exist, tables are current."""

import csv
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sciml import catalogue, checks, cli, compose, diagnosis
from sciml.catalogue import SEARCH_VARIABLE
from sciml.compose import configuration

ROOT = Path(__file__).resolve().parents[1]
WALK = ROOT / "docs/add_a_case.md"
FOLDERS = (".", "docs", "cases/*", "benchmarks", "data", "hpc")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))
RUN_FOLDER = (
    *("config.yaml", "provenance.json", "metrics.json", "history.csv", "result.nc"),
    *("checkpoints/last.ckpt", "figures/gradients.png", "report.html"),
)


def files(page: Path) -> dict[str, str]:
    """Path → content of the files that a page asks its reader to write."""
    named = r"^File `([^`]+)`:\n\n```\w+\n(.*?)^```$"
    return dict(re.findall(named, page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def commands(page: Path) -> Iterator[str]:
    """The lines of code blocks that start with `sciml`, and such within the text with arguments."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4,}(\S.*)$", prose, re.MULTILINE)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    for line in (*lines, *indented):
        plain = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
        if plain.startswith("sciml "):
            yield plain
    yield from (line.replace("\n", " ") for line in re.findall(r"`(sciml [^\s`]+\s[^`]+)`", prose))


COMMANDS = sorted({(command, page) for page in PAGES for command in commands(page)})


def is_placeholder(word: str) -> bool:
    """CASE, RUN, case/NAME, key=value, [--format …]: what a reader replaces."""
    value = word.rpartition("=")[2]
    letters = re.fullmatch(r"[A-Z]{2,}", re.split(r"[/,]", value)[-1])
    return bool(letters) or "…" in word or word.startswith("[") or "key=value" in word


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a reader of the walk-through has written its files."""
    for name, content in files(WALK).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SEARCH_VARIABLE, "")
    catalogue.install_namespace()
    return tmp_path


def test_the_walk_through_has_two_files_of_under_60_lines() -> None:
    written = files(WALK)
    assert sorted(written) == ["cases/my_burgers/case.py", "cases/my_burgers/default.yaml"]
    assert sum(content.count("\n") for content in written.values()) < 60


def test_the_walk_through_trains(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = "sampling.points={residual: 100, start: 32, left: 16, right: 16}"
    short = ["phases.adam.steps=200", "trainer.log_every=50", points, "sampling.grid=[41,21]"]
    assert cli.main(["run", "my_burgers", *short, "run_dir=runs/first"]) == 0, capsys.readouterr()
    run = reader / "runs/first"
    missing = [name for name in RUN_FOLDER if not (run / name).is_file()]
    assert not missing
    with (run / "history.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    terms = [name for name in rows[0] if name.startswith("loss/")]
    assert terms == ["loss/residual", "loss/start", "loss/walls"]
    first, last = (sum(float(row[name]) for name in terms) for row in (rows[0], rows[-1]))
    assert last < first / 2
    assert json.loads((run / "metrics.json").read_text())["steps"] == 200


@pytest.mark.parametrize(
    ("command", "page"), COMMANDS, ids=[f"{page.stem}: {command}" for command, page in COMMANDS]
)
def test_the_command_exists(command: str, page: Path, reader: Path) -> None:
    name, *words = shlex.split(command, comments=True)[1:] or ["--help"]
    assert name in cli._COMMANDS or name in ("--help", "--version")
    if any(map(is_placeholder, words)) or name.startswith("--"):
        return
    if name in ("run", "show"):
        check_configuration(name, words)
    elif name == "submit":
        cli.launch.submit([*words, "submit=false", "check=false"])
    elif words or name == "list":
        cli._parser().parse_args([name, *words])


def check_configuration(name: str, words: list[str]) -> None:
    """Known case, choices and keys: composed, and not run. A sweep is checked by its first job."""
    asked = cli._split(name, words)
    overrides = asked.overrides
    diagnosis.check_form(overrides)
    diagnosis.check_choices(overrides)
    if asked.flags:
        overrides = [re.sub(r"=([^\[{(,]*),[^\[{]*$", r"=\1", word) for word in overrides]
    for case in asked.cases:
        config = compose.compose(case, overrides)
        checks.check_run(*reversed(configuration.unwrapped(config)))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_and_scripts_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    scripts = re.findall(r"python (benchmarks/\w+\.py)", text)
    assert not broken + [script for script in scripts if not (ROOT / script).is_file()]


def test_tables_of_the_cases_are_what_the_results_say() -> None:
    script = ROOT / "benchmarks/gradient_pathologies.py"
    spec = importlib.util.spec_from_file_location("gradient_pathologies", script)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = benchmark.recorded()
    for page in benchmark.readmes():
        text = page.read_text(encoding="utf-8")
        assert benchmark.with_table(text, page.parent.name, found) == text, (
            f"{page.relative_to(ROOT)}: python benchmarks/gradient_pathologies.py --table --readmes"
        )

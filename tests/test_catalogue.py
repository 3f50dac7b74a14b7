"""Cases and choices are found from a checkout, the current folder and the search path."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import catalogue, compose
from sciml.contracts import UserError

CASES = Path(__file__).parent / "cases"
YAML = "# @package _global_\n# What it is\nseed: 1\n"


def make_case(root: Path, name: str, text: str = YAML) -> Path:
    file = root / "cases" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(catalogue.SEARCH_VARIABLE, raising=False)
    return tmp_path


def test_home_holds_conf() -> None:
    assert (catalogue.home() / "conf" / "run.yaml").is_file()


def test_cases_of_the_current_folder_are_listed_with_their_first_comment(elsewhere: Path) -> None:
    make_case(elsewhere, "mine/m1")
    assert catalogue.cases()["mine/m1"].title == "What it is"


def test_parts_and_other_yaml_files_are_no_cases(elsewhere: Path) -> None:
    make_case(elsewhere, "mine/_shared")
    make_case(elsewhere, "mine/notes", "a: 1\n")
    assert not [name for name in catalogue.cases() if name.startswith("mine/")]


@pytest.mark.parametrize("entry", ["work/cases", "work"])
def test_search_path_takes_the_folder_or_its_parent(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    file = make_case(elsewhere / "work", "mine/m1")
    monkeypatch.setenv(catalogue.SEARCH_VARIABLE, str(elsewhere / entry))
    assert catalogue.find_case("mine/m1").file == file


def test_search_path_refuses_a_folder_by_another_name(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.SEARCH_VARIABLE, str(elsewhere))
    with pytest.raises(UserError, match="expected a folder called 'cases'"):
        catalogue.cases()


def test_a_folder_means_its_default_variant(elsewhere: Path) -> None:
    make_case(elsewhere, "mine/default")
    assert catalogue.find_case("mine").name == "mine/default"


def test_a_folder_without_default_names_its_variants(elsewhere: Path) -> None:
    make_case(elsewhere, "mine/m1")
    make_case(elsewhere, "mine/m2")
    with pytest.raises(UserError, match="choose one of mine/m1, mine/m2"):
        catalogue.find_case("mine")


@pytest.mark.parametrize(("name", "near"), [("mien/m1", "mine/m1"), ("mine/m3", "mine/m")])
def test_an_unknown_case_is_answered_with_the_nearest(
    elsewhere: Path, name: str, near: str
) -> None:
    make_case(elsewhere, "mine/m1")
    make_case(elsewhere, "mine/default")
    with pytest.raises(UserError, match=f"got '{name}'; did you mean '{near}"):
        catalogue.find_case(name)


def test_a_conf_beside_the_users_cases_adds_choices(elsewhere: Path) -> None:
    make_case(elsewhere, "mine/default")
    choice = elsewhere / "conf" / "balancer" / "mine.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text("_target_: x\n")
    assert {"fixed", "mine"} <= set(catalogue.groups()["balancer"])


def test_kinds_are_plurals() -> None:
    kinds = catalogue.kinds()
    assert {"cases", "balancers", "optimizers", "networks", "derivatives", "sampling"} <= set(kinds)


def test_namespace_spans_all_roots(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_case(elsewhere, "mine/default")
    (elsewhere / "cases" / "mine" / "case.py").write_text('"""Mine."""\nNUMBER = 42\n')
    monkeypatch.setenv(catalogue.SEARCH_VARIABLE, str(CASES))
    catalogue.install_namespace()
    assert importlib.import_module("sciml_cases.mine.case").NUMBER == 42
    assert importlib.import_module("sciml_cases.toy.case").Misfit.terms == ("misfit",)


def test_a_process_started_elsewhere_sees_the_same_cases(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_case(elsewhere, "mine/default")
    monkeypatch.setenv(catalogue.SEARCH_VARIABLE, str(CASES))
    catalogue.export_search_path()
    code = "from sciml import catalogue; print(*catalogue.cases())"
    root = str(Path(catalogue.__file__).parents[1])
    there = elsewhere / "there"
    there.mkdir()
    monkeypatch.setenv("PYTHONPATH", root)
    listed = subprocess.run([sys.executable, "-c", code], cwd=there, capture_output=True, text=True)
    assert {"mine/default", "toy/default"} <= set(listed.stdout.split()), listed.stderr


@pytest.mark.parametrize(
    ("name", "near"), [("anealing", "annealing"), ("fixd", "fixed"), ("xyz", None)]
)
def test_nearest(name: str, near: str | None) -> None:
    assert catalogue.nearest(name, ["annealing", "fixed", "ntk"]) == near


def test_a_case_that_is_no_yaml_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cases" / "mine"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text("# @package _global_\n# mine\nseed: {a: ???}\n")
    monkeypatch.setenv(catalogue.SEARCH_VARIABLE, str(tmp_path / "cases"))
    with pytest.raises(UserError, match=r"default\.yaml, line 3: not YAML"):
        compose.compose("mine/default", [])

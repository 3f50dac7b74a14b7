"""The wheel carries configuration and cases, and works from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CARRIED = ("conf", "cases", "hpc", "data")
SHORT = ("phases.adam.steps=2",)


@dataclass(frozen=True)
class Installed:
    """A wheel, and a clean environment outside the checkout that has it installed."""

    wheel: Path
    folder: Path

    def run(self, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in `cwd`, seeing nothing of the checkout."""
        hidden = ("PYTHONPATH", "SCIML_CASES_PATH", "VIRTUAL_ENV")
        environment = {k: v for k, v in os.environ.items() if k not in hidden} | variables
        program = [str(self.folder / "bin" / words[0]), *words[1:]]
        return subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build(folder)
    venv.create(folder / "env", symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "env/bin/python")]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
    lend_dependencies(folder / "env")
    return Installed(wheel, folder / "env")


def build(folder: Path) -> Path:
    """Build from a copy, so that neither leftovers in `build/` nor ours in the checkout matter."""
    source = folder / "source"
    skip = shutil.ignore_patterns(".*", "tests", "runs", "build", "dist", "*.egg-info", "multirun")
    shutil.copytree(ROOT, source, ignore=skip)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source])
    return next(folder.glob("*.whl"))


def lend_dependencies(environment: Path) -> None:
    """Put our site-packages on the path by a `.pth` line: its own `.pth` files stay unread, so the
    editable install of the checkout stays out of sight."""
    site = next(environment.glob("lib/python*/site-packages"))
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "lent.pth").write_text("\n".join(sorted(paths)) + "\n")


def run(command: list) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wheel_carries_every_file_and_nothing_else(installed: Installed) -> None:
    inside = {
        name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name
    }
    expected = set(files_below("sciml"))
    for name in CARRIED:
        expected |= {f"sciml/{file}" for file in files_below(name)}
    assert inside == expected


def files_below(folder: str) -> Iterator[str]:
    """The files of a folder of the checkout, by their path from its root."""
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix()


def test_package_comes_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    program = "import sciml, torch; print(sciml.__file__)"
    answer = installed.run("python", "-c", program, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()).is_relative_to(installed.folder)


def test_list_from_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    answer = installed.run("sciml", "list", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "helmholtz_2d" in answer.stdout


def test_run_a_packaged_case(installed: Installed, tmp_path: Path) -> None:
    answer = installed.run("sciml", "run", "helmholtz_2d", *SHORT, "run_dir=out", cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["steps"] == 2


def test_a_job_script_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    words = ["helmholtz_2d", "hpc=cpu", "submit=false", "check=false", "run_dir=out"]
    answer = installed.run("sciml", "submit", *words, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert (
        f"{installed.folder}/bin/python -m sciml resume"
        in (tmp_path / "out/job.sbatch").read_text()
    )


@pytest.mark.parametrize("place", ["working directory", "SCIML_CASES_PATH"])
def test_run_a_case_of_the_users(installed: Installed, tmp_path: Path, place: str) -> None:
    """The user's case is the packaged one under a new name: the path is tested and no more."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    cases = (here if place == "working directory" else elsewhere) / "cases"
    adopt(ROOT / "cases" / "helmholtz_2d", cases / "mine")
    variables = {} if place == "working directory" else {"SCIML_CASES_PATH": str(cases)}
    answer = installed.run("sciml", "run", "mine", *SHORT, "run_dir=out", cwd=here, **variables)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert (here / "out" / "metrics.json").is_file()
    assert "sciml_cases.mine" in (here / "out" / "config.yaml").read_text()


def adopt(case: Path, target: Path) -> None:
    """Copy a case folder under another name, inside its files too."""
    shutil.copytree(case, target, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [*target.rglob("*.yaml"), *target.rglob("*.py")]:
        file.write_text(file.read_text().replace(case.name, target.name))

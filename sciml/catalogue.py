"""Where configuration and cases live, what they are called, and the nearest name to a misspelt one.

A *case* is a YAML file with the header `# @package _global_` in a folder of its own under a folder
called `cases`: the packaged one, `./cases`, and those named in the variable `SCIML_CASES_PATH`.
Standard library only: the command line answers `--help` and `list` from here.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from sciml.contracts import UserError

NAMESPACE = "sciml_cases"
SEARCH_VARIABLE = "SCIML_CASES_PATH"
_HEADER = "# @package _global_"


@dataclass(frozen=True)
class Case:
    """One published row or variant: `name` is `folder/variant`, `title` its first comment line."""

    name: str
    file: Path
    title: str


def home() -> Path:
    """The folder that holds `conf/`, `cases/` …: inside the package in a wheel, else beside it."""
    package = Path(__file__).resolve().parent
    return package if (package / "conf").is_dir() else package.parent


def roots() -> tuple[Path, ...]:
    """Folders that hold a folder `cases`, by precedence: ours, the current one, the user's."""
    found = [home(), Path.cwd(), *_roots_from_environment()]
    return tuple(dict.fromkeys(root.resolve() for root in found if (root / "cases").is_dir()))


def _roots_from_environment() -> Iterator[Path]:
    for entry in filter(None, os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep)):
        folder = Path(entry).expanduser().absolute()
        if folder.name == "cases" and folder.is_dir():
            yield folder.parent
        elif (folder / "cases").is_dir():
            yield folder
        else:
            raise UserError(
                f"{SEARCH_VARIABLE}: expected a folder called 'cases' or one that holds it, "
                f"got '{entry}'; rename the folder or correct the variable"
            )


def export_search_path() -> None:
    """Writes every root into the environment, for child processes that start in other folders."""
    os.environ[SEARCH_VARIABLE] = os.pathsep.join(str(root / "cases") for root in roots())


def install_namespace() -> ModuleType:
    """Puts the namespace package `sciml_cases` over all case folders into `sys.modules`."""
    locations = [str(root / "cases") for root in roots()]
    module = sys.modules.get(NAMESPACE) or ModuleType(NAMESPACE, "The code of all cases.")
    spec = ModuleSpec(NAMESPACE, None, is_package=True)
    spec.submodule_search_locations = locations
    module.__spec__, module.__path__ = spec, locations
    sys.modules[NAMESPACE] = module
    return module


def cases() -> dict[str, Case]:
    """All variants by name; where two roots hold the same name the first root wins, as in Hydra."""
    found: dict[str, Case] = {}
    for root in roots():
        for file in sorted((root / "cases").glob("*/*.yaml")):
            name = f"{file.parent.name}/{file.stem}"
            if name not in found and not file.name.startswith("_") and _is_case(file):
                found[name] = Case(name, file, _title(file))
    return found


def find_case(name: str) -> Case:
    """The case `folder/variant`, or `folder` for its default variant.

    Raises:
        UserError: there is none; the nearest name is suggested.
    """
    known = cases()
    name = name.strip("/")
    for candidate in (name, f"{name}/default"):
        if candidate in known:
            return known[candidate]
    variants = [other for other in known if other.startswith(f"{name}/")]
    if variants:
        raise UserError(
            f"case '{name}' has no default variant; choose one of {', '.join(variants)}"
        )
    names = [*known, *{other.split("/")[0] for other in known}]
    raise UserError(
        f"expected the name of a case ('sciml list cases' shows all), got '{name}'"
        f"{suggestion(name, names)}"
    )


def conf_folders() -> tuple[Path, ...]:
    """Folders of shared choices: the packaged `conf/` and a `conf/` beside any folder of cases."""
    found = [home() / "conf", *(root / "conf" for root in roots())]
    return tuple(dict.fromkeys(folder.resolve() for folder in found if folder.is_dir()))


def groups() -> dict[str, dict[str, Path]]:
    """Choices by group: `{"balancer": {"fixed": conf/balancer/fixed.yaml, …}, …}`."""
    found: dict[str, dict[str, Path]] = {}
    for folder in conf_folders():
        for file in sorted(folder.glob("*/*.yaml")):
            if file.parent.name != "hydra" and not file.name.startswith("_"):
                found.setdefault(file.parent.name, {}).setdefault(file.stem, file)
    return dict(sorted(found.items()))


def sites() -> dict[str, Path]:
    """Clusters by name, the user's own before those that come with the package."""
    places = dict.fromkeys(root.resolve() for root in (Path.cwd(), *roots()[1:], home()))
    found: dict[str, Path] = {}
    for root in places:
        for file in sorted((root / "hpc" / "sites").glob("*.yaml")):
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def plural(group: str) -> str:
    """What `sciml list` calls a group: balancer → balancers; derivatives, sampling, uncertainty."""
    return group if group.endswith(("s", "ing", "ty")) else f"{group}s"


def kinds() -> dict[str, dict[str, str]]:
    """What can be listed: kind → name → one line about it."""
    listed = {"cases": {name: case.title for name, case in cases().items()}}
    for group, choices in groups().items():
        listed[plural(group)] = {name: _title(file) for name, file in choices.items()}
    listed["sites"] = {name: _title(file) for name, file in sites().items()}
    return listed


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like `name`, or None where nothing is near."""
    from difflib import get_close_matches

    names = sorted(set(names))
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        close = [other for other in names if other.startswith(name) and len(name) > 2]
    return close[0] if close else None


def suggestion(name: str, names: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or nothing where no name is near."""
    close = nearest(name, names)
    return f"; did you mean '{close}'?" if close else ""


def _is_case(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return any(line.strip() == _HEADER for line, _ in zip(lines, range(5), strict=False))


def _title(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.lstrip("#").strip()
            if line.startswith("#") and text and not text.startswith("@"):
                return text
            if line.strip() and not line.startswith("#"):
                break
    return ""

"""Says what is wrong with an override; finds the user's mistake inside a chain of exceptions."""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import Any, TypeVar

from sciml import catalogue
from sciml.catalogue import NAMESPACE, suggestion
from sciml.checks import referred, unknown_keyword
from sciml.contracts import UserError
from sciml.signatures import signature

_SIMPLE = re.compile(r"[\w./,-]+")
#: Nodes whose keys the user invents: a term's name is no key of the configuration's.
_FREE = ("weights",)
#: Import name → what pip calls it, for what sciml's extras bring.
_EXTRAS = {
    **{name: name for name in ("torchjd", "qpsolvers", "quadprog", "cvxpy", "clarabel", "ecos")},
    **{name: name for name in ("onnx", "onnxscript", "onnxruntime", "zarr", "dask", "gsw", "cma")},
    **{name: name for name in ("pytetwild", "ipctk", "meshio", "pyvista", "pypardiso")},
    "skfem": "scikit-fem",
    "hydra_plugins": "hydra-submitit-launcher",
}
#: What Hydra says of an import path that leads nowhere: the path, the wrong part, where it is not.
_UNFOUND = re.compile(
    r"Error loading '([^']+)'.*?Are you sure that '([^']+)' is [^']*'([^']+)'", re.DOTALL
)
#: Set to show the traceback of every mistake.
TRACEBACK = "SCIML_TRACEBACK"
_Error = TypeVar("_Error", bound=BaseException)


def cause(error: BaseException, kind: type[_Error]) -> _Error | None:
    """The first exception of a kind along the chain of causes."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__
    return found


def mistake(error: BaseException) -> BaseException | None:
    """The exception along the chain of causes that carries an `exit_code`: one of ours."""
    found: BaseException | None = error
    while found is not None and not hasattr(found, "exit_code"):
        found = found.__cause__
    return found


def located(error: BaseException) -> UserError | None:
    """A constructor's complaint, wrapped by Hydra, with the key of its node in front."""
    ours = mistake(error)
    where = re.search(r"^full_key: (\S+)", str(error), re.MULTILINE)
    if not isinstance(ours, UserError) or where is None:
        return None
    if str(ours).startswith("reference: "):
        return UserError(f"problem.{ours}{_searched(str(ours))}")
    return UserError(f"{where.group(1)}: {ours}")


def _searched(text: str) -> str:
    """The folder in which a missing reference was looked for."""
    file = re.search(r"got (.+), which does not exist", text)
    return f"; looked in {Path(file.group(1)).absolute().parent}" if file else ""


def exhausted(error: BaseException) -> UserError | None:
    """Memory that could not be had, as for a layer of absurd width; None for other mistakes."""
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", str(cause(error, RuntimeError)))
    remedy = "take a smaller network or fewer points"
    return UserError(f"no memory for another {asked.group(1)}; {remedy}") if asked else None


def unfound(name: str, error: BaseException) -> UserError | None:
    """A package that is not installed, or an import path that leads nowhere; None for others."""
    missing = cause(error, ModuleNotFoundError)
    package = (missing.name or "").split(".")[0] if missing is not None else ""
    if package in _EXTRAS and find_spec(package) is None:
        return UserError(
            f"{name}: needs the package '{package}', which is not installed; "
            f"pip install {_EXTRAS[package]}"
        )
    if package and package != NAMESPACE and find_spec(package) is None:
        return in_case(error) or UserError(f"{name}: there is no package '{package}'")
    where = _UNFOUND.search(str(error)) or _UNFOUND.search(str(error.__cause__))
    if where is None:
        return None
    path, part, parent = where.groups()
    return UserError(f"{name}: expected an import path, got '{path}': no '{part}' in {parent}")


def in_case(error: BaseException) -> UserError | None:
    """A mistake in the code of a case, with its file and line; None for a bug of anybody else's.

    The innermost frame that is a case's or ours decides whose mistake it is: below it, torch and
    Python only say what is wrong.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    found = _case_line(error)
    if found is None:
        return None
    file, line = found
    shown = Path(file).resolve()
    here = Path.cwd().resolve()
    shown = shown.relative_to(here) if shown.is_relative_to(here) else shown
    text = error.msg if isinstance(error, SyntaxError) else one_line(error)
    said = "" if text == type(error).__name__ else f": {text}"
    hint = suggestion(str(error.name), _installed()) if isinstance(error, ImportError) else ""
    return UserError(
        f"{shown}:{line}: {type(error).__name__}{said}{hint} "
        f"({TRACEBACK}=1 shows the whole traceback)"
    )


def _installed() -> list[str]:
    return [*sys.stdlib_module_names, *sys.modules, *packages_distributions()]


def _case_line(error: BaseException) -> tuple[str, int] | None:
    """File and line of the innermost frame of ours or of a case, where it is a case's."""
    cases = [(root / "cases").resolve() for root in catalogue.roots()]
    package = Path(__file__).resolve().parent

    def in_cases(file: str) -> bool:
        return any(Path(file).resolve().is_relative_to(folder) for folder in cases)

    if isinstance(error, SyntaxError) and error.filename and in_cases(error.filename):
        return error.filename, error.lineno or 0
    frames = [(f.f_code.co_filename, line) for f, line in walk_tb(error.__traceback__)]
    for file, line in reversed(frames):
        if in_cases(file):
            return file, line
        if Path(file).resolve().is_relative_to(package):
            return None
    return None


def for_user(error: BaseException) -> BaseException | None:
    """The exception that says in one line what the user can mend; None for a bug."""
    return mistake(error) or exhausted(error) or in_case(error)


def is_refusal(error: BaseException) -> bool:
    """Whether the user has to mend something: exit code 2, neither a divergence nor a bug."""
    return getattr(for_user(error), "exit_code", None) == UserError.exit_code


def one_line(error: BaseException) -> str:
    """An exception's message without its line breaks, or its cause's where it has none."""
    text = " ".join(str(error).split())
    if not text and error.__cause__ is not None:
        return one_line(error.__cause__)
    return text or type(error).__name__


def key_of(override: str) -> str:
    """`+network.width=50` → `network.width`."""
    return override.split("=", 1)[0].lstrip("+~").split("@")[0]


def is_name(value: str) -> bool:
    """Whether the value of an override is one plain name, neither a list nor a sweep."""
    return bool(_SIMPLE.fullmatch(value)) and "," not in value


def freed(overrides: Sequence[str]) -> list[str]:
    """The same with `++` where the key's node takes any key: `weights.walls=10`."""
    return [f"++{o}" if o[:1] not in "+~" and _is_free(key_of(o), o) else o for o in overrides]


def _is_free(key: str, override: str) -> bool:
    if key in _FREE:
        return override.partition("=")[2].startswith("{")
    return key.startswith(tuple(f"{node}." for node in _FREE))


def is_choice(override: str) -> bool:
    """Whether an override chooses from a group: `balancer=fixed`."""
    return key_of(override) in catalogue.groups()


def check_form(overrides: Sequence[str]) -> None:
    """Every override reads `key=value`, or `~key`; the case is no key, and a choice is a name."""
    for override in overrides:
        key, _, value = override.partition("=")
        if not key_of(override) or (key == override and not override.startswith("~")):
            raise UserError(
                f"expected key=value, got '{override}'; 'sciml show CASE' lists the keys"
            )
        if key_of(override) in ("case", "cases"):
            raise UserError(f"expected the case as a word of its own, got '{override}'")
        if is_choice(override) and value in ("", "null") and key != override:
            names = ", ".join(catalogue.groups()[key_of(override)])
            raise UserError(f"{key_of(override)}: expected one of {names}, got '{value}'")


def check_choices(overrides: Sequence[str]) -> None:
    """Refuses `group=choice` where the group has no such choice."""
    groups = catalogue.groups()
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+").split("@")[0]
        if key not in groups or not _SIMPLE.fullmatch(value):
            continue
        for choice in value.split(","):
            if choice not in groups[key]:
                raise UserError(
                    f"{key}: expected one of {', '.join(groups[key])}, got '{choice}'"
                    f"{suggestion(choice, groups[key])}"
                )


def check_keys(config: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuses a key that the configuration lacks; says `+key=value` where the target takes it."""
    for override in freed(overrides):
        key = key_of(override)
        if not override.startswith("+") and not key.startswith("hydra") and not is_choice(override):
            _check_key(config, key, override)


def sweep_without_m(error: BaseException) -> UserError | None:
    """`seed=0,1` where one value is wanted."""
    found = re.search(r"Ambiguous value for argument '(.+?)'", str(error))
    if found is None:
        return None
    key, _, value = found.group(1).partition("=")
    return UserError(
        f"{key}: expected one value, got '{value}'; add -m for a sweep, or write "
        f"'{key}=[{value}]' for a list"
    )


def may_be_reference(override: str) -> bool:
    """Whether an override sets an inner key to a value of its own; phases may differ."""
    key = key_of(override)
    plain = not override.startswith("~") and "${" not in override and not is_choice(override)
    inner = key in _FREE or ("." in key and not key.startswith(("phases.", "hydra.")))
    return plain and inner


def is_new(override: str, raw: Any) -> bool:
    """Whether a plain override sets a key of a mapping that is empty, so that any is welcome."""
    node = raw
    for part in key_of(override).split(".")[:-1]:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node == {} and override[0] not in "+~"


def check_references(raw: Any, overrides: Sequence[str]) -> None:
    """Refuses to set a key that follows another one: the two would disagree."""
    for override in overrides:
        key = key_of(override)
        source = referred(key, raw)
        if source != key:
            value = override.partition("=")[2]
            raise UserError(
                f"{key}: expected no value of its own, for it follows {source}; "
                f"set {source}={value} instead"
            )


def check_followed(raw: Any, overrides: Sequence[str]) -> None:
    """Refuses `weights.walls=10` beside a balancer that has no constant weights to set."""
    for override in overrides:
        node = key_of(override).split(".")[0]
        followed = f"${{{node}}}" in repr(raw) or any(f"${{{node}}}" in o for o in overrides)
        if node in _FREE and not followed and not override.endswith("=null"):
            raise UserError(
                f"{key_of(override)}: expected a balancer that takes {node}, got one that finds "
                "them itself; leave them out, or set balancer=fixed"
            )


def check_entries(overrides: Sequence[str]) -> None:
    """Refuses `key={new: 1}`, which sets the entries that are there and adds none."""
    for override in overrides:
        if override.partition("=")[2].startswith("{") and override[0] not in "+~":
            raise UserError(
                f"{key_of(override)}: expected entries that the configuration has, "
                f"got '{override}'; new ones are written +{override}"
            )


def _check_key(config: Mapping[str, Any], key: str, override: str) -> None:
    node: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        path = ".".join(parts[: depth + 1])
        if not isinstance(node, Mapping):
            raise UserError(f"{key}: there are no keys within {'.'.join(parts[:depth])} = {node!r}")
        if part not in node:
            raise UserError(_unknown(node, path, part, override))
        node = node[part]


def _unknown(node: Mapping[str, Any], path: str, part: str, override: str) -> str:
    accepted = signature(node["_target_"]) if isinstance(node.get("_target_"), str) else None
    if accepted is not None and part in accepted.parameters:
        return (
            f"{path}: {accepted.target} takes it, but the configuration does not set it; "
            f"write +{override.lstrip('+')}"
        )
    if accepted is not None and not accepted.extra:
        return unknown_keyword(path, accepted)
    if path in catalogue.groups():
        choice = next(iter(catalogue.groups()[path]))
        return (
            f"{key_of(override)}: {path} is a choice and its settings have other keys; "
            f"'sciml show CASE {path}={choice}' lists them"
        )
    names = [str(name) for name in node if not str(name).startswith("_")]
    names += catalogue.groups() if path == part else ()
    there = f"there are {', '.join(dict.fromkeys(names))}" if names else "it has none yet"
    hint = suggestion(part, names) or f"; {there}"
    hint += "" if names else f"; a new one is written +{override.lstrip('+')}"
    return f"{path}: expected a key of the configuration, got '{part}'{hint}"

"""Says what is wrong with an override; finds the user's mistake inside a chain of exceptions."""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from sciml import catalogue
from sciml.catalogue import NAMESPACE, suggestion
from sciml.checks import unknown_keyword
from sciml.contracts import UserError
from sciml.signatures import signature

_SIMPLE = re.compile(r"[\w./,-]+")
#: What Hydra says of an import path that leads nowhere: the path, the wrong part, where it is not.
_UNFOUND = re.compile(
    r"Error loading '([^']+)'.*?Are you sure that '([^']+)' is [^']*'([^']+)'", re.DOTALL
)
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
    return UserError(f"{where.group(1)}: {ours}")


def unfound(name: str, error: BaseException) -> UserError | None:
    """A package that is not installed, or an import path that leads nowhere; None for others."""
    missing = cause(error, ModuleNotFoundError)
    package = (missing.name or "").split(".")[0] if missing is not None else ""
    if package and package != NAMESPACE and find_spec(package) is None:
        return UserError(
            f"{name}: needs the package '{package}', which is not installed; pip install {package}"
        )
    where = _UNFOUND.search(str(error)) or _UNFOUND.search(str(error.__cause__))
    if where is None:
        return None
    path, part, parent = where.groups()
    return UserError(f"{name}: expected an import path, got '{path}': no '{part}' in {parent}")


def one_line(error: BaseException) -> str:
    """An exception's message without its line breaks, or its cause's where it has none."""
    text = " ".join(str(error).split())
    if not text and error.__cause__ is not None:
        return one_line(error.__cause__)
    return text or type(error).__name__


def key_of(override: str) -> str:
    """`+network.width=50` → `network.width`."""
    return override.split("=", 1)[0].lstrip("+~").split("@")[0]


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
    for override in overrides:
        key = key_of(override)
        if not override.startswith("+") and not key.startswith("hydra") and not is_choice(override):
            _check_key(config, key, override)


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
    names = [str(name) for name in node if not str(name).startswith("_")]
    names += catalogue.groups() if path == part else ()
    hint = suggestion(part, names) or f"; there are {', '.join(dict.fromkeys(names))}"
    return f"{path}: expected a key of the configuration, got '{part}'{hint}"

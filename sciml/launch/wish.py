"""What `sciml submit` is asked for: its own words, told from the overrides of the case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from sciml.contracts import UserError

_OWN = ("hpc", "nodes", "submit", "check", "after", "throttle", "run_dir")


@final
@dataclass(frozen=True)
class Wish:
    """What the command line asks for.

    Args:
        site: name of the site, or its file.
        changes: of its keys.
        submits: False writes the script only.
        checks: False leaves mistakes in the case's parts to the job.
        after: run folders that have to be finished first.
        throttle: members of an array that run at once.
        run_dir: the run folder.
        overrides: of the case.
    """

    site: str
    changes: Mapping[str, str]
    submits: bool
    checks: bool
    after: Sequence[str]
    throttle: int | None
    run_dir: str | None
    overrides: Sequence[str]


def wish(words: Sequence[str]) -> Wish:
    """Tells submit's own words from the overrides of the case.

    Raises:
        UserError: no site, or a word of ours with a value of another kind.
    """
    own: dict[str, str] = {}
    changes: dict[str, str] = {}
    overrides = []
    for word in words:
        key, _, value = word.partition("=")
        if key.startswith("hpc."):
            changes[key.removeprefix("hpc.")] = value
        elif key in _OWN:
            own[key] = value
        else:
            overrides.append(word)
    if not own.get("hpc"):
        raise UserError("submit: expected hpc=SITE, got none; 'sciml list sites' shows them")
    if "nodes" in own:
        changes["nodes"] = own["nodes"]
    return Wish(
        own["hpc"],
        changes,
        _flag("submit", own.get("submit", "true")),
        _flag("check", own.get("check", "true")),
        [run for run in own.get("after", "").split(",") if run],
        _count(own["throttle"]) if "throttle" in own else None,
        own.get("run_dir") or None,
        overrides,
    )


def _flag(key: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise UserError(f"{key}: expected true or false, got {text!r}")
    return text.lower() == "true"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"throttle: expected a whole number >= 1, got {text!r}")
    return int(text)

"""`sciml data`: the sets that the package makes itself, ships or downloads (`data/registry.yaml`).

A made set is the work of one function `make(path, **arguments)`; a downloaded one is a file with
its checksum. What is whole stands under its name, what is not never does.
"""

import hashlib
import inspect
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from sciml import atomic, catalogue, tables
from sciml.contracts import UserError

#: Folder of the sets that were made or downloaded; cases look there too.
VARIABLE, FOLDER = "SCIML_DATA", "runs/data"
_BLOCK = 2**20


def registry() -> dict[str, dict[str, Any]]:
    """Name → what `data/registry.yaml` says of it."""
    text = (catalogue.home() / "data" / "registry.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def find(name: str) -> dict[str, Any]:
    """The entry of a set.

    Raises:
        UserError: there is none, with the nearest name.
    """
    known = registry()
    if name not in known:
        hint = catalogue.suggestion(name, known)
        raise UserError(f"data: expected one of {', '.join(known)}, got '{name}'{hint}")
    return known[name]


def folder() -> Path:
    """Where made and downloaded sets lie."""
    return Path(os.environ.get(VARIABLE) or FOLDER)


def place(name: str) -> Path:
    """Where a set is, or will be: shipped beside the package, else in `folder()`."""
    entry = find(name)
    if "file" in entry:
        return catalogue.home() / "data" / entry["file"]
    return folder() / f"{name}{entry.get('suffix', '.nc')}"


def overview() -> str:
    """A table of all sets: whether they are there, how to get them, licence, what they are."""
    rows = [("set", "here", "how", "licence", "what")]
    for name, entry in registry().items():
        how = "shipped" if "file" in entry else ("get" if "url" in entry else "make")
        here = "yes" if place(name).exists() else "no"
        rows.append((name, here, how, entry["licence"], entry.get("title", "")))
    return tables.table(rows)


def make(name: str, out: str | None, words: Sequence[str]) -> Path:
    """Makes a set: `words` are `key=value` for its function, beside the registry's arguments.

    Raises:
        UserError: not a set that is made, an unknown key, or a target that stands already.
    """
    entry = find(name)
    if "made_by" not in entry:
        raise UserError(f"data: {name} is downloaded, not made; use 'sciml data get {name}'")
    function = _function(entry["made_by"])
    arguments = {**entry.get("arguments", {}), **_given(name, function, words)}
    target = Path(out) if out else folder() / f"{name}{entry.get('suffix', '.nc')}"
    if target.exists() and not entry.get("resumes"):
        raise UserError(f"data: {target} is there already; delete it, or give another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(function(target, **arguments))


def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _given(name: str, function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    known = list(inspect.signature(function).parameters)[1:]
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in known:
            hint = catalogue.suggestion(key, known)
            raise UserError(
                f"data: {name} takes key=value with the keys {', '.join(known)}, got '{word}'{hint}"
            )
        found[key] = yaml.safe_load(value)
    return found


def get(name: str, out: str | None = None) -> Path:
    """Downloads a published set and checks its SHA-256.

    Raises:
        UserError: not a set with an address, no network, or another checksum.
    """
    entry = find(name)
    if "url" not in entry:
        how = "is shipped" if "file" in entry else f"is made: use 'sciml data make {name}'"
        raise UserError(f"data: {name} {how}; there is nothing to download")
    target = Path(out) if out else place(name)
    if target.exists() and checksum(target) == entry["sha256"]:
        return target
    with atomic.replacing(target) as temporary:
        _download(entry, temporary)
        found = checksum(temporary)
        if found != entry["sha256"]:
            raise UserError(
                f"data: {name}: expected SHA-256 {entry['sha256'][:16]}…, got {found[:16]}…; the "
                "publisher has changed the file, or the transfer broke: try once more"
            )
    return target


def _download(entry: Mapping[str, Any], target: Path) -> None:
    url, most = entry["url"], int(entry["bytes"]) + 1
    if not url.startswith(("https://", "http://127.0.0.1")):
        raise UserError(f"data: expected an address that begins with https://, got {url}")
    try:
        with urllib.request.urlopen(url, timeout=60) as source, target.open("wb") as file:
            while block := source.read(min(_BLOCK, most)):
                most -= len(block)
                file.write(block)
    except urllib.error.URLError as error:
        raise UserError(
            f"data: {url} could not be reached ({error.reason}); download it elsewhere to {target}"
        ) from error


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

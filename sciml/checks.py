"""Checks a composed configuration before anything heavy is imported: keywords and plain types.

Bounds (a positive width, at least one point) are the constructors' business.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from sciml.catalogue import suggestion
from sciml.contracts import UserError
from sciml.signatures import Parameter, Signature, last_name, signature

_RESERVED = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_MISSING = "???"
#: Targets that return what their argument `path` names.
_LOOKUPS = {f"hydra.utils.get_{kind}" for kind in ("method", "class", "object")}

_SEQUENCES = {
    "list",
    "List",
    "Sequence",
    "Iterable",
    "Collection",
    "tuple",
    "Tuple",
    "set",
    "frozenset",
}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}


def check_run(config: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Checks a whole run: its parts are there, its seed is a number, its nodes are sound."""
    for name in ("system", "balancer", "trainer", "phases"):
        found = config.get(name)  # without phases nothing is trained: a simulation
        if not isinstance(found, dict) or not (found or name == "phases"):
            raise UserError(f"{name}: expected keys and values, got {config.get(name)!r}")
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UserError(
            f"seed: expected a whole number >= 0, got {seed!r}; set one below 2^63, such as seed=0"
        )
    if not isinstance(config.get("published") or {}, dict):
        raise UserError(
            f"published: expected metrics and their values, got {config['published']!r}; "
            "write +published={NAME: 0.01}"
        )
    check(config, raw)


def check(config: Mapping[str, Any], raw: Mapping[str, Any] | None = None) -> None:
    """Checks every node with a `_target_` against the signature of what it names.

    Args:
        config: resolved, plain dicts and lists.
        raw: the same with interpolations kept, so that a message names the key the user can set.

    Raises:
        UserError: the first mistake found.
    """
    for path, node in _nodes(config, ""):
        _check_node(path, node, raw or {})


def _nodes(value: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """All nodes with a `_target_`, with their paths, outermost first."""
    if isinstance(value, Mapping):
        own = [(path, value)] if "_target_" in value else []
        inner = [_nodes(item, f"{path}.{key}".strip(".")) for key, item in value.items()]
    elif isinstance(value, list):
        own, inner = [], [_nodes(item, f"{path}.{i}") for i, item in enumerate(value)]
    else:
        return []
    return sum(inner, own)


def _check_node(path: str, node: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    path, target = _origin(path, raw), node["_target_"]
    if not isinstance(target, str) or target == _MISSING:
        raise UserError(f"{path}._target_: expected an import path, got {target!r}")
    accepted = _signature(f"{path}._target_", target)
    if target in _LOOKUPS and isinstance(node.get("path"), str):
        _signature(f"{path}.path", node["path"])
    if accepted is None:
        return
    _check_names(path, node, accepted)
    for key, parameter in accepted.parameters.items():
        if key in node:
            _check_value(_origin(f"{path}.{key}", raw), node[key], parameter)


def _signature(path: str, target: str) -> Signature | None:
    try:
        return signature(target)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _check_names(path: str, node: Mapping[str, Any], accepted: Signature) -> None:
    if not accepted.extra:
        for key in node:
            if key not in _RESERVED and key not in accepted.parameters:
                raise UserError(unknown_keyword(f"{path}.{key}", accepted))
    if node.get("_partial_") or node.get("_args_"):
        return
    for key, parameter in accepted.parameters.items():
        if parameter.required and key not in node:
            raise UserError(
                f"{path}.{key}: {accepted.target} needs it, the configuration lacks it; "
                f"add +{path}.{key}=…"
            )


def unknown_keyword(path: str, accepted: Signature) -> str:
    """The message for a key that a target does not take."""
    key = path.rsplit(".", 1)[-1]
    names = list(accepted.parameters)
    hint = suggestion(key, names) or f"; it takes {', '.join(names) or 'none'}"
    return f"{path}: expected a keyword of {accepted.target}, got '{key}'{hint}"


def _check_value(path: str, value: Any, parameter: Parameter) -> None:
    if isinstance(value, str) and value == _MISSING:
        raise UserError(f"{path}: expected a value, got none; give {path}=…")
    if value is None and parameter.none_by_default:
        return
    if parameter.annotation is not None and not accepts(parameter.annotation, value):
        path, annotation, value = _innermost(path, parameter.annotation, value)
        choices = _choices(annotation)
        if choices:
            raise UserError(
                f"{path}: expected one of {', '.join(choices)}, got {value!r}"
                f"{suggestion(str(value), choices)}"
            )
        expected = ast.unparse(annotation).strip("'\"")
        raise UserError(
            f"{path}: expected {expected}, got {value!r} ({type(value).__name__}); "
            f"set {path}={_example(expected, value)}"
        )


def _innermost(path: str, annotation: ast.expr, value: Any) -> tuple[str, ast.expr, Any]:
    """The entry of a mapping that is of another type than `Mapping[str, T]` promises."""
    if not isinstance(annotation, ast.Subscript) or not isinstance(value, Mapping):
        return path, annotation, value
    if last_name(annotation.value) in _MAPPINGS and isinstance(annotation.slice, ast.Tuple):
        inner = annotation.slice.elts[-1]
        for key, entry in value.items():
            if not accepts(inner, entry):
                return _innermost(f"{path}.{key}", inner, entry)
    return path, annotation, value


def _choices(annotation: ast.expr) -> list[str]:
    """The values of `Literal["a", "b"]`; none for any other annotation."""
    if not isinstance(annotation, ast.Subscript) or last_name(annotation.value) != "Literal":
        return []
    inner = annotation.slice
    values = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    return [str(value.value) for value in values if isinstance(value, ast.Constant)]


def _example(expected: str, value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if expected.startswith("int") and whole else f"<{expected}>"


def _origin(path: str, raw: Mapping[str, Any]) -> str:
    """The key that a value comes from: `system.seed`, written `${seed}`, is `seed`."""
    value: Any = raw
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return path
        value = value[part]
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return _origin(match.group(1), raw) if match else path


def referred(path: str, raw: Any) -> str:
    """Where a key's value is really set: `system.problem.C` within `problem: ${problem}`."""
    value, parts = raw, path.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(value, Mapping) or part not in value:
            return path
        value = value[part]
        match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if match:
            return referred(".".join([match.group(1), *parts[depth + 1 :]]), raw)
    return path


def accepts(annotation: ast.expr | None, value: Any) -> bool:
    """Whether a plain value can be what the annotation says; the unknown is let through."""
    if annotation is None or (isinstance(value, Mapping) and "_target_" in value):
        return True
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):
            return accepts(_parsed(annotation.value), value)
        return value is None if annotation.value is None else True
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return accepts(annotation.left, value) or accepts(annotation.right, value)
    if isinstance(annotation, ast.Subscript):
        return _accepts_generic(last_name(annotation.value), annotation.slice, value)
    return _accepts_name(last_name(annotation), value)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _accepts_name(name: str, value: Any) -> bool:
    if name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name == "bool":
        return isinstance(value, bool)
    if name in ("str", "Path"):
        return isinstance(value, str)
    if name in _SEQUENCES:
        return isinstance(value, list | tuple)
    if name in _MAPPINGS:
        return isinstance(value, Mapping)
    if name in ("Tensor", "ndarray"):
        return not isinstance(value, str | bool)
    if name == "Callable":
        return not isinstance(value, str | bool | int | float)
    return True


def _accepts_generic(name: str, inner: ast.expr, value: Any) -> bool:
    arguments = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return any(isinstance(a, ast.Constant) and a.value == value for a in arguments)
    if name == "Optional":
        return value is None or accepts(inner, value)
    if name == "Union":
        return any(accepts(argument, value) for argument in arguments)
    if name == "Annotated":
        return accepts(arguments[0], value)
    if name in _MAPPINGS:
        return isinstance(value, Mapping) and all(accepts(arguments[-1], v) for v in value.values())
    if name in ("tuple", "Tuple"):
        return isinstance(value, list | tuple) and _accepts_tuple(arguments, value)
    if name in _SEQUENCES:
        return isinstance(value, list | tuple) and all(accepts(arguments[0], v) for v in value)
    return _accepts_name(name, value)


def _accepts_tuple(arguments: list[ast.expr], value: list[Any] | tuple[Any, ...]) -> bool:
    last = arguments[-1]
    if isinstance(last, ast.Constant) and last.value is ...:
        return all(accepts(arguments[0], item) for item in value)
    return len(arguments) == len(value) and all(map(accepts, arguments, value))

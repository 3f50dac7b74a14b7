"""What a `_target_` accepts, read from the syntax tree of its source, without importing it.

So a misspelt keyword is refused in milliseconds, with the nearest name, long before torch loads.
What the tree cannot tell (extension modules, generated functions, unknown decorators) passes.
"""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from sciml.catalogue import NAMESPACE, suggestion
from sciml.contracts import UserError

#: Packages whose sources must hold every name that a configuration asks for.
OURS = ("sciml", NAMESPACE)

_TRANSPARENT = {
    *("dataclass", "final", "cache", "lru_cache", "no_grad", "inference_mode", "enable_grad"),
    *("jaxtyped", "beartype", "staticmethod", "classmethod", "runtime_checkable"),
}
_EMPTY_BASES = {"object", "Protocol", "Generic", "ABC"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = ast.ClassDef | _Function


@dataclass(frozen=True)
class Parameter:
    """One keyword: its annotation as a syntax tree, and whether it must be given."""

    annotation: ast.expr | None
    required: bool
    none_by_default: bool = False


@dataclass(frozen=True)
class Signature:
    """The keywords of a target; `extra` where it takes any (`**kwargs`)."""

    target: str
    parameters: dict[str, Parameter]
    extra: bool


def signature(target: str) -> Signature | None:
    """The signature of an import path, or None where the source does not tell.

    Raises:
        UserError: no such package, or no such name in a module of ours; the nearest is suggested.
    """
    spec, names = _module(target)
    if not names or len(names) > 2 or not _has_source(spec):
        return None
    found = _find(spec.name, names[0], target)
    if found is None:
        return None
    module, definition = found
    if isinstance(definition, ast.ClassDef):
        method = names[1] if len(names) == 2 else None
        found_parameters = _of_class(module, definition, method)
    else:
        found_parameters = _of_function(definition) if len(names) == 1 else None
    return found_parameters and Signature(target, *found_parameters)


def _module(target: str) -> tuple[ModuleSpec, list[str]]:
    """Splits `package.module.Name` into the module's spec and the names within it."""
    first, *rest = target.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    if spec is None:
        raise UserError(f"expected an import path, got '{target}': there is no package '{first}'")
    while rest and spec.submodule_search_locations is not None:
        inner = PathFinder.find_spec(f"{spec.name}.{rest[0]}", spec.submodule_search_locations)
        if inner is None:
            break
        spec, rest = inner, rest[1:]
    if first in OURS and (len(rest) > 2 or (rest and not _has_source(spec))):
        raise UserError(
            f"expected an import path, got '{target}': no '{rest[0]}' in {spec.name}"
            f"{suggestion(rest[0], _submodules(spec))}"
        )
    return spec, rest


def _submodules(spec: ModuleSpec) -> list[str]:
    folders = [Path(location) for location in spec.submodule_search_locations or ()]
    return [
        file.stem for folder in folders for file in folder.iterdir() if file.name[0] not in "._"
    ]


def _has_source(spec: ModuleSpec) -> bool:
    return bool(spec.origin) and str(spec.origin).endswith(".py")


@lru_cache(maxsize=256)
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"), file)


def _find(module: str, name: str, target: str, depth: int = 8) -> tuple[str, _Definition] | None:
    """The class or function `name` of a module, followed through re-exports."""
    spec, rest = _module(module)
    if rest or not _has_source(spec) or depth == 0:
        return None
    unclear, known = False, []
    for statement in _statements(_tree(str(spec.origin)).body):
        if isinstance(statement, _Definition):
            known.append(statement.name)
            if statement.name == name and not _is_overload(statement):
                return module, statement
            unclear |= statement.name == "__getattr__"
        elif isinstance(statement, ast.ImportFrom):
            source = _absolute(statement, spec)
            for alias in statement.names:
                known.append(alias.asname or alias.name)
                unclear |= alias.name == "*"
                if known[-1] == name:
                    return _find(source, alias.name, target, depth - 1)
        elif name in _assigned(statement):
            return None
    if not unclear and module.split(".")[0] in OURS and not _is_submodule(spec, name):
        raise UserError(
            f"expected an import path, got '{target}': no '{name}' in {module}"
            f"{suggestion(name, known)}"
        )
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _statements(statement.body)
            yield from _statements(getattr(statement, "orelse", []))
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body)


def _absolute(statement: ast.ImportFrom, spec: ModuleSpec) -> str:
    if not statement.level:
        return statement.module or ""
    package = spec.name if spec.submodule_search_locations is not None else spec.parent or ""
    parts = package.split(".")
    parts = parts[: len(parts) - (statement.level - 1)]
    return ".".join([*parts, *filter(None, [statement.module])])


def _assigned(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Assign):
        return {
            node.id for t in statement.targets for node in ast.walk(t) if isinstance(node, ast.Name)
        }
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    if isinstance(statement, ast.Import):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    return set()


def _is_submodule(spec: ModuleSpec, name: str) -> bool:
    locations = spec.submodule_search_locations
    return (
        locations is not None and PathFinder.find_spec(f"{spec.name}.{name}", locations) is not None
    )


def last_name(node: ast.expr) -> str:
    """`torch.no_grad()` → "no_grad"; empty where the expression is no name."""
    if isinstance(node, ast.Call):
        node = node.func
    return getattr(node, "id", getattr(node, "attr", ""))


def _is_overload(definition: _Definition) -> bool:
    return any(last_name(node) == "overload" for node in definition.decorator_list)


def _is_transparent(definition: _Definition) -> bool:
    return all(last_name(node) in _TRANSPARENT for node in definition.decorator_list)


_Parameters = tuple[dict[str, Parameter], bool]


def _of_function(definition: _Function, bound: bool = False) -> _Parameters | None:
    if not _is_transparent(definition):
        return None
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(positional, defaults, strict=True)][1 if bound else 0 :]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters = {
        argument.arg: Parameter(argument.annotation, default is None, _is_none(default))
        for argument, default in pairs
    }
    return parameters, arguments.kwarg is not None


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _of_class(
    module: str, definition: ast.ClassDef, method: str | None = None
) -> _Parameters | None:
    if not _is_transparent(definition) or definition.keywords:
        return None
    methods = {node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)}
    if method is not None:
        if method not in methods:
            return None
        decorators = {last_name(node) for node in methods[method].decorator_list}
        return _of_function(methods[method], bound="staticmethod" not in decorators)
    if "__new__" in methods:
        return None
    if "__init__" in methods:
        return _of_function(methods["__init__"], bound=True)
    if any(last_name(node) == "dataclass" for node in definition.decorator_list):
        return _of_dataclass(module, definition)
    bases = [base for base in definition.bases if _base_name(base) not in _EMPTY_BASES]
    if not bases:
        return {}, False
    return _of_base(module, bases[0])


def _of_base(module: str, base: ast.expr) -> _Parameters | None:
    found = _find(module, base.id, base.id) if isinstance(base, ast.Name) else None
    if found is not None and isinstance(found[1], ast.ClassDef):
        return _of_class(found[0], found[1])
    return None


def _base_name(base: ast.expr) -> str:
    return last_name(base.value if isinstance(base, ast.Subscript) else base)


def _of_dataclass(module: str, definition: ast.ClassDef) -> _Parameters | None:
    parameters: dict[str, Parameter] = {}
    for base in definition.bases:
        if _base_name(base) in _EMPTY_BASES:
            continue
        inherited = _of_base(module, base)
        if inherited is None:
            return None
        parameters |= inherited[0]
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            field = _field(node)
            if field is not None:
                parameters[node.target.id] = field
    return parameters, False


def _field(node: ast.AnnAssign) -> Parameter | None:
    """A dataclass field as a parameter; None for class variables and `field(init=False)`."""
    if "ClassVar" in ast.unparse(node.annotation):
        return None
    value = node.value
    if isinstance(value, ast.Call) and last_name(value) == "field":
        options = {keyword.arg: keyword.value for keyword in value.keywords}
        init = options.get("init")
        if isinstance(init, ast.Constant) and init.value is False:
            return None
        default = options.get("default")
        return Parameter(
            node.annotation, default is None and "default_factory" not in options, _is_none(default)
        )
    return Parameter(node.annotation, value is None, _is_none(value))

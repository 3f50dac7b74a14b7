"""Scientific machine learning in one house: `run` a case, carry the trained surrogate away.

The public names load on first use, so that `import sciml` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.compose import run
    from sciml.contracts import Diverged, UserError
    from sciml.export import load as load_surrogate

__all__ = ["Diverged", "UserError", "load_surrogate", "run"]

_HOMES = {
    "run": ("sciml.compose", "run"),
    "load_surrogate": ("sciml.export", "load"),
    "UserError": ("sciml.contracts", "UserError"),
    "Diverged": ("sciml.contracts", "Diverged"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sciml-suite")
    except PackageNotFoundError:  # a checkout on the path, never installed
        return "unknown"


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

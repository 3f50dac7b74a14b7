"""Bundles of trained surrogates: every format is checked when written; read without `sciml`.

Reading loads no torch until a pt2 file asks for it; writing does.
"""

from typing import TYPE_CHECKING, Any

from sciml.export.reader import BundleError, Loaded, load

if TYPE_CHECKING:
    from sciml.export.bundle import export

__all__ = ["BundleError", "Loaded", "export", "load"]


def __getattr__(name: str) -> Any:
    if name != "export":
        raise AttributeError(f"module 'sciml.export' has no attribute {name!r}")
    from sciml.export.bundle import export

    return export

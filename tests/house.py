"""Reads the house rules off the syntax trees of `sciml/` and `cases/`: who may know whom.

`violations(root)` returns one line per breach; `tests/test_house.py` asserts that there is none.
Imports under `if TYPE_CHECKING:` are free; imports inside functions count like any other.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

GROUND = {"contracts", "locks", "atomic", "node_disk"}
LOWER = {"physics", "calculus", "drawing", *GROUND}
WINGS = {"pinn", "globe", "weather", "ocean", "gravity_waves", "tactile"}
BELOW = {*LOWER, *WINGS, "references", "balance", "training"}

#: Single files of floor 4 on the command line's path: the standard library only.
LIGHT = {"cli", "catalogue", "signatures", "checks", "diagnosis", "completion"}
FRONT = {*LIGHT, "compose", "evaluation", "runs", "provenance", "tables", "datasets", "withdrawal"}
FRONT |= {"launch", "export", "report", "__init__", "__main__"}

#: Room → the rooms it may import besides itself; type-only imports are free.
MAY_IMPORT: dict[str, set[str]] = {
    # floor 1
    "contracts": set(),
    "locks": {"contracts"},
    "atomic": {"contracts", "locks"},
    "node_disk": {"contracts", "locks", "atomic"},
    "calculus": {"contracts"},
    "drawing": GROUND,
    # floor 2
    "physics": {"calculus"},
    "balance": {"contracts"},
    "training": GROUND,
    "pinn": {"calculus", "drawing", *GROUND},
    "globe": {"calculus", "drawing", *GROUND},
    # floor 3
    "weather": {"globe", *LOWER},
    "ocean": {"globe", *LOWER},
    "gravity_waves": {"globe", *LOWER},
    "tactile": LOWER,
    "references": {"calculus", *GROUND},
    # floor 4
    **dict.fromkeys(FRONT, BELOW | FRONT),
    "cases": (BELOW | FRONT) - {"training", "compose", "launch", "cli"},
}

#: Rooms that may import, besides the standard library, only these distributions.
ONLY_THESE: dict[str, set[str]] = {
    **{room: set() for room in GROUND | LIGHT},
    "calculus": {"torch", "numpy", "jaxtyping"},
}

BALANCE, EXPORT, FEM = ("sciml/balance/*",), ("sciml/export/*",), ("sciml/references/*",)
FIGURES = (
    "sciml/drawing/*",
    "sciml/*/figures.py",
    "sciml/*/figures/*",
    "sciml/report/*",
    "cases/*/figures.py",
)
SIMULATOR = ("sciml/tactile/simulator.py", "sciml/tactile/simulator/*")
ARCHIVE = ("sciml/globe/archive.py", "sciml/globe/archive/*")

#: One dependency, one door: module → the files that may import it.
DOORS: dict[str, tuple[str, ...]] = {
    "hydra": ("sciml/compose/*",),
    "omegaconf": ("sciml/compose/*",),
    "pytorch_lightning": ("sciml/training/*",),
    "lightning_fabric": ("sciml/training/*",),
    "lightning": (),  # the same classes under a second name: isinstance fails across the two
    "deepxde": ("sciml/pinn/domain.py", "sciml/pinn/deepxde.py"),
    "trimesh": ("sciml/pinn/domain.py", "sciml/tactile/mesh.py"),
    "pytetwild": ("sciml/tactile/mesh.py",),
    "meshio": ("sciml/tactile/mesh.py", "sciml/tactile/vtk.py"),
    "ipctk": ("sciml/tactile/contact.py", "sciml/tactile/contact/*"),
    "pypardiso": SIMULATOR,
    "scipy.sparse.linalg": (*SIMULATOR, *FEM),
    "cma": ("sciml/training/optimizers/derivative_free.py",),
    "torchjd": BALANCE,
    "cvxpy": BALANCE,
    "qpsolvers": BALANCE,
    "onnx": EXPORT,
    "onnxscript": EXPORT,
    "onnxruntime": EXPORT,
    "skfem": FEM,
    "matplotlib": FIGURES,
    "pyvista": FIGURES,
    "netCDF4": (*ARCHIVE, "sciml/globe/writer.py"),
    "zarr": (*ARCHIVE, "sciml/globe/writer.py"),
    "pytest": (),
    "hypothesis": (),
    "beartype": (),
}

#: Files of others are read in `globe/archive.py` only; a run's own result.nc is also read where
#: runs are drawn, reported and reopened.
XARRAY_READS = {
    *("open_dataset", "open_mfdataset", "open_zarr", "open_dataarray", "open_datatree"),
    *("load_dataset", "load_dataarray", "load_datatree"),
}
RECORDINGS = ("sciml/tactile/sensor/recording.py",)  # measured presses of real sensors
READERS = (*ARCHIVE, *FIGURES, *RECORDINGS, "sciml/runs.py", "sciml/pinn/reference.py")

NAMELESS = {"utils", "util", "helpers", "common", "misc", "core", "base"}
NAMED_AFTER_ALL = {"sciml/balance/base.py"}


@dataclass(frozen=True)
class Import:
    """One imported module, resolved to its full dotted name."""

    line: int
    module: str
    type_only: bool


@dataclass(frozen=True)
class Source:
    """One Python file of the house: `file` is its path from the root, `module` its dotted name."""

    file: str
    module: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first name below `sciml`, or `cases`."""
        parts = self.module.split(".")
        if parts[0] == "cases":
            return "cases"
        return parts[1] if len(parts) > 1 else "__init__"

    @cached_property
    def type_only(self) -> set[ast.AST]:
        """The nodes that only a type checker runs."""
        return {
            node
            for branch in ast.walk(self.tree)
            if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
            for statement in branch.body
            for node in ast.walk(statement)
        }

    def imports(self, known: set[str]) -> Iterator[Import]:
        """Every import; `from a import b` is `a.b` where that is a module of ours."""
        for node in ast.walk(self.tree):
            for module in _imported(node, self, known):
                yield Import(node.lineno, module, node in self.type_only)


def _imported(node: ast.AST, source: Source, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = _absolute(node, source)
        names = [f"{origin}.{alias.name}" for alias in node.names]
        outside = origin.split(".")[0] not in {"sciml", "cases"}
        return names if outside else sorted({n if n in known else origin for n in names})
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
    return []


def _absolute(node: ast.ImportFrom, source: Source) -> str:
    """The module after `from`, dots resolved, and cases under the name of their folder."""
    module = node.module or ""
    if node.level:
        package = source.module.split(".")
        if source.file.endswith("__init__.py"):
            package = [*package, ""]
        module = ".".join([*package[: len(package) - node.level], *filter(None, [module])])
    return module


def read(root: Path) -> list[Source]:
    """All Python files of `sciml/` and `cases/`, parsed."""
    sources = []
    for path in sorted([*(root / "sciml").rglob("*.py"), *(root / "cases").rglob("*.py")]):
        parts = list(path.relative_to(root).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        sources.append(Source(path.relative_to(root).as_posix(), module, tree))
    return sources


def _own(module: str) -> str | None:
    """The name of a module of the house as `read` spells it, None for any other."""
    first, _, rest = module.partition(".")
    if first == "sciml_cases":
        return f"cases.{rest}" if rest else "cases"
    return module if first in {"sciml", "cases"} else None


def _room_of(module: str) -> str:
    parts = module.split(".")
    return "cases" if parts[0] == "cases" else (parts[1:] or ["__init__"])[0]


def floors(sources: list[Source]) -> Iterator[str]:
    """Imports run downward only; wings never import one another; nobody imports cases."""
    known = {source.module for source in sources}
    for source in sources:
        if source.room not in MAY_IMPORT:
            yield f"{source.file}: room {source.room!r} stands on no floor; add it to MAY_IMPORT"
            continue
        for found in source.imports(known):
            module = _own(found.module)
            if module is None or found.type_only or _allowed(source, module):
                continue
            yield f"{source.file}:{found.line}: {source.room} may not import {found.module}"


def _allowed(source: Source, module: str) -> bool:
    room = _room_of(module)
    if room == "cases":  # a case knows itself, and no other
        return source.room == "cases" and module.split(".")[1:2] == source.module.split(".")[1:2]
    return room in {source.room, *MAY_IMPORT[source.room]}


def circles(sources: list[Source]) -> Iterator[str]:
    """No module reaches itself through imports."""
    known = {source.module for source in sources}
    graph = {
        source.module: {
            found.module
            for found in source.imports(known)
            if not found.type_only and found.module in known and found.module != source.module
        }
        for source in sources
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> Iterator[str]:
        if module in trail:
            yield "circle: " + " → ".join([*trail[trail.index(module) :], module])
        elif module not in done:
            for target in sorted(graph[module]):
                yield from visit(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        yield from visit(module, ())


def doors(sources: list[Source]) -> Iterator[str]:
    """One dependency, one door; and rooms that stay free of third parties."""
    known = {source.module for source in sources}
    for source in sources:
        for found in source.imports(known):
            if found.type_only or _own(found.module):
                continue
            where = f"{source.file}:{found.line}"
            first = found.module.split(".")[0]
            for name, files in DOORS.items():
                if f"{found.module}.".startswith(f"{name}.") and not _matches(source.file, files):
                    yield f"{where}: {name} is imported in {', '.join(files) or 'no file'} only"
            free = ONLY_THESE.get(source.room)
            if free is not None and first not in free | sys.stdlib_module_names:
                yield f"{where}: {source.room} may not import {first}"


def reads(sources: list[Source]) -> Iterator[str]:
    """Data files are opened behind one door."""
    for source in sources:
        if _matches(source.file, READERS):
            continue
        for node in ast.walk(source.tree):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            imported = {
                alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")
            }
            if {name, *imported} & XARRAY_READS:
                yield f"{source.file}:{node.lineno}: data files are opened in globe/archive.py only"


def names(sources: list[Source]) -> Iterator[str]:
    """A file called utils is a concept without a name; every file opens with its purpose."""
    for source in sources:
        nameless = NAMELESS & set(source.module.split("."))
        if nameless and source.file not in NAMED_AFTER_ALL:
            yield f"{source.file}: {nameless.pop()!r} is a concept without a name: find the name"
        if not ast.get_docstring(source.tree):
            yield f"{source.file}: opens without a docstring of its purpose"


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)


def violations(root: Path) -> list[str]:
    """Every breach of the house rules below `root`, one line each."""
    sources = read(root)
    return [line for rule in (floors, circles, doors, reads, names) for line in rule(sources)]

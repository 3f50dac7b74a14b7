"""A reference solution u(x, t) as a CF file that says how far it has converged."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray

from sciml import atomic

#: Lossless, in double precision: networks are judged to 1e-8.
PACKED = {"dtype": "float64", "zlib": True, "complevel": 9, "shuffle": True}


def dataset(
    x: np.ndarray, t: np.ndarray, u: np.ndarray, about: Mapping[str, str | float | int]
) -> xarray.Dataset:
    """`u` `[m, n]` at times `t` `[m]` and places `x` `[n]`; `about` has at least a `title`."""
    coordinates = {
        "t": ("t", t, {"units": "1", "long_name": "time", "axis": "T"}),
        "x": ("x", x, {"units": "1", "long_name": "position", "axis": "X"}),
    }
    fields = {"u": (("t", "x"), u, {"units": "1", "long_name": "solution"})}
    software = ", ".join(f"{name} {version(name)}" for name in ("scipy", "numpy"))
    attributes = {"Conventions": "CF-1.11", "license": "Apache-2.0", "software": software}
    return xarray.Dataset(fields, coordinates, attributes | dict(about))


def difference(coarse: np.ndarray, fine: np.ndarray) -> dict[str, float]:
    """What the refinement has changed: bounds the finer one's error while the method converges."""
    gap = coarse - fine
    return {
        "difference_rel_l2": float(np.linalg.norm(gap) / np.linalg.norm(fine)),
        "difference_max": float(np.abs(gap).max()),
    }


def make(
    path: str | Path,
    solution: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]],
    about: Mapping[str, str],
    *,
    nodes: int,
    steps: int,
    x: int,
    t: int,
) -> Path:
    """Solves twice, writes the finer solution and what the refinement has changed.

    Args:
        solution: `(nodes, steps, x, t) -> places [x], times [t], u [t, x]`.
        about: `title` and `source`.
        nodes, steps: of the finer solution, even: in space, and between times.
        x, t: nodes of the file.
    """
    places, times, u = solution(nodes, steps, x, t)
    coarse = solution(nodes // 2, steps // 2, x, t)[2]
    how = {
        "discretisation": f"{nodes} nodes, {steps * (t - 1)} steps",
        "convergence_estimate": f"difference to: {nodes // 2} nodes, {steps // 2 * (t - 1)} steps",
    }
    return write(dataset(places, times, u, {**about, **how, **difference(coarse, u)}), path)


def write(data: xarray.Dataset, path: str | Path) -> Path:
    """Writes the file whole or not at all."""
    path = Path(path)
    with atomic.replacing(path) as partial:
        data.to_netcdf(partial, engine="netcdf4", encoding={"u": PACKED})
    return path

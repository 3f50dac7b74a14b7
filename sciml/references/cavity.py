"""Reference solution of the steady lid-driven square cavity, with the lid's full unit speed.

Fluid fills [0, 1]²; the lid y = 1 moves with u = 1, the other walls rest. At the two upper corners
the wall's velocity jumps: there u has no value and p grows as 1/r. Near such a corner ψ = r f(θ)
(Taylor's scraper), so every octave of r needs equally fine triangles: the mesh is graded.

The discrete lid rises from 0 to 1 within the first triangle side at the corner (about 1e-5 long in
`FINE`) and is therefore watertight.

Units: speed of the lid, width of the cavity, density; Re = speed · width / ν.

Source: U. Ghia, K. N. Ghia, C. T. Shin, J. Comput. Phys. 48 (1982) 387-411 (the problem);
O. Botella, R. Peyret, Comput. Fluids 27 (1998) 421-433 (its accurate solution); G. I. Taylor,
On scraping viscous fluid from a plane surface (1962) (the corners).

`python -m sciml.references.cavity FILE.nc` solves at Re = 100 and writes the file.
"""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray

from sciml import atomic
from sciml.contracts import UserError
from sciml.references.navier_stokes import Flow, steady_flow
from sciml.references.triangles import criss_cross, graded

LIBRARIES = ("scikit-fem", "scipy", "numpy")
LID_CORNERS = np.array([[0.0, 1.0], [1.0, 1.0]])


@dataclass(frozen=True)
class Resolution:
    """A mesh and its polynomials: see `triangles.criss_cross` and `triangles.graded`."""

    cells: int
    ratio: float
    radius: float
    degree: int = 4

    def __str__(self) -> str:
        return (
            f"P{self.degree}-P{self.degree - 1}, {self.cells} x {self.cells} criss-cross squares, "
            f"side/distance to lid corners <= {self.ratio:g} down to distance {self.radius:g}"
        )


FINE = Resolution(24, 0.25, 1e-4)
MEDIUM = Resolution(16, 0.5, 1e-4)
COARSE = Resolution(8, 1.0, 1e-2)


def lid(points: np.ndarray) -> np.ndarray:
    """Velocity `[2, n]` of the walls at `[2, n]`: u = 1 on the lid between its corners, else 0."""
    x, y = points
    return np.array([np.where((y == 1) & (x > 0) & (x < 1), 1.0, 0.0), np.zeros_like(x)])


def solve(Re: float = 100, resolution: Resolution = FINE) -> Flow:
    """The discrete flow; `FINE` costs about a minute of one core at Re = 100."""
    mesh = graded(criss_cross(resolution.cells), LID_CORNERS, resolution.ratio, resolution.radius)
    return steady_flow(mesh, lid, Re, resolution.degree)


def dataset(flow: Flow, points: int = 101) -> xarray.Dataset:
    """u, v, speed, p, psi on a uniform grid of `points`² nodes, walls included.

    u, speed and p are missing (NaN) at the two upper corners, where the problem gives no value.
    """
    if points < 2:
        raise UserError(f"points along a side: expected at least 2, got {points!r}")
    axis = np.linspace(0, 1, points)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    at = np.array([x, y])
    u, v, p = flow.at(at)
    psi = flow.velocity.probes(at) @ flow.stream_function()
    corner = (y == 1) & ((x == 0) | (x == 1))
    u[corner] = p[corner] = np.nan
    names = {
        "u": (u, "velocity along x"),
        "v": (v, "velocity along y"),
        "speed": (np.hypot(u, v), "speed"),
        "p": (p, "pressure, zero mean over the cavity"),
        "psi": (psi, "stream function, u = dpsi/dy, v = -dpsi/dx, zero on the walls"),
    }
    fields = {
        name: (("y", "x"), values.reshape(points, points), {"units": "1", "long_name": words})
        for name, (values, words) in names.items()
    }
    coordinates = {
        "y": ("y", axis, {"units": "1", "long_name": "height", "axis": "Y"}),
        "x": ("x", axis, {"units": "1", "long_name": "position along the lid", "axis": "X"}),
    }
    return xarray.Dataset(fields, coordinates, _description(flow))


def _description(flow: Flow) -> dict[str, str | float | int]:
    return {
        "Conventions": "CF-1.11",
        "title": f"Steady lid-driven square cavity at Re = {flow.Re:g}",
        "source": "sciml.references.cavity: Taylor-Hood finite elements, Newton's method",
        "references": "U. Ghia, K. N. Ghia, C. T. Shin, J. Comput. Phys. 48 (1982) 387-411",
        "license": "Apache-2.0",
        "comment": "u and p have no value at the two upper corners and are missing there",
        "Re": float(flow.Re),
        "triangles": int(flow.velocity.mesh.t.shape[1]),
        "unknowns": flow.unknowns,
        "newton_steps": flow.steps,
        "largest_discrete_residual": flow.residual,
        "software": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def difference(a: xarray.Dataset, b: xarray.Dataset) -> dict[str, float]:
    """How far `a` is from `b` on their common grid: what a refinement of the mesh still changes."""
    gap = (a - b)[["u", "v", "p", "psi"]]
    speeds = [np.hypot(d.u, d.v) for d in (a, b)]
    return {
        "rel_l2_speed": float(
            np.sqrt(((speeds[0] - speeds[1]) ** 2).sum() / (speeds[1] ** 2).sum())
        ),
        "max_velocity": float(max(abs(gap.u).max(), abs(gap.v).max())),
        "max_u_centreline": float(abs(gap.u.sel(x=0.5)).max()),
        "max_v_centreline": float(abs(gap.v.sel(y=0.5)).max()),
        "max_psi": float(abs(gap.psi).max()),
        "rms_p": float(np.sqrt((gap.p**2).mean())),
    }


def make(
    path: str | Path,
    Re: float = 100,
    points: int = 101,
    resolution: Resolution = FINE,
    coarser: Resolution = MEDIUM,
) -> Path:
    """Solves on two meshes, writes the finer (float32) with their difference as error estimate.

    The difference bounds the finer mesh's error as long as the coarser one has the larger error.
    """
    fine = dataset(solve(Re, resolution), points)
    gap = difference(dataset(solve(Re, coarser), points), fine)
    fine.attrs["discretisation"] = str(resolution)
    fine.attrs["convergence_estimate"] = f"difference to: {coarser}"
    fine.attrs.update({f"difference_{name}": value for name, value in gap.items()})
    return write(fine, path)


def write(data: xarray.Dataset, path: str | Path) -> Path:
    """Writes compressed float32 netCDF, whole or not at all."""
    packed = {"dtype": "float32", "zlib": True, "complevel": 9, "shuffle": True}
    path = Path(path)
    with atomic.replacing(path) as partial:
        encoding = dict.fromkeys(data.data_vars, packed)
        data.to_netcdf(partial, engine="netcdf4", encoding=encoding)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"expected one argument, the file to write, got {len(sys.argv) - 1}")
    print(make(sys.argv[1]))

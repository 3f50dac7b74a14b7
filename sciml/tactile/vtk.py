"""A result for viewers of meshes: one `.vtu` for each time and a `.pvd` that lists them.

The points are those at rest, with the displacement as a vector to warp them by; fields are in
single precision, compressed. meshio writes the meshes; a list of files with their times it has
not, so that is written here. The order of nodes is VTK's: corners right-handed, midpoints of the
sides 01, 12, 02, 03, 13, 23.
"""

from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import xarray
from jaxtyping import Int

from sciml import atomic
from sciml.calculus.simplex import EDGES, volumes
from sciml.contracts import UserError

#: Corners of the sides whose midpoints VTK's quadratic tetrahedron has, in its order.
SIDES = ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))
NAME = "touch"


def require() -> None:
    """Refuses to go on where meshio is not installed.

    Raises:
        UserError: it is not.
    """
    if find_spec("meshio") is None:
        raise UserError(
            "vtk: expected the package meshio, found none; pip install 'sciml-suite[mesh]', or "
            "leave vtk=false"
        )


def write(dataset: xarray.Dataset, folder: Path) -> Path:
    """Writes `touch-0000.vtu` … and `touch.pvd`, which comes last and names whole files only.

    Args:
        dataset: as in a run's `result.nc`: what lies on (time, node) and (time, node, axis)
            becomes data of points, what lies on cells data of cells, under the same names.
        folder: made where it is not there.

    Returns:
        The path of the `.pvd`.

    Raises:
        UserError: meshio is not installed, the folder cannot be written.
    """
    require()
    import meshio

    cells = ordered(dataset.node_position.values, dataset.corners.values)
    kind = "tetra" if cells.shape[1] == 4 else "tetra10"
    points = dataset.node_position.values.astype(np.float32)
    of_cells = _single({n: v for n, v in dataset.items() if v.dims == ("cell",)})
    names = [f"{NAME}-{step:04d}.vtu" for step in range(dataset.sizes["time"])]
    nodal = [n for n, v in dataset.items() if v.dims[:2] == ("time", "node")]
    for step, name in enumerate(names):
        of_points = _single({n: dataset[n][step] for n in nodal})
        mesh = meshio.Mesh(
            points, [(kind, cells)], of_points, {n: [v] for n, v in of_cells.items()}
        )
        with atomic.replacing(Path(folder) / name) as temporary:
            meshio.write(temporary, mesh, file_format="vtu")
    path = Path(folder) / f"{NAME}.pvd"
    atomic.write(path, _collection(names, dataset.time.values))
    return path


def ordered(nodes: np.ndarray, cells: Int[np.ndarray, "m nodes"]) -> Int[np.ndarray, "m nodes"]:
    """Cells of `elements`, whose corners rise, in VTK's order.

    Args:
        nodes: `[n, 3]` positions at rest.
        cells: `[m, 4 or 10]`.
    """
    right = np.arange(cells.shape[1])
    left = _swapped(cells.shape[1])
    handed = volumes(nodes[cells[:, :4]]) > 0
    found = np.where(handed[:, None], cells[:, right], cells[:, left])
    if cells.shape[1] == 4:
        return found
    midpoint = {frozenset(ends): 4 + i for i, ends in enumerate(EDGES)}
    return found[:, [0, 1, 2, 3, *(midpoint[frozenset(ends)] for ends in SIDES)]]


def _swapped(nodes: int) -> list[int]:
    """Local nodes after corners 0 and 1 have changed places."""
    corner = [1, 0, 2, 3]
    if nodes == 4:
        return corner
    midpoint = {frozenset(ends): 4 + i for i, ends in enumerate(EDGES)}
    return [*corner, *(midpoint[frozenset((corner[a], corner[b]))] for a, b in EDGES)]


def _single(fields: dict) -> dict[str, np.ndarray]:
    return {str(name): np.asarray(field.values, dtype=np.float32) for name, field in fields.items()}


def _collection(names: list[str], times: np.ndarray) -> bytes:
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1")
    listed = ElementTree.SubElement(root, "Collection")
    for name, time in zip(names, times, strict=True):
        ElementTree.SubElement(
            listed, "DataSet", timestep=repr(float(time)), group="", part="0", file=name
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"

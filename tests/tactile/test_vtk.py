"""Files for viewers: read back by meshio and by VTK itself, with the right volume and midpoints."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray

from sciml.contracts import UserError
from sciml.tactile import vtk
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import pad

meshio = pytest.importorskip("meshio", reason="writes and reads the files; extra mesh")


def result(degree: int) -> tuple[Elements, xarray.Dataset]:
    """Three times of a pad whose displacement, pressure and moduli are known everywhere."""
    elements = Elements(pad(0.02, 0.015, 0.004, (3, 2, 1)), degree)
    u = np.stack([time * elements.nodes**2 for time in (0.0, 1.0, 2.0)])
    nodal = ("time", "node", "axis")
    return elements, xarray.Dataset(
        {
            "u": (nodal, u, {"units": "m"}),
            "pressure": (nodal[:2], u[..., 0] * 1e6),
            "E": (("cell",), 1e5 + np.arange(len(elements.cells))),
            "force": (("time", "axis"), np.zeros((3, 3))),
            "corners": (("cell", "corner"), elements.cells),
        },
        {"time": [0.0, 0.01, 0.02], "node_position": (("node", "axis"), elements.nodes)},
    )


@pytest.mark.parametrize(("degree", "kind"), [(1, "tetra"), (2, "tetra10")])
def test_what_was_written_is_read_back(degree: int, kind: str, tmp_path: Path) -> None:
    elements, dataset = result(degree)
    vtk.write(dataset, tmp_path / "vtk")
    for step in range(3):
        found = meshio.read(tmp_path / f"vtk/touch-{step:04d}.vtu")
        assert set(found.point_data) == {"u", "pressure"} and set(found.cell_data) == {"E"}
        np.testing.assert_allclose(found.points, elements.nodes, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.point_data["u"], dataset.u[step], rtol=1e-6)
        np.testing.assert_allclose(found.point_data["pressure"], dataset.pressure[step], rtol=1e-6)
        (cells,) = found.cells
        assert cells.type == kind
        np.testing.assert_allclose(found.cell_data["E"][0], dataset.E, rtol=1e-6)
        np.testing.assert_array_equal(np.sort(cells.data, 1), np.sort(elements.cells, 1))


def test_corners_are_right_handed_and_midpoints_where_vtk_has_them(tmp_path: Path) -> None:
    """The sides of VTK_QUADRATIC_TETRA from its manual, and the volume as VTK reckons it."""
    elements, dataset = result(2)
    cells = vtk.ordered(elements.nodes, elements.cells)
    corner = elements.nodes[cells]
    a, b, c = (corner[:, i] - corner[:, 0] for i in (1, 2, 3))
    assert ((np.cross(a, b) * c).sum(1) > 0).all()
    for midpoint, (i, j) in enumerate(((0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)), start=4):
        expected = (corner[:, i] + corner[:, j]) / 2
        np.testing.assert_allclose(corner[:, midpoint], expected, atol=1e-12)

    pyvista = pytest.importorskip("pyvista", reason="a second reader; extra mesh")
    vtk.write(dataset, tmp_path)
    found = pyvista.read(tmp_path / "touch-0002.vtu")
    assert set(found.celltypes) == {pyvista.CellType.QUADRATIC_TETRA}
    assert found.volume == pytest.approx(0.02 * 0.015 * 0.004, rel=1e-6)


def test_the_collection_lists_every_time_with_its_file(tmp_path: Path) -> None:
    path = vtk.write(result(1)[1], tmp_path)
    listed = ElementTree.parse(path).getroot()
    assert listed.tag == "VTKFile" and listed.attrib["type"] == "Collection"
    entries = [(float(one.attrib["timestep"]), one.attrib["file"]) for one in listed[0]]
    assert entries == [(0.01 * step, f"touch-{step:04d}.vtu") for step in range(3)]
    assert all((tmp_path / name).is_file() for _, name in entries)
    pyvista = pytest.importorskip("pyvista", reason="a second reader; extra mesh")
    reader = pyvista.get_reader(path)
    assert reader.time_values == [0.0, 0.01, 0.02]


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch) -> None:
    def broken(path, *_, **__) -> None:
        Path(path).write_text("<VTKFile")
        raise OSError("No space left on device")

    monkeypatch.setattr(meshio, "write", broken)
    with pytest.raises(UserError, match=r"touch-0000\.vtu could not be written: No space left"):
        vtk.write(result(1)[1], tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_meshio_there_is_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vtk, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"expected the package meshio, found none; pip install"):
        vtk.write(result(1)[1], tmp_path)
    assert not list(tmp_path.iterdir())

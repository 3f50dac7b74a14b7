"""Meshes: structured shapes fill what they claim; surfaces are filled; bad input is one line."""

import numpy as np
import pytest
import trimesh

from sciml.calculus.simplex import volumes
from sciml.contracts import UserError
from sciml.tactile.mesh import Mesh, crossings, from_surface, oriented
from sciml.tactile.shapes import block, cylinder, dome, pad

NODES = np.concatenate([np.zeros((1, 3)), np.eye(3)]) * 0.01
TET = np.array([[0, 1, 2, 3]])

SHAPES = {
    # name: (mesh, its surfaces but the whole boundary, exact volume, relative error of polygons)
    "block": (block((0.02, 0.01, 0.03), (2, 1, 3)), 6, 6e-6, 1e-13),
    "pad": (pad(0.02, 0.01, 0.005, (4, 2, 1)), 3, 1e-6, 1e-13),
    "cylinder": (cylinder(0.01, 0.02, 6, 3), 3, np.pi * 2e-6, 0.006),
    "dome": (dome(0.0075, 0.015, 6, 3), 3, 2 / 3 * np.pi * (0.015**3 - 0.0075**3), 0.03),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    mesh, parts, volume, error = SHAPES[name]
    assert volumes(mesh.nodes[mesh.tets]).min() > 0
    assert mesh.volume == pytest.approx(volume, rel=error)
    named = [triangles for key, triangles in mesh.surfaces.items() if key != "boundary"]
    assert len(named) == parts and min(map(len, named)) > 0
    together = np.sort(np.concatenate(named), axis=1)
    whole = np.sort(mesh.surface("boundary"), axis=1)
    assert len(together) == len(whole)  # each triangle of the boundary in one named part
    assert {*map(tuple, together)} == {*map(tuple, whole)}


@pytest.mark.parametrize("name", SHAPES)
def test_boundaries_face_outwards(name: str) -> None:
    mesh = SHAPES[name][0]
    a, b, c = np.moveaxis(mesh.nodes[mesh.surface("boundary")], 1, 0)
    normals = np.cross(b - a, c - a) / 2
    assert (a * normals).sum() / 3 == pytest.approx(mesh.volume, rel=1e-12)  # Gauss
    assert np.abs(normals.sum(0)).max() < 1e-15


def test_layers_of_a_dome_lie_on_spheres() -> None:
    mesh = dome(0.0075, 0.015, 4, 2)
    for name, radius in (("inner", 0.0075), ("outer", 0.015)):
        at = mesh.nodes[np.unique(mesh.surface(name))]
        assert np.allclose(np.linalg.norm(at, axis=1), radius, atol=1e-15)
    assert np.abs(mesh.nodes[np.unique(mesh.surface("rim")), 2]).max() < 1e-15


def test_left_handed_tetrahedra_are_turned() -> None:
    left = np.array([[1, 0, 2, 3]])
    assert volumes(NODES[oriented(NODES, left)])[0] > 0
    assert (oriented(NODES, TET) == TET).all()


@pytest.mark.parametrize(
    ("nodes", "tets", "said"),
    [
        (NODES, TET[:, [1, 0, 2, 3]], "right-handed.*got 1 of 1 inverted or flat.*swap two"),
        (NODES * [1, 1, 0], TET, "got 1 of 1 inverted or flat"),
        (NODES * 1000, TET, "expected metres and at most 1 m across, got 10; if these are milli"),
        (NODES, TET + 1, "expected corners in 0 … 3, got 1 … 4; number the nodes from 0"),
        (np.vstack([NODES, NODES[:1]]), TET, "expected every node in a tetrahedron, got 1 of 5"),
        (NODES * np.nan, TET, "expected finite coordinates, got .nan nan nan. at node 0"),
        (NODES, TET[:0], "expected at least one tetrahedron, got none"),
    ],
)
def test_bad_meshes_are_refused(nodes: np.ndarray, tets: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        Mesh(nodes, tets)
    assert "\n" not in str(refusal.value)


def test_bad_surfaces_of_a_mesh_are_refused() -> None:
    with pytest.raises(UserError, match="surface 'front': expected one of boundary"):
        Mesh(NODES, TET).surface("front")
    brick = block((0.01,) * 3, (1, 1, 1))
    inner = brick.tets[:1, [0, 1, 3]]  # along the brick's long diagonal
    with pytest.raises(UserError, match="surface 'cut': expected triangles of the mesh's boundary"):
        Mesh(brick.nodes, brick.tets, {"cut": inner})


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (lambda: block((0.01, 0.0, 0.01), (1, 1, 1)), "block: expected size > 0"),
        (lambda: block((0.01, 0.01, 0.01), (1, 0, 1)), "block: expected cells > 0"),
        (lambda: cylinder(-0.01, 0.02, 3, 3), "cylinder: expected radius > 0, got -0.01"),
        (lambda: dome(0.02, 0.01, 3, 3), "dome: expected outer > inner = 0.02 m, got 0.01"),
        (lambda: dome(0.01, 0.02, 3, 3, 180.0), "opening in .0, 150. degrees, got 180.0"),
        (lambda: block((20.0, 20.0, 10.0), (1, 1, 1)), "if these are millimetres multiply by 1e-3"),
    ],
)
def test_bad_shapes_are_refused(shape, said: str) -> None:
    with pytest.raises(UserError, match=said):
        shape()


BALL = trimesh.creation.icosphere(subdivisions=1, radius=0.01)


def open_ball() -> trimesh.Trimesh:
    return trimesh.Trimesh(BALL.vertices, BALL.faces[1:], process=False)


def twice() -> trimesh.Trimesh:
    return trimesh.util.concatenate([BALL, BALL.copy().apply_translation([0.009, 0.001, 0.002])])


def inside_out() -> trimesh.Trimesh:
    return trimesh.Trimesh(BALL.vertices, BALL.faces[:, ::-1], process=False)


@pytest.mark.parametrize(
    ("surface", "edge", "scale", "said"),
    [
        (open_ball, 0.004, 1.0, "expected a closed one, got 3 edges that do not join two"),
        (twice, 0.004, 1.0, "expected one that does not cut itself, got [0-9]+ pairs"),
        (inside_out, 0.004, 1.0, "facing outwards, got inwards; call invert"),
        (lambda: BALL, 0.004, 1e3, "expected metres and at most 1 m across, got 20; if these are"),
        (lambda: BALL, 4.0, 1.0, "edge_length: expected metres in .0, 0.02., the body's size"),
        (lambda: "nowhere.stl", 0.004, 1.0, "got 'nowhere.stl': no such file"),
    ],
)
def test_bad_surfaces_are_refused(surface, edge: float, scale: float, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        from_surface(surface(), edge, scale)
    assert "\n" not in str(refusal.value)


def test_a_sound_surface_does_not_cross_itself() -> None:
    assert crossings(BALL.vertices, BALL.faces) == 0


def test_a_missing_mesher_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytetwild", None)
    with pytest.raises(UserError, match="expected pytetwild and pyvista, got .*sciml-suite.mesh."):
        from_surface(BALL, 0.004)


def test_a_left_handed_mesher_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mesher:
        @staticmethod
        def tetrahedralize(points, triangles, edge_length_fac: float, quiet: bool):
            assert edge_length_fac == pytest.approx(0.004 / np.linalg.norm(np.ptp(points, axis=0)))
            loose = np.vstack([NODES, NODES[:1] + 1])  # and a node of no tetrahedron
            return loose, TET[:, [1, 0, 2, 3]].astype(np.int32)

    monkeypatch.setitem(__import__("sys").modules, "pytetwild", Mesher)
    found = from_surface(BALL, 0.004)
    assert len(found.nodes) == 4 and found.volume == pytest.approx(1e-6 / 6)


def test_a_ball_is_filled(tmp_path) -> None:
    pytest.importorskip("pytetwild", reason="extra 'mesh' is not installed")
    BALL.copy().apply_scale(1e3).export(tmp_path / "ball.stl")
    found = from_surface(tmp_path / "ball.stl", 0.005, scale=1e-3)
    assert found.volume == pytest.approx(BALL.volume, rel=0.02)


def test_a_graded_pad_is_finer_in_the_middle_and_at_the_front() -> None:
    """Slopes of the maps: a s + (1 - a) s³ is a in the middle, c s + (1 - c) s² is c at s = 0."""
    size, cells = (0.02, 0.016, 0.004), (20, 16, 10)
    graded = pad(*size, cells, (0.4, 0.5, 0.6))
    plain = pad(*size, cells)
    assert graded.volume == pytest.approx(plain.volume, rel=1e-12)
    for name in ("back", "front", "sides"):
        np.testing.assert_array_equal(graded.surface(name), plain.surface(name))
    steps = [np.diff(np.unique(graded.nodes[:, axis].round(12))) for axis in range(3)]
    shares = [one * n / length for one, n, length in zip(steps, cells, size, strict=True)]
    assert shares[0][9:11] == pytest.approx(0.4 + 0.6 * 0.1**2)  # s from 0 to 0.1
    assert shares[1][7:9] == pytest.approx(0.5 + 0.5 / 8**2)
    assert shares[2][-1] == pytest.approx(0.6 + 0.4 * 0.1) and shares[2][0] > 1.3
    with pytest.raises(UserError, match=r"three shares in \(0, 1\] for grading, got \[2"):
        pad(*size, cells, [2.0, 1.0, 1.0])

"""Structured meshes: block, pad of a flat sensor, cylinder, dome of a round sensor.

Blocks are cut by Kuhn's six tetrahedra a brick; cylinders and domes are layers of a disc of rings
with six more triangles each, whose prisms are cut along the smaller node numbers. Neighbours
therefore share whole faces.
"""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

from sciml.calculus.simplex import boundary
from sciml.contracts import UserError
from sciml.tactile.mesh import LARGEST, Mesh, oriented

#: Whether a triangle belongs to a surface: corners `[k, 3, 3]` → `[k]`.
Belongs = Callable[[np.ndarray], np.ndarray]


def block(
    size: tuple[float, float, float], cells: tuple[int, int, int], largest: float = LARGEST
) -> Mesh:
    """The brick [0, x] × [0, y] × [0, z], with surfaces x0, x1, y0, y1, bottom (z = 0) and top.

    Args:
        size: edges, m, > 0.
        cells: bricks along each axis, ≥ 1; six tetrahedra each.
        largest: see `Mesh`.

    Raises:
        UserError: a size or number of cells that is not positive.
    """
    _refuse("block", size=size, cells=cells)
    axes = [np.linspace(0, length, n + 1) for length, n in zip(size, cells, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    surfaces: dict[str, Belongs] = {}
    for axis, (low, high) in enumerate((("x0", "x1"), ("y0", "y1"), ("bottom", "top"))):
        surfaces[low] = _on(axis, 0.0, size[axis])
        surfaces[high] = _on(axis, size[axis], size[axis])
    return _mesh(nodes, _kuhn(cells), surfaces, largest)


def pad(
    width: float,
    depth: float,
    thickness: float,
    cells: Sequence[int],
    grading: Sequence[float] = (1.0, 1.0, 1.0),
) -> Mesh:
    """The gel of a flat, GelSight-like sensor, centred on the z axis.

    Its `back` (z = 0) is glued to the camera's window, its `front` (z = thickness) touches; the
    four `sides` are free.

    Args:
        width, depth, thickness: along x, y, z, m, > 0.
        cells: bricks along each of the three axes, ≥ 1; six tetrahedra each.
        grading: size of the bricks in the middle of x and y and at the front, as a share of the
            mean one, in (0, 1]; outwards and downwards they grow smoothly.

    Raises:
        UserError: a length or number of cells that is not positive; another number of axes; a
            grading out of (0, 1].
    """
    if len(cells) != 3:
        raise UserError(f"pad: expected cells along three axes, got {list(cells)}")
    if len(grading) != 3 or not all(0 < share <= 1 for share in grading):
        raise UserError(f"pad: expected three shares in (0, 1] for grading, got {list(grading)}")
    along_x, along_y, along_z = cells
    brick = block((width, depth, thickness), (along_x, along_y, along_z))
    surfaces = {
        "back": brick.surface("bottom"),
        "front": brick.surface("top"),
        "sides": np.concatenate([brick.surface(side) for side in ("x0", "x1", "y0", "y1")]),
    }
    s = brick.nodes / [width / 2, depth / 2, thickness] - [1.0, 1.0, 1.0]  # front: z = 0
    a, b, c = grading
    x, y = a * s[:, 0] + (1 - a) * s[:, 0] ** 3, b * s[:, 1] + (1 - b) * s[:, 1] ** 3
    z = 1 + c * s[:, 2] - (1 - c) * s[:, 2] ** 2
    nodes = np.column_stack([width / 2 * x, depth / 2 * y, thickness * z])
    return Mesh(nodes, brick.tets, surfaces)


def cylinder(
    radius: float, height: float, rings: int, layers: int, largest: float = LARGEST
) -> Mesh:
    """A cylinder about the z axis with surfaces bottom (z = 0), top and side.

    Args:
        radius, height: m, > 0.
        rings: of triangles from the axis to the side, ≥ 1; 6 rings² triangles.
        layers: along z, ≥ 1; three tetrahedra for each triangle.
        largest: see `Mesh`.

    Raises:
        UserError: a length or number that is not positive.
    """
    _refuse("cylinder", radius=radius, height=height, rings=rings, layers=layers)
    disc, triangles = _disc(rings)
    levels = [np.full(len(disc), z) for z in np.linspace(0, height, layers + 1)]
    nodes = np.concatenate([np.column_stack([radius * disc, z]) for z in levels])
    surfaces: dict[str, Belongs] = {
        "bottom": _on(2, 0.0, height),
        "top": _on(2, height, height),
        "side": lambda x: (
            (np.hypot(x[..., 0], x[..., 1]) > radius * np.cos(np.pi / (6 * rings)) ** 2).all(-1)
            & (np.ptp(x[..., 2], axis=-1) > 0)
        ),
    }
    return _mesh(nodes, _prisms(triangles, len(disc), layers), surfaces, largest)


def dome(inner: float, outer: float, rings: int, layers: int, opening: float = 90.0) -> Mesh:
    """A spherical shell about the origin, the gel of a round sensor, open towards -z.

    Its `inner` face sits on the sensor's core, its `outer` face touches; `rim` is the free edge.

    Args:
        inner, outer: radii, m, 0 < inner < outer.
        rings: of triangles from the pole to the rim, ≥ 1.
        layers: from the inner to the outer face, ≥ 1.
        opening: angle from the pole to the rim, degrees, in (0, 150]; 90 is a hemisphere.

    Raises:
        UserError: values out of these ranges.
    """
    _refuse("dome", inner=inner, rings=rings, layers=layers)
    if not outer > inner:
        raise UserError(f"dome: expected outer > inner = {inner:g} m, got {outer!r}")
    if not 0 < opening <= 150:
        raise UserError(f"dome: expected opening in (0, 150] degrees, got {opening!r}")
    disc, triangles = _disc(rings)
    r = np.hypot(*disc.T)
    polar = np.deg2rad(opening) * r
    along = np.sinc(polar / np.pi) * np.deg2rad(opening)  # sin(polar) / r
    sphere = np.column_stack([disc * along[:, None], np.cos(polar)])
    nodes = np.concatenate([radius * sphere for radius in np.linspace(inner, outer, layers + 1)])
    half = (outer - inner) / (2 * layers)

    def shell(radius: float) -> Belongs:
        return lambda x: (np.abs(np.linalg.norm(x, axis=-1) - radius) < half / 2).all(-1)

    surfaces = {"inner": shell(inner), "outer": shell(outer)}
    surfaces["rim"] = lambda x: ~(surfaces["inner"](x) | surfaces["outer"](x))
    return _mesh(nodes, _prisms(triangles, len(disc), layers), surfaces, LARGEST)


def _refuse(shape: str, **values: float | int | tuple[float | int, ...]) -> None:
    for name, value in values.items():
        if not np.all(np.asarray(value) > 0):
            raise UserError(f"{shape}: expected {name} > 0, got {value!r}")


def _on(axis: int, value: float, extent: float) -> Belongs:
    return lambda x: np.asarray((np.abs(x[..., axis] - value) < 1e-9 * extent).all(-1))


def _mesh(
    nodes: np.ndarray, tets: np.ndarray, surfaces: dict[str, Belongs], largest: float
) -> Mesh:
    tets = oriented(nodes, tets)
    skin = boundary(tets)
    named = {name: skin[belongs(nodes[skin])] for name, belongs in surfaces.items()}
    return Mesh(nodes, tets, named, largest)


def _kuhn(cells: tuple[int, int, int]) -> Int[np.ndarray, "m 4"]:
    """Every brick cut into the six paths from its lowest to its highest corner."""
    strides = np.array([(cells[1] + 1) * (cells[2] + 1), cells[2] + 1, 1])
    lowest = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), -1).reshape(-1, 3)
    first = lowest @ strides
    paths = [np.cumsum([0, *strides[list(order)]]) for order in permutations(range(3))]
    return np.concatenate([first[:, None] + path for path in paths])


def _disc(rings: int) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, "k 3"]]:
    """The unit disc: a centre and rings of 6, 12, 18 … points; triangles anticlockwise."""
    points, triangles, start = [np.zeros((1, 2))], [], 1
    for ring in range(1, rings + 1):
        angle = 2 * np.pi * np.arange(6 * ring) / (6 * ring)
        points.append(ring / rings * np.column_stack([np.cos(angle), np.sin(angle)]))
        inside = start - 6 * (ring - 1) if ring > 1 else 0
        for sector in range(6):
            for k in range(ring):
                at = sector * ring + k
                here, after = start + at, start + (at + 1) % (6 * ring)
                if ring == 1:
                    triangles.append((here, after, 0))
                    continue
                below = inside + (sector * (ring - 1) + k) % (6 * (ring - 1))
                triangles.append((here, after, below))
                if k < ring - 1:
                    beside = inside + (sector * (ring - 1) + k + 1) % (6 * (ring - 1))
                    triangles.append((after, beside, below))
        start += 6 * ring
    return np.concatenate(points), np.array(triangles)


def _prisms(
    triangles: Int[np.ndarray, "k 3"], per_layer: int, layers: int
) -> Int[np.ndarray, "m 4"]:
    """Layers of prisms over triangles, three tetrahedra each."""
    a, b, c = np.sort(triangles, axis=1).T
    A, B, C = a + per_layer, b + per_layer, c + per_layer
    one = np.concatenate([np.stack(t, 1) for t in ((a, b, c, C), (a, b, B, C), (a, A, B, C))])
    return np.concatenate([one + layer * per_layer for layer in range(layers)])

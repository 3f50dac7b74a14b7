"""Where a problem lives. The shapes to choose from: interval, rectangle, box, disk, ball, polygon,
any closed surface mesh, a cloud of points; combined by `|`, `&`, `-` and made unsteady by
`.over_time(start, end)`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.contracts import UserError
from sciml.pinn import surfaces
from sciml.pinn.deepxde import double_precision, drawing
from sciml.pinn.geometry import Domain
from sciml.pinn.solids import Cloud, Solid

if TYPE_CHECKING:
    import trimesh

__all__ = [
    "Domain",
    "ball",
    "box",
    "disk",
    "from_deepxde",
    "interval",
    "mesh",
    "point_cloud",
    "polygon",
    "rectangle",
]

Names = Sequence[str]


def interval(lower: float, upper: float, coordinates: Names = ()) -> Domain:
    """lower < x < upper."""
    return _filled((lower,), (upper,), coordinates)


def rectangle(lower: Sequence[float], upper: Sequence[float], coordinates: Names = ()) -> Domain:
    """The rectangle between two corners, sides along the axes."""
    _expect_dimension("rectangle", 2, lower, upper)
    return _filled(lower, upper, coordinates)


def box(lower: Sequence[float], upper: Sequence[float], coordinates: Names = ()) -> Domain:
    """The box between two corners in three dimensions, faces along the axes."""
    _expect_dimension("box", 3, lower, upper)
    return _filled(lower, upper, coordinates)


def _expect_dimension(shape: str, d: int, *corners: Sequence[float]) -> None:
    if any(len(corner) != d for corner in corners):
        raise UserError(f"{shape}: expected corners of {d} numbers, got {[*map(list, corners)]}")


def _filled(lower: Sequence[float], upper: Sequence[float], coordinates: Names) -> Domain:
    low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if not (np.all(np.isfinite([low, high])) and np.all(low < high)):
        raise UserError(
            f"domain: expected lower < upper on every axis, got {low.tolist()} and "
            f"{high.tolist()} (an interior of acceptance 0); swap or widen them"
        )
    with double_precision() as deepxde:
        if len(low) == 1:
            geometry = deepxde.geometry.Interval(float(low[0]), float(high[0]))
        else:
            solid = deepxde.geometry.Rectangle if len(low) == 2 else deepxde.geometry.Cuboid
            geometry = solid(low, high)
    return Domain(geometry, (surfaces.box(low, high),), tuple(coordinates), fills_box=True)


def disk(centre: Sequence[float], radius: float, coordinates: Names = ()) -> Domain:
    """All points of the plane nearer than `radius` to `centre`."""
    return _round("disk", 2, centre, radius, coordinates)


def ball(centre: Sequence[float], radius: float, coordinates: Names = ()) -> Domain:
    """All points of space nearer than `radius` to `centre`."""
    return _round("ball", 3, centre, radius, coordinates)


def _round(
    shape: str, d: int, centre: Sequence[float], radius: float, coordinates: Names
) -> Domain:
    if len(centre) != d or not radius > 0:
        raise UserError(
            f"{shape}: expected a centre of {d} numbers and a radius > 0, "
            f"got {list(centre)} and {radius}"
        )
    middle = np.asarray(centre, dtype=float)
    with double_precision() as deepxde:
        solid = deepxde.geometry.Disk if d == 2 else deepxde.geometry.Sphere
        geometry = solid(middle, float(radius))
    return Domain(geometry, (surfaces.sphere(middle, float(radius)),), tuple(coordinates))


def polygon(vertices: Sequence[Sequence[float]], coordinates: Names = ()) -> Domain:
    """The inside of a polygon whose sides do not cross; the last vertex is joined to the first."""
    corners = np.asarray(vertices, dtype=float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise UserError(
            f"polygon: expected at least 3 vertices (x, y), got an array of shape {corners.shape}"
        )
    x, y = corners.T
    area = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
    if abs(area) < 1e-12 * np.ptp(corners) ** 2 or _crosses_itself(corners):
        raise UserError(
            f"polygon: expected sides that enclose an area without crossing, got {corners.tolist()}"
        )
    if area < 0:
        corners = corners[::-1].copy()
    return Domain(_polygon(corners), (surfaces.polyline(corners),), tuple(coordinates))


def _polygon(corners: np.ndarray) -> Any:
    """deepxde keeps triangles and upright rectangles apart from other polygons."""
    with double_precision() as deepxde:
        if len(corners) == 3:
            return deepxde.geometry.Triangle(*corners)
        if deepxde.geometry.Rectangle.is_valid(corners):
            return deepxde.geometry.Rectangle(corners.min(axis=0), corners.max(axis=0))
        return deepxde.geometry.Polygon(corners)


def _crosses_itself(corners: np.ndarray) -> bool:
    """Whether two sides cross: the ends of each lie strictly on different sides of the other."""
    a, b = corners, np.roll(corners, -1, axis=0)
    side = b - a

    def left(points: np.ndarray) -> np.ndarray:
        offset = points[None, :] - a[:, None]
        return np.sign(side[:, None, 0] * offset[..., 1] - side[:, None, 1] * offset[..., 0])

    apart = left(a) * left(b) < 0
    return bool(np.any(apart & apart.T))


def from_deepxde(geometry: Any, coordinates: Names = ()) -> Domain:
    """Any geometry of deepxde that knows its boundary's normals, such as `StarShaped`.

    It is taken as it is, so build it in float64: `deepxde.config.set_default_float("float64")`. In
    combinations its share of the boundary points follows its perimeter, if it knows that.
    """

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        with drawing(rng):
            x = geometry.random_boundary_points(n) if n else np.zeros((0, geometry.dim))
            return x, geometry.boundary_normal(x) if n else x

    lower, upper = geometry.bbox
    size = float(np.linalg.norm(np.subtract(upper, lower)))
    measure = float(getattr(geometry, "perimeter", np.pi * size ** (geometry.dim - 1)))
    return Domain(geometry, (surfaces.Surface(measure, draw),), tuple(coordinates))


def mesh(surface: "str | Path | trimesh.Trimesh", coordinates: Names = ()) -> Domain:
    """The inside of a closed triangulated surface: a file (STL, OBJ, PLY, …) or a `Trimesh`."""
    body = _read(Path(surface)) if isinstance(surface, str | Path) else surface
    if not body.is_watertight:
        raise UserError(
            f"mesh: expected a closed surface, got one of {len(body.faces)} faces with open edges; "
            "repair it (trimesh.repair.fill_holes) or export it closed"
        )
    if body.volume < 0:
        body = body.copy()
        body.invert()
    corners = np.array(body.triangles, dtype=float)
    shell = surfaces.triangles(corners, np.array(body.face_normals, dtype=float))
    return Domain(Solid(corners), (shell,), tuple(coordinates))


def _read(path: Path) -> "trimesh.Trimesh":
    import trimesh

    if not path.is_file():
        raise UserError(f"mesh: expected a surface file, got {path}, which does not exist")
    try:
        return trimesh.load_mesh(path)
    except Exception as error:
        raise UserError(
            f"mesh: expected a surface trimesh can read (STL, OBJ, PLY …), got {path}: {error}"
        ) from error


def point_cloud(
    points: np.ndarray,
    boundary: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    coordinates: Names = (),
) -> Domain:
    """A domain known by samples of its inside `[n, d]`, and of its boundary with outward normals.

    Collocation points are drawn from the samples, so the draw is as even as they are; the solution
    is evaluated near them.
    """
    inside = np.asarray(points, dtype=float)
    if inside.ndim != 2 or len(inside) == 0 or not 1 <= inside.shape[1] <= 3:
        raise UserError(f"point_cloud: expected points [n, 1…3], got shape {inside.shape}")
    _expect_finite("points", inside)
    if boundary is None:
        return Domain(Cloud(inside), (), tuple(coordinates), cloud=inside)
    edge, outward = np.asarray(boundary, dtype=float), np.asarray(normals, dtype=float)
    if edge.shape != outward.shape or edge.shape[1:] != inside.shape[1:] or len(edge) == 0:
        raise UserError(
            f"point_cloud: expected boundary and normals [m, {inside.shape[1]}], "
            f"got shapes {edge.shape} and {outward.shape}"
        )
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    _expect_finite("boundary", edge)
    if not np.all((length > 0) & np.isfinite(length)):
        raise UserError("point_cloud: expected normals of some length, got zero or nan; drop those")
    unit = outward / length
    shell = surfaces.given(edge, unit)
    return Domain(Cloud(inside, edge), (shell,), tuple(coordinates), cloud=inside)


def _expect_finite(name: str, x: np.ndarray) -> None:
    if not np.isfinite(x).all():
        raise UserError(f"point_cloud: expected finite {name}, got nan or inf; drop those rows")

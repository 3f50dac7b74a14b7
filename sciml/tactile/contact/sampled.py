"""Rigid solids of any closed surface: their signed distance on a grid, as a cubic B-spline.

    d(y) = Σ c_ijk β(y_x/h - i) β(y_y/h - j) β(y_z/h - k),   n = ∇d,   d is twice differentiable

β is the cubic B-spline and c are such that d is exact at the grid's points. There it is found
triangle by triangle: exact in a band around the surface, its sign that of the angle-weighted
pseudonormal at the closest feature; beyond the band a point takes the distance from the triangle
of the band's point next to it. Flat and gently curved faces are met to the triangles' own error,
edges come out rounded by about h. Outside the grid d is that at the grid's nearest point and the
way from there: too large, never too small.

Source: J. A. Bærentzen, H. Aanæs, IEEE Trans. Vis. Comput. Graph. 11 (2005) 243-253
(pseudonormals); C. de Boor, A Practical Guide to Splines (1978) (splines).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt, spline_filter
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact.closest import barycentric
from sciml.tactile.contact.search import boxed
from sciml.tactile.mesh import LARGEST, closed

if TYPE_CHECKING:
    import trimesh

#: Half the width of the exact band, in spacings.
BAND = 3.5
#: Points of the grid around the surface's box, on every side.
MARGIN = 5
#: Points of a grid that are believed to be meant.
MOST = 30_000_000


@final
@dataclass(frozen=True, eq=False)
class Sampled:
    """A solid by its signed distance on a grid; made by `sampled`.

    Args:
        coefficients: c of the spline, m.
        origin: position of the grid's first point in the solid's frame, m.
        spacing: h, m.
    """

    coefficients: Float[Tensor, "i j k"]
    origin: Float[Tensor, "3"]
    spacing: float

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        """d and n; differentiable twice."""
        shape = torch.tensor(self.coefficients.shape)
        at = (y - self.origin) / self.spacing
        inside = torch.minimum(at.clamp(min=1.0), shape - 2.0)
        cell = torch.minimum(inside.detach().floor().long(), shape - 3)
        weights, slopes = _cubic(inside - cell)
        corner = cell - 1
        steps = torch.arange(4)
        i, j, k = (corner[:, axis, None] + steps for axis in range(3))
        c = self.coefficients[i[:, :, None, None], j[:, None, :, None], k[:, None, None, :]]
        along_z = (c * weights[:, 2, None, None]).sum(-1)
        slope_z = (c * slopes[:, 2, None, None]).sum(-1)
        along_y = (along_z * weights[:, 1, None]).sum(-1)
        slope_y = (along_z * slopes[:, 1, None]).sum(-1)
        slope_z = (slope_z * weights[:, 1, None]).sum(-1)
        d = (along_y * weights[:, 0]).sum(-1)
        n = torch.stack(
            [
                (along_y * slopes[:, 0]).sum(-1),
                (slope_y * weights[:, 0]).sum(-1),
                (slope_z * weights[:, 0]).sum(-1),
            ],
            -1,
        )
        n = n / self.spacing
        away = (at - inside.detach()) * (at != inside)
        if not bool(away.any()):
            return d, n
        squared = (away * away).sum(-1)
        length = torch.where(squared > 0, squared, 1.0).sqrt()
        beyond = length * (squared > 0)
        return d + self.spacing * beyond, n * (at == inside) + away / length[:, None]


def sampled(
    surface: "trimesh.Trimesh | str | Path",
    spacing: float,
    scale: float = 1.0,
    largest: float = LARGEST,
) -> Sampled:
    """The solid inside a closed surface.

    Args:
        surface: a trimesh, or a file that trimesh reads (STL, OBJ, PLY …).
        spacing: of the grid, m, > 0: a fifth of the smallest radius that matters.
        scale: metres per unit of the surface's coordinates: 1e-3 for millimetres.
        largest: extent in metres above which the coordinates are taken for millimetres.

    Raises:
        UserError: no such file; an open, self-intersecting or inside-out surface, or one that
            looks like millimetres; a spacing that makes no grid, or too large a one.
    """
    points, triangles = closed(surface, scale, largest)
    extent = np.ptp(points, axis=0)
    if not 0 < spacing <= extent.max() / 2:
        raise UserError(
            f"spacing: expected metres in (0, {extent.max() / 2:g}], half the solid's size, "
            f"got {spacing!r}"
        )
    i, j, k = (int(count) + 2 * MARGIN + 1 for count in np.ceil(extent / spacing))
    if i * j * k > MOST:
        raise UserError(
            f"spacing: expected a grid of at most {MOST} points, got "
            f"{i} × {j} × {k}; take more than {spacing:g} m"
        )
    middle = (points.max(0) + points.min(0)) / 2
    origin = middle - spacing * (np.array([i, j, k]) - 1) / 2
    d = spacing * signed_distance((points - origin) / spacing, triangles, (i, j, k))
    coefficients = spline_filter(d, order=3, output=np.float64, mode="mirror")
    return Sampled(torch.from_numpy(coefficients), torch.from_numpy(origin), spacing)


def signed_distance(
    points: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "t 3"],
    counts: tuple[int, int, int],
) -> Float[np.ndarray, "i j k"]:
    """d at the points of a grid of spacing 1 that begins at the origin; negative inside.

    Args:
        points: of a closed surface facing outwards.
        triangles: their corners.
        counts: points of the grid along the axes.
    """
    corners, normals = points[triangles], pseudonormals(points, triangles)
    nearest = _nearest_in_band(corners, counts)
    holes = distance_transform_edt(nearest < 0, return_distances=False, return_indices=True)
    whose, source = nearest.ravel(), np.ravel_multi_index(tuple(holes), counts).ravel()
    d = np.empty(len(whose))
    for some in _portions(np.flatnonzero(whose >= 0)):
        way, bary = _way(_grid(some, counts), corners, whose[some])
        facing = (way * normals[whose[some], _feature(bary)].T).sum(0)
        d[some] = np.copysign(np.sqrt((way * way).sum(0)), facing)
    for some in _portions(np.flatnonzero(whose < 0)):
        way, _ = _way(_grid(some, counts), corners, whose[source[some]])
        d[some] = np.copysign(np.sqrt((way * way).sum(0)), d[source[some]])
    return d.reshape(counts)


def pseudonormals(
    points: Float[np.ndarray, "n 3"], triangles: Int[np.ndarray, "t 3"]
) -> Float[np.ndarray, "t 7 3"]:
    """Directions outwards at the features of each triangle: face, corners a b c, edges bc ca ab."""
    corners = points[triangles]
    sides = np.roll(corners, -1, 1) - corners
    face = np.cross(sides[:, 0], sides[:, 1])
    face /= np.linalg.norm(face, axis=1, keepdims=True)
    unit = sides / np.linalg.norm(sides, axis=-1, keepdims=True)
    angles = np.arccos(np.clip(-(unit * np.roll(unit, 1, 1)).sum(-1), -1, 1))
    at_corners = np.zeros_like(points)
    np.add.at(at_corners, triangles, angles[..., None] * face[:, None])
    ends = np.sort(np.stack([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]], 1))
    _, edge = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    edge = edge.reshape(-1, 3)
    at_edges = np.zeros((edge.max() + 1, 3))
    np.add.at(at_edges, edge, np.broadcast_to(face[:, None], (*edge.shape, 3)))
    return np.concatenate([face[:, None], at_corners[triangles], at_edges[edge]], 1)


def _nearest_in_band(
    corners: Float[np.ndarray, "t 3 3"], counts: tuple[int, int, int]
) -> Int[np.ndarray, "i j k"]:
    """The closest triangle of every grid point in the band, -1 elsewhere."""
    low = np.maximum(np.ceil(corners.min(1) - BAND), 0).astype(np.int64)
    high = np.minimum(np.floor(corners.max(1) + BAND), np.array(counts) - 1).astype(np.int64)
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    planes = np.ascontiguousarray(faces.T), (faces * corners[:, 0]).sum(1)
    nearest = np.full(np.prod(counts), np.inf)
    whose = np.full(len(nearest), -1)
    for point, triangle in boxed(low, high, counts):
        grid = _grid(point, counts)
        high = np.abs((grid * planes[0][:, triangle]).sum(0) - planes[1][triangle])
        close = high <= BAND
        point, triangle, grid = point[close], triangle[close], grid[:, close]
        way, _ = _way(grid, corners, triangle)
        squared = (way * way).sum(0)
        order = np.argsort(squared, kind="stable")[::-1]
        order = order[squared[order] < nearest[point[order]]]
        nearest[point[order]] = squared[order]  # of several writes the last, the smallest, stays
        whose[point[order]] = triangle[order]
    whose[nearest > BAND**2] = -1
    return whose.reshape(counts)


def _portions(numbers: np.ndarray) -> list[np.ndarray]:
    return np.array_split(numbers, max(1, len(numbers) >> 19))


def _grid(numbers: np.ndarray, counts: tuple[int, int, int]) -> Float[np.ndarray, "3 k"]:
    return np.stack(np.unravel_index(numbers, counts)).astype(float)


def _way(
    at: Float[np.ndarray, "3 k"], corners: Float[np.ndarray, "t 3 3"], triangle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From the closest points of triangles to given points, and their barycentric coordinates."""
    a, b, c = (np.ascontiguousarray(corners[triangle, i].T) for i in range(3))
    ab, ac = b - a, c - a
    bary = barycentric(*map(torch.from_numpy, (at, a, ab, ac))).numpy()
    return (at - a) - bary[1] * ab - bary[2] * ac, bary


def _feature(bary: Float[np.ndarray, "3 k"]) -> Int[np.ndarray, " k"]:
    """Its place in `pseudonormals`: two coordinates are 0 at a corner, one on an edge."""
    none = bary == 0
    count = none.sum(0)
    return np.where(count == 0, 0, np.where(count == 2, 1 + (~none).argmax(0), 4 + none.argmax(0)))


def _cubic(t: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, "q 3 4"], Float[Tensor, "q 3 4"]]:
    """The four cubic B-splines that are not zero at t in [0, 1] of a cell, and their slopes."""
    s = 1 - t
    weights = [s**3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * s**2 + 3 * s**3, t**3]
    slopes = [-(s**2), (3 * t - 4) * t, (4 - 3 * s) * s, t**2]
    return torch.stack(weights, -1) / 6, torch.stack(slopes, -1) / 2

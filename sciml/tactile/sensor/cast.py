"""Which point of a deformed surface each pixel sees: rays against curved triangles.

Every triangle is cut into flat pieces, whose corners are projected; a piece is tried for the pixels
of the box around its corners. What a flat piece hits is a start for Newton's method on the
curved triangle:

    R(ξ, η, t) = x(ξ, η) - o - t d = 0,    ∂R/∂(ξ, η, t) = [x_ξ, x_η, -d]

The nearest hit ahead of the camera is seen. This is geometry in NumPy; derivatives are in `view`.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.tactile.sensor.camera import Camera
from sciml.tactile.surface import Places, Surface
from sciml.tactile.triangle import lattice, shape

#: Pieces along a side of a triangle, by degree.
PIECES = {1: 1, 2: 4}
#: Share of a piece by which a ray may miss it and still be tried on the curved triangle, by degree.
MISSED = {1: 1e-9, 2: 0.25}
#: Barycentric coordinates down to this count as inside, so that there are no cracks.
INSIDE = -1e-8
#: Newton iterations, and the share of the surface's extent at which a hit is exact.
ITERATIONS, EXACT = 8, 1e-12


@final
@dataclass(frozen=True, eq=False)
class Hits:
    """What is seen.

    Args:
        pixel: `[h]` numbers row · width + column, rising.
        places: `[h]` points of the surface.
        distance: `[h]` along the rays, m.
    """

    pixel: Int[Tensor, " h"]
    places: Places
    distance: Float[Tensor, " h"]


def cast(surface: Surface, u: Float[Tensor, "n 3"], camera: Camera) -> Hits:
    """The hits of a camera's pixels on a surface displaced by u."""
    with torch.no_grad():
        corners = (surface.rest + u).detach()[surface.triangles].numpy()
        origin, directions = (x.detach().numpy() for x in camera.rays(camera.grid()))
        directions = directions.reshape(-1, 3)
        points, pieces = lattice(PIECES[surface.degree])
        N = shape(surface.degree, torch.from_numpy(points)).numpy()
        vertices = np.einsum("ma,kai->kmi", N, corners)
        triangle, piece, pixel = _pairs(vertices, np.array(pieces), camera)
    flat = vertices[triangle[:, None], np.array(pieces)[piece]]
    inside, distance = on_planes(flat, origin, directions[pixel])
    kept = (inside.min(1) >= -MISSED[surface.degree]) & (distance > 0)
    triangle, piece, pixel = triangle[kept], piece[kept], pixel[kept]
    distance, inside = distance[kept], inside[kept]
    barycentric = np.einsum("pm,pmi->pi", inside, points[np.array(pieces)[piece]])
    if surface.degree == 2:
        once = _once(pixel, triangle, inside.min(1))
        triangle, pixel = triangle[once], pixel[once]
        barycentric, distance, exact = _curved(
            surface, corners, triangle, origin, directions[pixel], barycentric[once], distance[once]
        )
        kept = exact & (barycentric.min(1) >= INSIDE) & (distance > 0)
        triangle, pixel = triangle[kept], pixel[kept]
        barycentric, distance = barycentric[kept], distance[kept]
    order = np.lexsort((distance, pixel))
    seen, first = np.unique(pixel[order], return_index=True)
    chosen = order[first]
    places = Places(torch.from_numpy(triangle[chosen]), torch.from_numpy(barycentric[chosen]))
    return Hits(torch.from_numpy(seen), places, torch.from_numpy(distance[chosen]))


def _pairs(
    vertices: Float[np.ndarray, "k m 3"], pieces: Int[np.ndarray, "s 3"], camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(triangle, piece, pixel) that may meet: pixels in the box around the corners of a piece."""
    at = torch.from_numpy(vertices)
    ahead = camera.lens.reaches(camera.within(at)).numpy()[:, pieces].all(-1)
    projected = camera.project(at).detach().numpy()[:, pieces]
    low, high = projected.min(2), projected.max(2)
    margin = 0.5 + 0.2 * (high - low)  # sides may be bent
    last = np.array([camera.width - 1, camera.height - 1])
    ahead &= np.isfinite(low).all(-1) & (high >= -1).all(-1) & (low <= last + 1).all(-1)
    triangle, piece = np.nonzero(ahead)
    low = np.clip(np.ceil((low - margin)[ahead]), 0, last).astype(np.int64)
    high = np.clip(np.floor((high + margin)[ahead]), 0, last).astype(np.int64)
    size = high - low + 1
    count = size.prod(1)
    box = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(box)) - np.repeat(np.cumsum(count) - count, count)
    row, column = np.divmod(within, size[box, 0])
    pixel = (low[box, 1] + row) * camera.width + low[box, 0] + column
    return triangle[box], piece[box], pixel


def on_planes(
    corners: Float[np.ndarray, "p 3 3"], origin: Float[np.ndarray, "3"], along: np.ndarray
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, " p"]]:
    """Barycentric coordinates and distances of rays on planes of triangles, by pairs."""
    a = corners[:, 0]
    b, c = corners[:, 1] - a, corners[:, 2] - a
    normal = np.cross(b, c)
    det = (along * normal).sum(1)
    parallel = np.abs(det) <= 1e-14 * np.linalg.norm(normal, axis=1)
    det = np.where(parallel, np.inf, det)
    off = a - origin
    distance = np.where(parallel, -1.0, (off * normal).sum(1) / det)
    across = np.cross(off, along)
    xi, eta = (across * c).sum(1) / det, -(across * b).sum(1) / det
    return np.column_stack([1 - xi - eta, xi, eta]), distance


def _once(pixel: np.ndarray, triangle: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """The best start of every (pixel, triangle)."""
    order = np.lexsort((-margin, triangle, pixel))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(pixel[order]) != 0) | (np.diff(triangle[order]) != 0)
    return order[new]


def _curved(
    surface: Surface,
    corners: np.ndarray,
    triangle: np.ndarray,
    origin: np.ndarray,
    along: np.ndarray,
    barycentric: np.ndarray,
    distance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton's method on curved triangles: λ, distances, and whether it arrived."""
    xi, distance = barycentric[:, 1:].copy(), distance.copy()
    exact = np.zeros(len(xi), dtype=bool)
    busy = np.arange(len(xi))
    zero, one, two, side01, side12, side20 = np.moveaxis(corners[triangle], 1, 0)
    # x = zero + B (ξ, η) + quadratic part: the six coefficients once for all iterations
    b1, b2 = 4 * side01 - 3 * zero - one, 4 * side20 - 3 * zero - two
    q11, q22 = 2 * (zero + one - 2 * side01), 2 * (zero + two - 2 * side20)
    q12 = 4 * (zero + side12 - side01 - side20)
    for _ in range(ITERATIONS):
        if not len(busy):
            break
        x, y = xi[busy].T[..., None]
        d = along[busy]
        slope_x = b1[busy] + 2 * q11[busy] * x + q12[busy] * y
        slope_y = b2[busy] + 2 * q22[busy] * y + q12[busy] * x
        at = (zero[busy] - origin) + (b1[busy] + q11[busy] * x + q12[busy] * y) * x
        residual = at + (b2[busy] + q22[busy] * y) * y - distance[busy, None] * d
        exact[busy] = np.abs(residual).max(1) <= EXACT * surface.extent
        normal = np.cross(slope_x, slope_y)
        det = (normal * d).sum(1)
        det = np.where(np.abs(det) > 0, det, np.nan)
        across = np.cross(residual, d)
        distance[busy] += (normal * residual).sum(1) / det
        xi[busy, 0] += (across * slope_y).sum(1) / det
        xi[busy, 1] -= (across * slope_x).sum(1) / det
        busy = busy[~exact[busy] & (np.abs(xi[busy]) < 3).all(1)]
    return np.column_stack([1 - xi.sum(1), xi]), distance, exact

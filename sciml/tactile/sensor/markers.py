"""Markers printed on a surface: layouts, their places in its triangles, positions from u.

A marker is a material point: x = Σ_a N_a(λ) (X_a + u_a) with the shape functions of the elements,
so that its motion is exactly the body's.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact import closest
from sciml.tactile.sensor.camera import Camera
from sciml.tactile.sensor.cast import on_planes
from sciml.tactile.surface import Places, Surface

#: Share of the surface's longest edge that a marker may lie off it (domes are polyhedra).
OFF = 0.25
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def grid(columns: int, rows: int, spacing: float, height: float) -> Float[np.ndarray, "k 3"]:
    """A rectangular layout in the plane z = height, centred on the z axis, row by row.

    Args:
        columns, rows: along x and y, ≥ 1.
        spacing: between neighbours, m, > 0.
        height: of the front of the pad, m.

    Raises:
        UserError: values out of these ranges.
    """
    _refuse("grid", columns=columns, rows=rows, spacing=spacing)
    x, y = (spacing * (np.arange(n) - (n - 1) / 2) for n in (columns, rows))
    across, along = np.meshgrid(x, y)
    return np.column_stack([across.ravel(), along.ravel(), np.full(across.size, height)])


def fibonacci(count: int, radius: float, opening: float) -> Float[np.ndarray, "k 3"]:
    """Points of equal share on the cap of a sphere about the origin, spiralling down from the pole.

    Args:
        count: ≥ 1.
        radius: of the outer face of the dome, m, > 0.
        opening: angle from the pole to the cap's edge, degrees, in (0, 180].

    Raises:
        UserError: values out of these ranges.

    Source: Á. González, Measurement of areas on a sphere using Fibonacci and latitude-longitude
    lattices, Mathematical Geosciences 42 (2010), with the cap's height in place of the sphere's.
    """
    _refuse("fibonacci", count=count, radius=radius, opening=opening)
    if opening > 180:
        raise UserError(f"fibonacci: expected opening in (0, 180] degrees, got {opening!r}")
    index = np.arange(count)
    z = 1 - (1 - np.cos(np.deg2rad(opening))) * (index + 0.5) / count
    r, angle = np.sqrt(1 - z**2), GOLDEN_ANGLE * index
    return radius * np.column_stack([r * np.cos(angle), r * np.sin(angle), z])


def located(
    surface: Surface, camera: Camera, pixels: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "k 3"]:
    """Where markers found in an image of the undeformed gel lie on it, m.

    Args:
        surface: that they are printed on, straight at rest.
        camera: that saw them.
        pixels: `[k, 2]` (column, row).

    Raises:
        UserError: pixels that see no point of the surface, or are not numbers.
    """
    corners = surface.elements.nodes[surface.triangles[:, :3].numpy()]
    origin, along = (x.detach().numpy() for x in camera.rays(torch.from_numpy(pixels)))
    marker, triangle = np.indices((len(pixels), len(corners))).reshape(2, -1)
    inside, distance = on_planes(corners[triangle], origin, along[marker])
    distance = np.where((inside.min(1) >= -1e-9) & (distance > 0), distance, np.inf)
    distance = distance.reshape(len(pixels), -1).min(1)
    lost = np.flatnonzero(~np.isfinite(distance))
    if len(lost):
        raise UserError(
            f"markers: expected pixels that see surface '{surface.name}' at rest, got {len(lost)} "
            f"of {len(pixels)} that do not (number {lost[0]} at {_shown(pixels[lost[0]])}); leave "
            "them out, or correct the camera"
        )
    return origin + distance[:, None] * along


@final
class Markers:
    """Markers embedded in a surface at rest.

    Args:
        surface: that they are printed on.
        points: `[k, 3]`, m, on the surface at rest; each moves to the nearest point of a triangle.

    Attributes:
        places: their triangles and barycentric coordinates.

    Raises:
        UserError: points off the surface.
    """

    def __init__(self, surface: Surface, points: Float[np.ndarray, "k 3"]) -> None:
        self.surface = surface
        triangle, barycentric, off = nearest(surface, points)
        corners = surface.elements.nodes[surface.triangles[:, :3].numpy()]
        longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max()
        far = off > OFF * longest
        if far.any():
            first = int(np.flatnonzero(far)[0])
            raise UserError(
                f"markers: expected points on surface '{surface.name}', got {int(far.sum())} of "
                f"{len(points)} off it (number {first} at {_shown(points[first])} m is "
                f"{off[first]:.2g} m away); if these are millimetres multiply by 1e-3, else fit "
                "the layout to the mesh"
            )
        self._points = torch.from_numpy(points)
        self._places = Places(torch.from_numpy(triangle), torch.from_numpy(barycentric))

    @property
    def places(self) -> Places:
        """Differentiable like `Elements.rest`: a marker stays where it is as the mesh moves."""
        surface, triangle = self.surface, self._places.triangle
        if not surface.elements.shaped:
            return self._places
        a, b, c = surface.rest[surface.triangles[triangle, :3]].unbind(1)
        at = closest.barycentric(self._points.T, a.T, (b - a).T, (c - a).T).T
        return Places(triangle, at)

    def __len__(self) -> int:
        return len(self.places)

    def positions(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "k 3"]:
        """Where the markers are, m."""
        return self.surface.positions(u, self.places)


def nearest(
    surface: Surface, points: Float[np.ndarray, "k 3"]
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:
    """Triangle and barycentric coordinates nearest to points, and the distances, m; at rest."""
    from scipy.spatial import cKDTree

    corners = surface.elements.nodes[surface.triangles[:, :3].numpy()]
    centres = corners.mean(1)
    reach = np.linalg.norm(corners - centres[:, None], axis=-1).max()
    tree = cKDTree(centres)
    bound = tree.query(points)[0]
    near = tree.query_ball_point(points, bound + reach + 1e-12)
    number = np.repeat(np.arange(len(points)), [len(found) for found in near])
    triangle = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
    barycentric = _closest(points[number], corners[triangle])
    at = np.einsum("pa,pai->pi", barycentric, corners[triangle])
    off = np.linalg.norm(at - points[number], axis=1)
    order = np.lexsort((triangle, off, number))
    first = order[np.searchsorted(number[order], np.arange(len(points)))]
    return triangle[first], barycentric[first], off[first]


def _closest(points: np.ndarray, corners: np.ndarray) -> Float[np.ndarray, "p 3"]:
    """Barycentric coordinates of the points of flat triangles closest to given ones, by pairs."""
    a, b, c = np.moveaxis(corners, 1, 0)
    basis = np.stack([b - a, c - a], axis=-1)
    gram = np.einsum("pij,pik->pjk", basis, basis)
    right = np.einsum("pij,pi->pj", basis, points - a)
    inner = np.linalg.solve(gram, right[..., None])[..., 0]
    best = np.column_stack([1 - inner.sum(1), inner])
    smallest = np.full(len(points), np.inf)
    outside = (best < 0).any(1)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = corners[:, i], corners[:, j] - corners[:, i]
        share = ((points - start) * along).sum(1) / (along**2).sum(1)
        share = np.clip(share, 0, 1)
        off = np.linalg.norm(start + share[:, None] * along - points, axis=1)
        better = outside & (off < smallest)
        smallest[better] = off[better]
        best[better] = 0
        best[better, i], best[better, j] = 1 - share[better], share[better]
    return best


def _refuse(layout: str, **values: float | int) -> None:
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"{layout}: expected {name} > 0, got {value!r}")


def _shown(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in point) + ")"

"""What a camera sees of a deformed surface: depth, distance, normals, nodal fields, as images.

The triangle that a pixel sees is held fixed; where in it the ray ends moves with u. By the implicit
function theorem one step of Newton's method from the hit, with its matrix held fixed, has the value
and the exact first derivatives of (ξ, η, t)(u, camera):

    (ξ, η, t) = (ξ, η, t)₀ - [x_ξ, x_η, -d]⁻¹ (x(ξ₀, η₀; u) - o - t₀ d)

Derivatives therefore leave out that edges of occlusion move. Pixels that see nothing are NaN.
"""

from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.sensor.camera import Camera
from sciml.tactile.sensor.cast import cast
from sciml.tactile.surface import Places, Surface


@final
class View:
    """One look at a surface.

    Args:
        surface: that is looked at, from either side; all else is transparent.
        u: `[n, 3]` displacements, m.
        camera: whose pixels are cast.

    Attributes:
        pixel: `[h]` numbers of the pixels that see the surface, row · width + column.
        places: `[h]` what they see; differentiable.
        distance: `[h]` along the rays, m; differentiable.

    Raises:
        UserError: u of another shape.
    """

    def __init__(self, surface: Surface, u: Float[Tensor, "n 3"], camera: Camera) -> None:
        surface.require(u=u)
        self.surface, self.u, self.camera = surface, u, camera
        hits = cast(surface, u, camera)
        self.pixel = hits.pixel
        origin, along = camera.rays(camera.grid().reshape(-1, 2)[self.pixel])
        residual = surface.positions(u, hits.places) - origin - hits.distance[:, None] * along
        slopes = torch.cat([surface.tangents(u, hits.places), -along[..., None]], dim=-1)
        step = torch.linalg.solve(slopes.detach(), residual[..., None])[..., 0]
        barycentric = hits.places.barycentric
        barycentric = barycentric - torch.cat([-step[:, :2].sum(1, keepdim=True), step[:, :2]], 1)
        self.places = Places(hits.places.triangle, barycentric)
        self.distance = hits.distance - step[:, 2]

    def image(self, values: Float[Tensor, "h ..."]) -> Float[Tensor, "height width ..."]:
        """Values of the pixels that see the surface, as a whole image; NaN elsewhere."""
        camera, channels = self.camera, values.shape[1:]
        empty = values.new_full((camera.height * camera.width, *channels), torch.nan)
        filled = empty.index_copy(0, self.pixel, values)
        return filled.reshape(camera.height, camera.width, *channels)

    @cached_property
    def points(self) -> Float[Tensor, "h 3"]:
        """What is seen, in the sensor's frame, m."""
        return self.surface.positions(self.u, self.places)

    @cached_property
    def normals(self) -> Float[Tensor, "h 3"]:
        """Outward unit normals of the body in the sensor's frame."""
        return self.surface.normals(self.u, self.places)

    @cached_property
    def smooth_normals(self) -> Float[Tensor, "h 3"]:
        """Normals without jumps between triangles: the nodes' means, interpolated.

        Nearer to those of a smooth front than `normals`, which are the mesh's own.
        """
        field = self.u.new_zeros(self.u.shape).index_copy(
            0, self.surface.nodes, self.surface.node_normals(self.u)
        )
        found = self.of(field)
        return found / found.norm(dim=-1, keepdim=True)

    @cached_property
    def depth(self) -> Float[Tensor, " h"]:
        """Depth along the optical axis, m."""
        return self.camera.within(self.points)[:, 2]

    def of(self, values: Float[Tensor, "n ..."]) -> Float[Tensor, "h ..."]:
        """A field given at all nodes, where it is seen."""
        return self.surface.interpolated(values, self.places)

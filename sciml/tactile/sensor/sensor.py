"""A camera-based tactile sensor: mesh, camera, markers and material in one object, one YAML.

    displacements u ──► markers ──► pixels, flow          (sim-to-real: compared with a recording)
                    ├──► view ──► depth, normals, image
    forces f ───────┴──► pressure, shear, forces by taxel

Whatever comes out is differentiable by torch with respect to u and f, in float64.
"""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.materials import Material
from sciml.tactile.mesh import Mesh
from sciml.tactile.sensor.camera import Camera
from sciml.tactile.sensor.markers import Markers
from sciml.tactile.sensor.optics import Optics
from sciml.tactile.sensor.taxels import Taxels
from sciml.tactile.sensor.view import View
from sciml.tactile.surface import Surface


@final
class Sensor:
    """One sensor.

    Args:
        mesh: the gel, m.
        material: of the gel.
        camera: looks at the front from inside.
        markers: `[k, 3]`, m, on the front at rest.
        taxels: `[c, 3]`, m, centres of taxels; one for the whole front if None.
        front: name of the surface that touches.
        held: names of the surfaces that are glued to the sensor's core.
        degree: of the elements.
        optics: colours of the front, for `image`.
        positions: of the mesh's corners, for gradients to the geometry (see `Elements`).

    Attributes:
        elements, surface: the gel's elements and its front.
        markers, taxels: embedded in the front.

    Raises:
        UserError: markers outside the camera's image; points off the front; no such surface.
    """

    def __init__(
        self,
        mesh: Mesh,
        material: Material,
        camera: Camera,
        markers: Float[np.ndarray, "k 3"],
        taxels: Float[np.ndarray, "c 3"] | None = None,
        front: str = "front",
        held: Sequence[str] = ("back",),
        degree: int = 2,
        optics: Optics | None = None,
        positions: Float[Tensor, "corners 3"] | None = None,
    ) -> None:
        self.optics, self.material, self.camera = optics, material, camera
        self.elements = Elements(mesh, degree, positions)
        self.surface = Surface(self.elements, front)
        self.held = tuple(held)
        for name in self.held:
            mesh.surface(name)
        self.markers = Markers(self.surface, markers)
        self._refuse_unseen()
        middle = self.elements.nodes[self.surface.nodes.numpy()].mean(0, keepdims=True)
        self.taxels = Taxels(self.surface, middle if taxels is None else taxels)

    def with_markers(self, points: Float[np.ndarray, "k 3"]) -> "Sensor":
        """The same sensor with other markers: where a recording has them, by `located`.

        Raises:
            UserError: markers outside the camera's image or off the front.
        """
        found = copy(self)
        found.__dict__.pop("_pixels_at_rest", None)
        found.markers = Markers(self.surface, points)
        found._refuse_unseen()
        return found

    def marker_pixels(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "k 2"]:
        """(column, row) of all markers.

        Raises:
            UserError: u of another shape.
        """
        self.surface.require(u=u)
        return self.camera.project(self.markers.positions(u))

    @property
    def pixels_at_rest(self) -> Float[Tensor, "k 2"]:
        """(column, row) of all markers of the undeformed gel."""
        shaped = self.elements.shaped
        return self.marker_pixels(self.surface.still()) if shaped else self._pixels_at_rest

    @cached_property
    def _pixels_at_rest(self) -> Float[Tensor, "k 2"]:
        with torch.no_grad():
            return self.marker_pixels(self.surface.still())

    def flow(self, u: Float[Tensor, "n 3"]) -> Float[Tensor, "k 2"]:
        """How far the markers have moved in the image since rest, pixels."""
        return self.marker_pixels(u) - self.pixels_at_rest

    def seen(self, u: Float[Tensor, "n 3"]) -> Bool[Tensor, " k"]:
        """Which markers are inside the image; whether something hides them is not asked."""
        return self.camera.sees(self.markers.positions(u))

    def view(self, u: Float[Tensor, "n 3"], share: float = 1.0) -> View:
        """What the camera sees of the front.

        Args:
            u: `[n, 3]`, m.
            share: of the camera's pixels across, for a coarser and cheaper look.
        """
        camera = self.camera if share == 1.0 else self.camera.scaled(share)
        return View(self.surface, u, camera)

    def image(self, u: Float[Tensor, "n 3"], share: float = 1.0) -> Float[Tensor, "height width 3"]:
        """Red, green and blue in [0, 1] of every pixel; NaN where the front is not seen.

        Arguments: see `view`.

        Raises:
            UserError: a sensor without optics.
        """
        if self.optics is None:
            raise UserError(
                "image: expected a sensor with optics, got none; give it lamps or a fitted network"
            )
        view = self.view(u, share)
        return view.image(self.optics(view.points, view.smooth_normals))

    def _refuse_unseen(self) -> None:
        at = self.markers.positions(self.surface.still())
        unseen = torch.nonzero(~self.camera.sees(at))[:, 0]
        if not len(unseen):
            return
        column, row = self.camera.project(at[unseen[0]]).tolist()
        raise UserError(
            f"markers: expected all {len(at)} inside the image of {self.camera.width} x "
            f"{self.camera.height} pixels at rest, got {len(unseen)} outside (number "
            f"{int(unseen[0])} at column {column:.1f}, row {row:.1f}); move or turn the camera, "
            "shorten its focal length, or choose a smaller layout"
        )

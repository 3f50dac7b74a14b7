"""The deformed front in space, coloured by its pressure, and the outline of what touches it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
import xarray
from jaxtyping import Float
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from sciml.drawing.sheet import sheet
from sciml.tactile.contact import Rigid
from sciml.tactile.contact.pose import rotation

if TYPE_CHECKING:
    from sciml.tactile.scene import Scene

FRAME = "#5b6570"
#: Heights are enlarged by three, within these shares of the width, and never made smaller.
ENLARGED, TALL = 3.0, (0.25, 0.5)
#: Circles of latitude and longitude of an outline; its height above the front, as a share.
RINGS, SECTORS, SHOWN = 24, 24, 0.12


@final
class Space:
    """One set of axes in space on which the steps of a result are shown one after the other.

    Args:
        figure, place: where, as for `add_subplot`.
        dataset: as in `result.nc`; scales are those of all its steps.
        scene: that it came from.
        outlined: whether the indenter is drawn, as lines.
    """

    def __init__(
        self, figure: Figure, place: Any, dataset: xarray.Dataset, scene: "Scene", outlined: bool
    ) -> None:
        surface = scene.sensor.surface
        self.corners = scene.sensor.elements.mesh.surface(surface.name)
        self.at = 1e3 * (dataset.node_position.values + dataset.u.values)  # mm
        self.pressure = dataset.pressure.values / 1e3  # kPa
        self.places = np.concatenate([dataset.position.values, dataset.rotation.values], axis=1)
        self.axes: Any = figure.add_subplot(place, projection="3d")
        self.front = self.axes.plot_trisurf(
            *self.at[0].T, triangles=self.corners, cmap="viridis", linewidth=0.15, edgecolor=FRAME,
            norm=Normalize(0, max(float(self.pressure.max()), 1e-12)),
        )  # fmt: skip
        seen = self.at[:, np.unique(self.corners)].reshape(-1, 3)
        self.low, self.high = seen.min(0), seen.max(0)
        self.lines = outline(scene.contact.solid, 0.5 * surface.extent) if outlined else None
        if self.lines is not None:
            self.outline = Line3DCollection(
                1e3 * self.lines, colors="#d55e00", linewidths=0.6, alpha=0.75
            )
            self.axes.add_collection3d(self.outline)
            self.high[2] += SHOWN * 1e3 * surface.extent
        self._frame()
        self.show(0)

    def show(self, step: int) -> None:
        """Shows one step."""
        self.front.set_verts(self.at[step][self.corners])
        self.front.set_array(self.pressure[step][self.corners].mean(1))
        if self.lines is not None:
            self.outline.set_segments(self._outline(step))

    def _outline(self, step: int) -> np.ndarray:
        """Pieces of the lines that are near the front, `[p, 2, 3]`, mm."""
        assert self.lines is not None
        place = torch.from_numpy(self.places[step])
        turned = self.lines @ rotation(place[3:]).numpy().T + self.places[step][:3]
        middle = 1e3 * turned.mean(1)
        inside = ((middle >= self.low) & (middle <= self.high)).all(1)
        return 1e3 * turned[inside]

    def _frame(self) -> None:
        span = np.maximum(self.high - self.low, 1e-3)  # what is flat has some height, too
        self.high = self.low + span
        tall = max(span[2], np.clip(ENLARGED * span[2], *(share * span[0] for share in TALL)))
        self.enlarged = float(tall / span[2])
        self.axes.set_box_aspect((span[0], span[1], tall))
        self.axes.locator_params(nbins=5)
        self.axes.set(
            xlim=(self.low[0], self.high[0]), ylim=(self.low[1], self.high[1]),
            zlim=(self.low[2], self.high[2]), xlabel="x (mm)", ylabel="y (mm)", zlabel="z (mm)",
        )  # fmt: skip
        self.axes.view_init(28, -60)


def draw(dataset: xarray.Dataset, scene: "Scene", run: Path) -> tuple[Path, str]:
    """`figures/scene.png` of a run, with its caption."""
    with sheet(run, "scene", (6.4, 4.6)) as (figure, path):
        last = dataset.isel(time=slice(-1, None))
        space = Space(figure, 111, last, scene, outlined=False)
        figure.colorbar(space.front, ax=space.axes, shrink=0.6, pad=0.12, label="pressure (kPa)")
    deepest = 1e3 * float(-dataset.u.values[-1][..., 2].min())
    heights = f" (heights × {space.enlarged:.2g})" if space.enlarged > 1.05 else ""
    return path, (
        f"The front after the last step, deformed by up to {deepest:.3g} mm downwards{heights}, "
        f"coloured by the pressure, up to {space.pressure.max():.3g} kPa."
    )


def outline(solid: Rigid, reach: float) -> Float[np.ndarray, "p 2 3"] | None:
    """Circles of latitude and longitude on a solid, in its own frame, as short straight pieces.

    Args:
        solid: seen from its origin; what it has beyond a first crossing of its surface is not met.
        reach: m; what is further from the origin is left out.

    Returns:
        m; None of a solid whose origin is not inside it, or that is all further away.
    """
    if float(solid.distance(torch.zeros(1, 3, dtype=torch.float64))[0]) >= 0:
        return None
    polar = np.linspace(0, np.pi, RINGS + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, SECTORS + 1)[None]
    ways = np.stack(
        [
            np.sin(polar) * np.cos(around),
            np.sin(polar) * np.sin(around),
            np.cos(polar) + 0 * around,
        ],
        -1,
    )
    at = torch.from_numpy(ways.reshape(-1, 3))
    inner, outer = torch.zeros(len(at), dtype=at.dtype), torch.full((len(at),), reach).to(at.dtype)
    for _ in range(40):
        middle = (inner + outer) / 2
        inside = solid.distance(middle[:, None] * at)[0] < 0
        inner, outer = torch.where(inside, middle, inner), torch.where(inside, outer, middle)
    found = (inner[:, None] * at).numpy().reshape(RINGS + 1, SECTORS + 1, 3)
    across = np.stack([found[:, :-1], found[:, 1:]], 2).reshape(-1, 2, 3)
    along = np.stack([found[:-1], found[1:]], 2).reshape(-1, 2, 3)
    pieces = np.concatenate([across, along])
    near = pieces[(np.linalg.norm(pieces, axis=-1) < 0.999 * reach).all(1)]
    return near if len(near) else None

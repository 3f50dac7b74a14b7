"""A touch as a film: the front in space, the marker flow, what the camera sees, step by step.

Written as `figures/touch.gif` of a run. It stands beside the report and not in it, which would
grow by its size.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import torch
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure

from sciml.drawing import film
from sciml.drawing.sheet import colour_bar, label, style
from sciml.tactile.figures.maps import DOT, image_plane, round_down
from sciml.tactile.figures.space import FRAME, Space
from sciml.tactile.sensor import Sensor, View
from sciml.tactile.sensor.optics import dotted

if TYPE_CHECKING:
    from sciml.tactile.scene import Scene

#: Steps that are shown, and bytes, at most; frames per second.
FRAMES, BYTES, RATE = 25, 2 * 10**6, 5
#: Pixels of the camera across, at most; share of its width that the longest arrow takes.
ACROSS, LONGEST = 160, 0.16


def draw(dataset: xarray.Dataset, scene: "Scene", run: Path) -> Path:
    """Writes `figures/touch.gif` of a run; scales and colours mean the same in all frames.

    Args:
        dataset: as in `result.nc`.
        scene: that it came from.
    """
    path = Path(run) / "figures" / "touch.gif"
    chosen = film.shown(dataset.sizes["time"], FRAMES)
    with matplotlib.rc_context(style()), torch.no_grad():
        figure = Figure(figsize=(11.0, 3.2))
        grid = figure.add_gridspec(1, 3, width_ratios=(1.35, 1.0, 1.0))
        space = Space(figure, grid[0], dataset, scene, outlined=True)
        bar = figure.colorbar(space.front, ax=space.axes, shrink=0.6, pad=0.12)
        bar.ax.set_title("kPa", fontsize=8.5)
        space.axes.set_title("pressure on the front")
        flow = _Flow(figure.add_subplot(grid[1]), scene.sensor, dataset)
        seen = _Seen(figure.add_subplot(grid[2]), scene.sensor, dataset, chosen)
        title = figure.suptitle(" ", fontsize=9)

        def show(frame: int) -> None:
            step = int(frame)
            for panel in (space, flow, seen):
                panel.show(step)
            title.set_text(_title(dataset.isel(time=step), dataset.sizes["time"]))

        show(chosen[-1])
        film.write(path, figure, show, chosen, BYTES, RATE)
    return path


def _title(now: xarray.Dataset, times: int) -> str:
    when = f"increment {int(now.time)} of {times - 1}"
    if now.time.attrs["units"] != "1":
        when = f"{label(now.time)} = {float(now.time):.3g}"
    force = ", ".join(f"{float(f):6.3f}" for f in now.force)
    return f"{when}: force on the indenter ({force}) N"


class _Flow:
    """Arrows from the markers at rest, enlarged alike in all frames."""

    def __init__(self, axes: Axes, sensor: Sensor, dataset: xarray.Dataset) -> None:
        self.moved = dataset.markers.values - dataset.markers.values[0]
        longest = max(float(np.linalg.norm(self.moved, axis=-1).max()), 1e-12)
        enlarged = round_down(LONGEST * sensor.camera.width / longest)
        rest = dataset.markers.values[0]
        axes.plot(*rest.T, "o", color=FRAME, markersize=2.2, markeredgewidth=0)
        self.arrows = axes.quiver(
            *rest.T, *self.moved[-1].T, np.zeros(len(rest)), angles="xy", scale_units="xy",
            scale=1 / enlarged, width=0.008, norm=Normalize(0, longest),
        )  # fmt: skip
        image_plane(axes, sensor.camera.width, sensor.camera.height)
        axes.set_title(f"marker flow, arrows × {enlarged:g}")
        colour_bar(axes, self.arrows)
        bar: Any = axes.child_axes[-1]
        bar.set_title("pixel", fontsize=8.5, loc="left", pad=4)

    def show(self, step: int) -> None:
        moved = self.moved[step]
        self.arrows.set_UVC(*moved.T, np.linalg.norm(moved, axis=-1))


class _Seen:
    """The camera's picture with the markers as dots; distances where a sensor has no optics."""

    def __init__(
        self, axes: Axes, sensor: Sensor, dataset: xarray.Dataset, chosen: np.ndarray
    ) -> None:
        self.sensor, self.u = sensor, torch.from_numpy(dataset.u.values)
        self.share = min(1.0, ACROSS / sensor.camera.width)
        look = self._colours if sensor.optics is not None else self._nearer
        self.pictures = {int(step): look(self.u[int(step)]) for step in chosen}
        width, height = sensor.camera.width, sensor.camera.height
        given: dict[str, Any] = {}
        if sensor.optics is None:
            every = np.concatenate([picture.compressed() for picture in self.pictures.values()])
            largest = max(float(np.abs(every).max(initial=0)), 1e-12)
            given = {"norm": CenteredNorm(0, largest), "cmap": "RdBu_r"}
        axes.set_facecolor("#e3e7ea")
        self.drawn = axes.imshow(
            self.pictures[int(chosen[-1])], interpolation="nearest",
            extent=(-0.5, width - 0.5, height - 0.5, -0.5), **given,
        )  # fmt: skip
        image_plane(axes, width, height)
        axes.grid(False)
        axes.set(ylabel="")
        named = "camera" if sensor.optics is not None else "distance along the ray, change"
        axes.set_title(named)
        if sensor.optics is None:
            colour_bar(axes, self.drawn)
            bar: Any = axes.child_axes[-1]
            bar.set_title("mm", fontsize=8.5, loc="left", pad=4)

    def show(self, step: int) -> None:
        self.drawn.set_data(self.pictures[step])

    def _colours(self, u: torch.Tensor) -> np.ndarray:
        sensor = self.sensor
        camera = sensor.camera if self.share == 1 else sensor.camera.scaled(self.share)
        plain = sensor.image(u, self.share).nan_to_num(0.0)
        at = camera.project(sensor.markers.positions(u))
        return dotted(plain, at, DOT * camera.width).clamp(0, 1).numpy()

    def _nearer(self, u: torch.Tensor) -> np.ma.MaskedArray:
        view = self.sensor.view(u, self.share)
        rest = View(self.sensor.surface, self.sensor.surface.still(), view.camera)
        apart = view.image(view.distance) - rest.image(rest.distance)
        return np.ma.masked_invalid(1e3 * apart.numpy())

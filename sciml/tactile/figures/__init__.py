"""The figures of a tactile run: the deformed front, forces and flow, maps of the end, a film."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
import xarray

from sciml.drawing import Drawn, history
from sciml.drawing.sheet import label, sheet
from sciml.tactile import vtk
from sciml.tactile.figures import animation, fields, space
from sciml.tactile.figures.maps import draw, flow, image, taxels

if TYPE_CHECKING:
    from sciml.tactile.scene import Scene

__all__ = ["Figures", "draw", "flow", "image", "taxels"]


@final
@dataclass(frozen=True, eq=False)
class Figures:
    """`contracts.Figures` of a run: force and markers over the steps, the last state in maps.

    Args:
        scene: that was simulated.
        film: whether `touch.gif` is made, beside the report and not in it.
        vtk: whether the steps are written for viewers of meshes, into the run's `vtk/`.
    """

    scene: "Scene"
    film: bool = True
    vtk: bool = False

    def __call__(self, run: Path) -> Drawn:
        with xarray.open_dataset(run / "result.nc") as dataset:
            dataset.load()
        drawn = [space.draw(dataset, self.scene, run), _forces(dataset, run)]
        drawn += draw(
            self.scene.sensor,
            torch.from_numpy(dataset.u.values[-1]),
            run,
            torch.from_numpy(dataset.contact_force.values[-1]),
        )
        drawn += fields.draw(dataset, self.scene.sensor.elements, run)
        if self.film:
            animation.draw(dataset, self.scene, run)
        if self.vtk:
            vtk.write(dataset, run / "vtk")
        if (run / "history.csv").is_file():
            found = history.read(run / "history.csv")
            drawn += history.draw(found, run, "rel_error", "relative error")
        return drawn


def _forces(dataset: xarray.Dataset, run: Path) -> tuple[Path, str]:
    clock = "increment" if dataset.time.attrs["units"] == "1" else label(dataset.time)
    with sheet(run, "forces", (7.4, 2.9)) as (figure, path):
        left, right = figure.subplots(1, 2)
        for i, axis in enumerate("xyz"):
            left.plot(dataset.time, dataset.force[:, i], color=f"C{i}", label=f"$F_{axis}$")
            if "force_reference" in dataset:
                seen = dataset.force_reference[:, i]
                left.plot(dataset.time, seen, "o", color=f"C{i}", markersize=3.5, mfc="none")
        left.set(xlabel=clock, ylabel="force on the indenter (N)")
        left.legend()
        moved = dataset.markers - dataset.markers[0]
        right.plot(dataset.time, np.hypot(moved[..., 0], moved[..., 1]), color="C0", alpha=0.35)
        right.set(xlabel=clock, ylabel="marker flow (pixel)")
    last = ", ".join(f"{float(f):.3g}" for f in dataset.force[-1])
    recorded = " Circles are what was recorded." if "force_reference" in dataset else ""
    return path, (
        f"Force of the sensor on the indenter, ({last}) N at the end, and how far every marker "
        f"has moved in the image.{recorded} No point is deeper than "
        f"{1e6 * float(dataset.penetration.max()):.2g} µm inside the indenter."
    )

"""Pictures of what a sensor measures: marker flow, depth, normals, pressure, shear, taxels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from torch import Tensor

from sciml.drawing import Drawn
from sciml.drawing.sheet import colour_bar, sheet
from sciml.tactile.sensor import Camera, Sensor, Traction, View, lumped
from sciml.tactile.sensor.optics import dotted

#: Pixels across that maps are drawn with, at most.
ACROSS = 320
#: Share of the image's width that the longest arrow takes.
LONGEST = 0.08
#: Radius of a marker, as a share of the image's width.
DOT = 0.006
#: Arrows across a map, and the share of the largest below which one is left out.
ARROWS, VISIBLE = 20, 0.1
FRAME = "#5b6570"


def draw(
    sensor: Sensor, u: Float[Tensor, "n 3"], run: Path, forces: Float[Tensor, "n 3"] | None = None
) -> Drawn:
    """Marker flow, maps and camera image of one state: `markers`, `maps` and `images.png` of a run.

    Args:
        sensor: that measures.
        u: `[n, 3]` displacements, m.
        run: folder, in whose `figures/` the pictures are.
        forces: `[n, 3]` on the nodes, N, for pressure, shear and taxels; left out if None.
    """
    with torch.no_grad():
        drawn = [_markers(sensor, u, run), _maps(sensor, u, run, forces)]
        return drawn if sensor.optics is None else [*drawn, _images(sensor, u, run)]


def flow(axes: Axes, sensor: Sensor, u: Float[Tensor, "n 3"]) -> float:
    """Arrows from the markers at rest, enlarged as the title says, coloured by their true length.

    Returns: the longest flow, pixels.
    """
    rest, moved = sensor.pixels_at_rest.numpy(), sensor.flow(u).detach().numpy()
    length = np.linalg.norm(moved, axis=1)
    enlarged = round_down(LONGEST * sensor.camera.width / max(length.max(), 1e-12))
    axes.plot(*rest.T, "o", color=FRAME, markersize=2.2, markeredgewidth=0)
    drawn = axes.quiver(
        *rest.T, *moved.T, length, angles="xy", scale_units="xy", scale=1 / enlarged, width=0.0035,
        norm=Normalize(0, max(float(length.max()), 1e-12)),
    )  # fmt: skip
    image_plane(axes, sensor.camera.width, sensor.camera.height)
    axes.set_title(f"marker flow, arrows × {enlarged:g}")
    _bar(axes, drawn, "flow (pixel)")
    return float(length.max())


def image(
    axes: Axes,
    view: View,
    camera: Camera,
    values: Float[Tensor, " h"],
    title: str,
    unit: str,
    signed: bool = False,
    largest: float | None = None,
) -> None:
    """One value for each pixel that sees the front, over the image plane; grey where none does.

    Args:
        camera: whose pixels the axes count; that of the view may be coarser.
        signed: a scale around zero.
        largest: end of the scale; the values' own if None.
    """
    shown = view.image(values).detach().numpy()
    finite = shown[np.isfinite(shown)]
    top = largest or max(float(np.abs(finite).max(initial=0)), 1e-12)
    low = min(float(finite.min(initial=0)), 0.0)
    high = max(float(finite.max(initial=0)), low + 1e-12)
    norm = CenteredNorm(0, top) if signed else Normalize(low, high)
    width, height = camera.width, camera.height
    axes.set_facecolor("#e3e7ea")
    drawn = axes.imshow(
        np.ma.masked_invalid(shown), norm=norm, cmap="RdBu_r" if signed else "viridis",
        interpolation="nearest", extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip
    image_plane(axes, width, height)
    axes.grid(False)
    axes.set_title(title)
    _bar(axes, drawn, unit)


def taxels(axes: Axes, sensor: Sensor, view: View, forces: Float[Tensor, "n 3"]) -> None:
    """Forces of taxels over the image plane: colour for the part inwards, arrows for the rest."""
    found, surface = 1e3 * sensor.taxels.forces(forces), sensor.surface
    rest = surface.rest[surface.nodes]
    node = torch.cdist(sensor.taxels.centres, rest).argmin(1)
    normals = surface.node_normals(surface.still())[node]
    inward = -(found * normals).sum(1)
    along = found + inward[:, None] * normals
    taxel = torch.cdist(view.of(surface.rest), sensor.taxels.centres).argmin(1)
    longest = float(along.norm(dim=1).max())
    title = f"taxels, shear up to {longest:.0f} mN"
    image(axes, view, sensor.camera, inward[taxel], title, "inwards (mN)")
    spread = 0.7 * (sensor.camera.width * sensor.camera.height / len(along)) ** 0.5
    _arrows(axes, sensor.camera, sensor.taxels.centres, along, spread)


def _markers(sensor: Sensor, u: Tensor, run: Path) -> tuple[Path, str]:
    with sheet(run, "markers", (6.4, 4.6)) as (figure, path):
        longest = flow(figure.subplots(), sensor, u)
    seen = int(sensor.seen(u).sum())
    return path, (
        f"Motion of the {len(sensor.markers)} markers in the image since rest, at most "
        f"{longest:.3g} pixels; {seen} are inside the image."
    )


def _maps(sensor: Sensor, u: Tensor, run: Path, forces: Tensor | None) -> tuple[Path, str]:
    view = sensor.view(u, min(1.0, ACROSS / sensor.camera.width))
    rest = View(sensor.surface, sensor.surface.still(), view.camera)
    rows = 1 if forces is None else 2
    with sheet(run, "maps", (11.0, 2.75 * rows)) as (figure, path):
        panels = figure.subplots(rows, 3, squeeze=False)
        nearer = _since_rest(view, rest, "distance") * 1e3
        name = "distance along the ray, change"
        image(panels[0, 0], view, sensor.camera, nearer, name, "mm", True)
        turned = _since_rest(view, rest, "smooth_normals")
        tilt = float(np.nanmax(turned[:, :2].abs()))
        for axis, axes in enumerate(panels[0, 1:]):
            name = f"{'xy'[axis]} of the normal, change"
            image(axes, view, sensor.camera, turned[:, axis], name, "", True, tilt)
        if forces is not None:
            traction = lumped(sensor.surface, u, forces)
            _stresses(panels[1], sensor, view, traction)
            taxels(panels[1, 2], sensor, view, forces)
    caption = (
        f"What the camera sees of the front: {np.nanmax(-nearer):.3g} mm nearer than at rest at "
        "most, and its normals"
    )
    if forces is None:
        return path, f"{caption}."
    total = sensor.taxels.forces(forces).sum(0).tolist()
    return path, (
        f"{caption}; pressure up to {traction.pressure.max() / 1e3:.3g} kPa, shear up to "
        f"{traction.shear.norm(dim=-1).max() / 1e3:.3g} kPa, forces by taxel; the total force is "
        f"({', '.join(f'{f:.3g}' for f in total)}) N."
    )


def _images(sensor: Sensor, u: Tensor, run: Path) -> tuple[Path, str]:
    share = min(1.0, ACROSS / sensor.camera.width)
    camera = sensor.camera if share == 1 else sensor.camera.scaled(share)
    with sheet(run, "images", (9.0, 3.2)) as (figure, path):
        states = {"at rest": sensor.surface.still(), "now": u}
        for axes, (name, state) in zip(figure.subplots(1, 2), states.items(), strict=True):
            plain = sensor.image(state, share).nan_to_num(0.0)
            at = camera.project(sensor.markers.positions(state))
            width, height = sensor.camera.width, sensor.camera.height
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            dots = dotted(plain, at, DOT * camera.width)
            axes.imshow(dots.clamp(0, 1).numpy(), extent=extent, interpolation="nearest")
            image_plane(axes, width, height)
            axes.grid(False)
            axes.set_title(f"camera, {name}")
    return path, "What the camera sees at rest and now, its markers as dark dots."


def _since_rest(view: View, rest: View, name: str) -> Tensor:
    """What has changed in the pixels that see the front; NaN where they did not at rest."""
    before = rest.image(getattr(rest, name)).flatten(0, 1)[view.pixel]
    return getattr(view, name) - before


def _stresses(panels: Any, sensor: Sensor, view: View, traction: Traction) -> None:
    pressure = view.of(traction.everywhere(traction.pressure)) / 1e3
    shear = view.of(traction.everywhere(traction.shear)) / 1e3
    image(panels[0], view, sensor.camera, pressure, "pressure", "kPa")
    image(panels[1], view, sensor.camera, shear.norm(dim=-1), "shear, and its direction", "kPa")
    row, column = view.pixel // view.camera.width, view.pixel % view.camera.width
    step = max(view.camera.width // ARROWS, 1)
    some = (row % step == step // 2) & (column % step == step // 2)
    apart = step * sensor.camera.width / view.camera.width
    _arrows(panels[1], sensor.camera, view.points[some], shear[some], 1.2 * apart)


def _arrows(axes: Axes, camera: Camera, at: Tensor, vectors: Tensor, longest: float) -> None:
    """Directions of vectors as the camera sees them, the largest `longest` pixels long."""
    size = vectors.norm(dim=-1)
    shown = size > VISIBLE * size.max()
    at, vectors = at[shown], vectors[shown] / size.max().clamp(min=1e-30)
    pixels, step = camera.project(at), 1e-7  # m
    moved = (camera.project(at + step * vectors) - pixels) / step
    scale = float(moved.norm(dim=-1).max()) / longest if shown.any() else 1.0
    axes.quiver(
        *pixels.T.numpy(), *moved.T.numpy(), angles="xy", scale_units="xy", scale=scale,
        color="white", edgecolor=FRAME, linewidth=0.4, width=0.007,
    )  # fmt: skip


def image_plane(axes: Axes, width: int, height: int) -> None:
    axes.set(
        aspect="equal", xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5),
        xlabel="column (pixel)", ylabel="row (pixel)",
    )  # fmt: skip


def _bar(axes: Axes, drawn: Any, label: str) -> None:
    """A colour bar with its quantity and unit on top."""
    colour_bar(axes, drawn)
    bar: Any = axes.child_axes[-1]
    bar.set_title(label, fontsize=8.5, loc="left", pad=4)


def round_down(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above a value."""
    power = 10 ** np.floor(np.log10(value))
    return float(max(m * power for m in (1, 2, 5) if m * power <= value * (1 + 1e-9)))

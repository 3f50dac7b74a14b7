"""Pictures and films of skills: the motion in its plane, and what was wanted of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
import xarray
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciml.drawing import Drawn, film, history
from sciml.drawing.sheet import sheet, style
from sciml.tactile import figures as of_sensor

if TYPE_CHECKING:
    from sciml.tactile.skills import follow, reorient

#: Bytes of a film, at most.
MOST = 2_000_000
INK, GEL, SOLID, FELT = "#26323a", "#3b7dd8", "#b9c1c7", "#d1495b"


@final
class Following:
    """`contracts.Figures`: force and centre against what is wanted, the way, the last state."""

    def __init__(self, motion: "follow.Following", target: float) -> None:
        self.motion, self.target = motion, target

    def __call__(self, run: Path) -> Drawn:
        dataset = _read(run)
        drawn = [self._force(dataset, run), *_last(self.motion.touch, dataset, run)]
        _film(run, dataset, self._scene(dataset))
        return drawn + _history(run)

    def _force(self, dataset: xarray.Dataset, run: Path) -> tuple[Path, str]:
        counted = slice(int(dataset.attrs["first"]), None)
        x = 1e3 * dataset.x.values[counted]
        with sheet(run, "force", (7.4, 4.6)) as (figure, path):
            panels = figure.subplots(2, 2)
            felt, centre, way, tilt = panels.ravel()
            felt.axhline(self.target, color=INK, linewidth=0.8, label="wanted")
            felt.plot(x, dataset.normal.values[counted], "o-", label="model", markersize=3)
            if "normal_finer" in dataset:
                finer = dataset.normal_finer.values[counted]
                felt.plot(x, finer, "s--", label="finer mesh", markersize=3)
            felt.set(ylabel="normal force (N)", ylim=(0, None))
            felt.legend()
            centre.axhline(0, color=INK, linewidth=0.8)
            centre.plot(x, 1e3 * dataset.centre.values[counted], "o-", markersize=3)
            centre.set(ylabel="centre of pressure (mm)")
            way.plot(x, 1e3 * self._under(x / 1e3), color=SOLID, label="surface")
            way.plot(x, 1e3 * dataset.z.values[counted], "o-", markersize=3, label="pole")
            way.set(xlabel="x (mm)", ylabel="height (mm)")
            way.legend()
            tilt.plot(x, np.rad2deg(dataset.pitch.values[counted]), "o-", markersize=3)
            tilt.set(xlabel="x (mm)", ylabel="pitch (°)")
        off = 100 * np.abs(dataset.normal.values[counted] / self.target - 1).max()
        return path, (
            f"Normal force along the way, at most {off:.2g} % off the {self.target:g} N wanted; "
            "the centre of pressure from the pole; height and pitch of the sensor."
        )

    def _under(self, x: np.ndarray) -> np.ndarray:
        """Where the surface is at x: where its distance, falling in z, is 0."""
        solid = self.motion.touch.solid
        low, high = np.full(len(x), -1e-2), np.full(len(x), 1e-2)
        for _ in range(40):
            z = (low + high) / 2
            points = torch.from_numpy(np.column_stack([x, 0 * x, z]))
            outside = solid.distance(points)[0].numpy() > 0
            low, high = np.where(outside, z, low), np.where(outside, high, z)
        return low

    def _scene(self, dataset: xarray.Dataset) -> Any:
        touch, x = self.motion.touch, np.linspace(-0.02, 0.02, 200)
        under = self._under(x)

        def show(axes: Axes, step: int) -> None:
            axes.fill_between(1e3 * x, 1e3 * under, 6, color=SOLID, linewidth=0)
            _sensor(axes, touch, dataset, step)
            axes.set(xlim=(-18, 18), ylim=(-14, 4))
            axes.set_title(f"normal force {max(0, float(dataset.normal[step])):.2f} N", loc="left")

        return show


@final
class Tipping:
    """`contracts.Figures`: angle and forces of the motion, the last state, a film."""

    def __init__(self, motion: "reorient.Tipping", target: float) -> None:
        self.motion, self.target = motion, target

    def __call__(self, run: Path) -> Drawn:
        dataset = _read(run)
        drawn = [self._angle(dataset, run), *_last(self.motion.touch, dataset, run)]
        _film(run, dataset, self._scene(dataset))
        return drawn + _history(run)

    def _angle(self, dataset: xarray.Dataset, run: Path) -> tuple[Path, str]:
        step = np.arange(dataset.sizes["time"])
        with sheet(run, "angle", (7.4, 2.9)) as (figure, path):
            turned, felt = figure.subplots(1, 2)
            turned.axhspan(self.target - 0.5, self.target + 0.5, color=SOLID, alpha=0.5)
            names = {"theta": "planned", "theta_executed": "executed", "theta_finer": "finer mesh"}
            for (name, text), mark in zip(names.items(), ("-", "o", "s"), strict=True):
                if name in dataset:
                    angle = np.rad2deg(dataset[name].values)
                    turned.plot(step, angle, mark, markersize=4, mfc="none", label=text)
            turned.set(xlabel="increment", ylabel="angle of the block (°)")
            turned.legend()
            felt.plot(step, dataset.normal.clip(min=0), label="normal force of the sensor")
            table = dataset.table.values
            late = step[len(step) - len(table) :]
            felt.plot(late, np.abs(table[:, 0]), label="table, sideways")
            felt.plot(late, table[:, 1], label="table, upwards")
            felt.set(xlabel="increment", ylabel="force (N)")
            felt.legend()
        end = np.rad2deg(dataset.theta_executed.values[-1])
        return path, (
            f"Angle of the block, {end:.2f}° at the end where the sensor's motion alone is given "
            f"(wanted: {self.target:g}°, the band is ± 0.5°), and the forces on it."
        )

    def _scene(self, dataset: xarray.Dataset) -> Any:
        touch, (width, _, height) = self.motion.touch, self.motion.block.size
        corners = np.array([[-width, 0], [0, 0], [0, height], [-width, height]])

        def show(axes: Axes, step: int) -> None:
            theta = float(dataset.theta_executed[step])
            c, s = np.cos(theta), np.sin(theta)
            turned = 1e3 * np.column_stack([corners @ [c, s], corners @ [-s, c]])
            axes.fill(*turned.T, color=SOLID)
            axes.axhline(0, color=INK, linewidth=1)
            _sensor(axes, touch, dataset, step)
            axes.set(xlim=(-62, 32), ylim=(-4, 74))
            axes.set_title(f"angle {np.rad2deg(theta):.1f}°", loc="left")

        return show


def _film(run: Path, dataset: xarray.Dataset, show: Any) -> None:
    """`motion.gif`: all increments, the last of them held."""
    last = dataset.sizes["time"] - 1
    with rc_context(style()):
        figure = Figure(figsize=(5.0, 4.2))
        axes = figure.subplots()

        def draw(step: int) -> None:
            axes.clear()
            axes.set(aspect="equal", xlabel="x (mm)", ylabel="z (mm)")
            show(axes, step)

        draw(0)
        frames = np.array([*range(last), *[last] * film.RATE])
        film.write(run / "figures" / "motion.gif", figure, draw, frames, MOST)


def _sensor(axes: Axes, touch: Any, dataset: xarray.Dataset, step: int) -> None:
    """The gel's faces in the world, seen along y; nodes that are pressed in red."""
    elements = touch.sensor.elements
    at = dataset.node_position.values + dataset.u.values[step]
    world = 1e3 * placed(at, dataset, step, touch.pole)
    for name in (touch.sensor.surface.name, *touch.sensor.held):
        axes.triplot(*world.T, elements.mesh.surface(name), color=GEL, linewidth=0.4)
    pressed = np.linalg.norm(dataset.contact_force.values[step], axis=1)
    some = pressed > 0.02 * max(pressed.max(), 1e-9)
    axes.scatter(*world[some].T, s=12, color=FELT, linewidths=0, zorder=3)


def placed(
    points: Float[np.ndarray, "n 3"], dataset: xarray.Dataset, step: int, pole: float
) -> Float[np.ndarray, "n 2"]:
    """x and z in the world of points in the sensor's frame."""
    x, z, pitch = (float(dataset[name][step]) for name in ("x", "z", "pitch"))
    c, s = np.cos(pitch), np.sin(pitch)
    across, up = points[:, 0], points[:, 2] - pole
    return np.column_stack([x + c * across + s * up, z - s * across + c * up])


def _read(run: Path) -> xarray.Dataset:
    with xarray.open_dataset(run / "result.nc") as dataset:
        return dataset.load()


def _last(touch: Any, dataset: xarray.Dataset, run: Path) -> Drawn:
    u, forces = (torch.from_numpy(dataset[name].values[-1]) for name in ("u", "contact_force"))
    return of_sensor.draw(touch.sensor, u, run, forces)


def _history(run: Path) -> Drawn:
    if not (run / "history.csv").is_file():
        return []
    return history.draw(history.read(run / "history.csv"), run, "angle_", "angle (degrees)")

"""Markers of the pad of `conf/sensor` against a finer model of it, in pixels, by motion.

Three motions as in DiffTactile's comparison (press and slide, press and twist about z, press and
twist about x); the peer's figures are what is left between its own two simulations after its
parameters were fitted. Here nothing is fitted: the difference is that of the mesh alone, or of the
increments, at every increment of the motion and all 63 markers.
"""

import time
from typing import Any

import numpy as np
import torch

from sciml import compose

#: First touch, 0.5 mm down, 7 degrees about x.
STATIONS = ["[0.0,0.0,0.00725,0.0,0.0,0.0]", "[0.0,0.0,0.00675,0.0,0.0,0.0]"]
STATIONS += ["[0.0,0.0,0.00675,0.12,0.0,0.0]"]
TILT = f"scene.stations=[{','.join(STATIONS)}]"
#: Motion → case, changes, and the peer's pixels.
MOTIONS: dict[str, tuple[str, list[str], float]] = {
    "press-slide": ("tactile_slide/default", [], 0.53),
    "press-twist-z": ("tactile_twist/default", [], 0.42),
    "press-twist-x": ("tactile_twist/default", [TILT], 0.58),
}
#: Row → bricks, sizes in the middle and at the front (see `shapes.pad`), increments for one.
MESHES: dict[str, tuple[list[int], list[float], int]] = {
    "pad": ([20, 16, 3], [1.0, 1.0, 1.0], 1),
    "pad, increments halved": ([20, 16, 3], [1.0, 1.0, 1.0], 2),
    "graded": ([20, 16, 3], [0.45, 0.45, 0.7], 1),
}
REFERENCE = ([24, 20, 4], [0.45, 0.45, 0.6], 1)


def transfer(motion: str) -> dict[str, Any]:
    """Mean and largest distance of the markers to those of the reference, by row."""
    truth = simulated(motion, *REFERENCE)
    flow = np.linalg.norm(truth["markers"] - truth["markers"][0], axis=-1)
    found = {
        "peer": MOTIONS[motion][2], "largest_flow": float(flow.max()),
        "reference": {k: truth[k] for k in ("tets", "cpu_s", "force")}, "rows": {},
    }  # fmt: skip
    for row, mesh in MESHES.items():
        made = simulated(motion, *mesh)
        apart = np.linalg.norm(made["markers"] - truth["markers"], axis=-1)[1:]
        found["rows"][row] = {
            "mean": float(apart.mean()), "rms": float((apart**2).mean() ** 0.5),
            "worst": float(apart.max()), **{k: made[k] for k in ("tets", "cpu_s", "force")},
        }  # fmt: skip
    return found


def simulated(motion: str, cells: list[int], grading: list[float], times: int) -> dict[str, Any]:
    """Markers `[t, k, 2]` at the increments of the case, whatever finer ones were made between."""
    case, words, _ = MOTIONS[motion]
    config = compose.compose(case, words)
    config.sensor.mesh.cells, config.sensor.mesh.grading = cells, grading
    config.scene.steps = [times * int(count) for count in config.scene.steps]
    scene = compose.build(config).system.model.scene
    start = time.process_time()
    with torch.no_grad():
        observed = scene()
    return {
        "markers": observed.markers[::times].numpy(), "tets": len(scene.sensor.elements.cells),
        "cpu_s": time.process_time() - start, "force": float(observed.wrench[-1, 2]),
    }  # fmt: skip


def table(found: dict[str, Any]) -> list[str]:
    """Markdown rows."""
    lines = ["| motion | mesh | tets | mean | root mean square | worst | peer | force |"]
    lines.append("|" + "---|" * 8)
    for motion, one in found.items():
        for row, error in one["rows"].items():
            lines.append(
                f"| {motion} | {row} | {error['tets']:,} | {error['mean']:.3f} px | "
                f"{error['rms']:.3f} px | {error['worst']:.2f} px | {one['peer']} px | "
                f"{100 * (error['force'] / one['reference']['force'] - 1):+.1f} % |"
            )
    return lines

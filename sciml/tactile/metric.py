"""What is reported: of a simulation its forces and flow, of a fit to a recording its errors.

    N = F·n,  T = |F - N n|         n: mean outward normal at rest where the contact is, by force

marker_error = √mean |Δ pixels|², force_error = √mean |Δ force|²; value/E, rel_error/E …; of a field
with an inclusion dice/E, centre_error/E, ratio/E, background/E and found/E (see `inclusion`).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import xarray
from jaxtyping import Float
from torch import Tensor

from sciml.tactile.data import Share
from sciml.tactile.inclusion import Inclusion
from sciml.tactile.model import Simulation
from sciml.tactile.surface import Surface


@final
@dataclass(frozen=True, eq=False)
class Touch:
    """`contracts.System.summary` of a simulation: what happened in `result.nc`, in ten numbers.

    Those without a moment in their name are of the last step.

    Args:
        surface: that was touched.
    """

    surface: Surface

    def __call__(self, found: xarray.Dataset) -> dict[str, float]:
        normals = self.surface.node_normals(self.surface.still()).numpy()
        nodes = self.surface.nodes.numpy()
        n = _direction(found.contact_force.values[:, nodes], normals)
        force, moment = found.force.values, found.moment.values
        normal = force @ n
        tangential = np.linalg.norm(force - normal[:, None] * n, axis=1)
        depth = float(found.indentation.max())
        flow = found.markers.values - found.markers.values[0]
        flow = np.hypot(flow[..., 0], flow[..., 1])
        peak = int(normal.argmax())
        if not found.contact_area.values.any():
            warnings.warn(_UNTOUCHED, stacklevel=2)
        numbers = {
            "peak_normal_force_N": normal[peak],
            "normal_force_N": normal[-1],
            "tangential_force_N": tangential[-1],
            "twisting_moment_mN_m": 1e3 * abs(moment[-1] @ n),
            "depth_mm": 1e3 * depth,
            "penetration_share": float(found.penetration.max()) / depth if depth > 0 else 0.0,
            "contact_radius_mm": 1e3 * np.sqrt(float(found.contact_area[peak]) / np.pi),
            "slip_share": found.slip_share.values[-1],
            "mean_marker_flow_px": flow[-1].mean(),
            "largest_marker_flow_px": flow.max(),
        }
        return {f"touch/{name}": float(value) for name, value in numbers.items()}


def _direction(
    forces: Float[np.ndarray, "t s 3"], normals: Float[np.ndarray, "s 3"]
) -> Float[np.ndarray, "3"]:
    """n, outwards; z where nothing is touched."""
    sizes = np.linalg.norm(forces, axis=-1).sum(0)
    mean = sizes @ normals
    length = np.linalg.norm(mean)
    return mean / length if length > 0 else np.array([0.0, 0.0, 1.0])


_UNTOUCHED = "scene: nothing was touched at any step; move stations nearer to the sensor's front"

#: Name → value that made a recording, or the inclusion of a field.
Truth = Mapping[str, float | Inclusion]


@final
class Errors:
    """`contracts.Metric` of an identification.

    Args:
        truth: name → value of constants that are known, or the inclusion of a field, for
            recordings of a simulation.
    """

    def __init__(self, truth: Truth | None = None) -> None:
        self.truth = dict(truth or {})

    def statistics(self, model: Simulation, batch: Share) -> dict[str, tuple[Tensor, Tensor]]:
        values = model.values()
        one = torch.ones((), dtype=torch.float64)
        pixels, newtons = [], []
        for number, seen in batch.presses:
            observed = model.simulate(values, number)
            pixels.append((observed.markers - seen.markers)[1:].square().sum(-1).flatten())
            newtons.append((observed.wrench[:, :3] - seen.force)[1:].square().sum(-1))
        found = {
            "marker": (torch.cat(pixels).sum(), one * sum(map(len, pixels))),
            "force": (torch.cat(newtons).sum(), one * sum(map(len, newtons))),
        }
        for name, value in values.items():
            known = self.truth.get(name)
            if not value.ndim:
                found[f"value/{name}"] = (value, one)
            elif isinstance(known, Inclusion):
                elements = model.scene.sensor.elements
                for measure, number in known.measures(
                    value.detach().cpu().numpy(), elements
                ).items():
                    found[f"{measure}/{name}"] = (one * number, one)
        return found

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        found = {
            "marker_error": means["marker"] ** 0.5,
            "force_error": means["force"] ** 0.5,
        }
        for key, value in means.items():
            measure, _, name = key.partition("/")
            if not name:
                continue
            found[key] = value
            known = self.truth.get(name)
            if measure == "value" and isinstance(known, float | int):
                found[f"rel_error/{name}"] = abs(value / known - 1)
        return found

"""A skill as a dataset: the sensor's motion, the front and what it felt, by increment."""

from collections.abc import Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
import xarray
from torch import nn

from sciml.tactile.skills.follow import Following
from sciml.tactile.skills.reorient import Tipping
from sciml.tactile.skills.touch import Touch, Touched, forces


@final
class Performed:
    """`contracts.Predictor`.

    Args:
        finer: on which the motion is performed once more, kept as `…_finer`.
    """

    def __init__(self, finer: Touch | None = None) -> None:
        self.finer = finer

    @torch.no_grad()
    def __call__(self, model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
        assert isinstance(model, Following | Tipping)
        found = model()
        variables = _felt(model.touch, found.touched)
        ways = {"x": ("position along x", "m"), "z": ("position along z", "m")}
        for name, (text, unit) in (ways | {"pitch": ("pitch about y", "rad")}).items():
            variables[name] = _by_time(getattr(found, name), f"the sensor's {text}", unit)
        if isinstance(model, Tipping):
            variables |= self._tipped(model, found)
        elif self.finer is not None:
            again = model.perform(self.finer).touched
            variables["normal_finer"] = _later(again.normal, "normal force on a finer mesh", "N")
        nodes = model.touch.sensor.elements.nodes
        rest = ("node", "axis"), nodes, {"long_name": "position at rest", "units": "m"}
        coordinates = {"node_position": rest, "axis": ["x", "y", "z"]}
        yield xarray.Dataset(variables, coordinates, {"first": found.first + 1})

    def _tipped(self, model: Tipping, found: Any) -> dict[str, Any]:
        variables = {
            "theta": _by_time(found.theta, "angle of the block, as planned", "rad"),
            "theta_executed": _by_time(
                model.executed(model.touch), "angle of the block, free to turn", "rad"
            ),
            "table": (
                ("counted", "direction"),
                found.table.numpy(),
                {"long_name": "force of the table on the edge along x and z", "units": "N"},
            ),
        }
        if self.finer is not None:
            variables["theta_finer"] = _by_time(
                model.executed(self.finer), "angle of the block on a finer mesh", "rad"
            )
        return variables


def _felt(touch: Touch, touched: Touched) -> dict[str, Any]:
    steps = range(1, len(touched.poses))
    u = np.stack([state.numpy() for state in touched.trajectory.u])
    still = np.zeros_like(u[:1])
    acting = np.stack([forces(touch, touched, step).numpy() for step in steps])
    return {
        "u": (("time", "node", "axis"), u, {"long_name": "displacement", "units": "m"}),
        "contact_force": (
            ("time", "node", "axis"),
            np.concatenate([still, acting]),
            {"long_name": "force of the contact on the node", "units": "N"},
        ),
        "pose": (
            ("time", "freedom"),
            touched.poses.numpy(),
            {"long_name": "pose of the solid in the sensor's frame (m, rad)", "units": "m"},
        ),
        "normal": _later(touched.normal, "normal force", "N"),
        "centre": _later(touched.centre[:, 0], "centre of pressure along x", "m"),
    }


def _by_time(values: torch.Tensor, text: str, unit: str) -> Any:
    return "time", values.numpy(), {"long_name": text, "units": unit}


def _later(values: torch.Tensor, text: str, unit: str) -> Any:
    """Nothing is felt at the start."""
    return _by_time(torch.cat([values.new_zeros(1), values]), text, unit)

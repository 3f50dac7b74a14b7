"""The outcome of a simulation as a dataset: nodes, markers, force and pose over the steps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
import xarray
from jaxtyping import Float
from torch import Tensor, nn

from sciml.tactile.confidence import Confidence, confidence, diagonal
from sciml.tactile.data import Seen
from sciml.tactile.inclusion import Inclusion
from sciml.tactile.materials import Material
from sciml.tactile.metric import Truth
from sciml.tactile.model import Simulation
from sciml.tactile.moduli import young
from sciml.tactile.objective import residuals
from sciml.tactile.scene import Observed, Scene
from sciml.tactile.sensor import lumped
from sciml.tactile.simulator import QuasiStatic

AXES = ["x", "y", "z"]
#: Of fields that are zero but on the front.
COMPRESSED = {"zlib": True, "complevel": 4}
#: Adjoint passes for what can be known of a field.
DRAWS = 16


@final
class Simulated:
    """`contracts.Predictor` of a simulation.

    Args:
        seen: what was recorded of every press; that of the first, which is shown, is kept as
            `…_reference` beside what came out.
        truth: name → value of constants that are known; of a field the inclusion.
    """

    def __init__(self, seen: Sequence[Seen] = (), truth: Truth | None = None) -> None:
        self.seen, self.truth = tuple(seen), dict(truth or {})

    def __call__(self, model: nn.Module, request: Mapping[str, Any]) -> Iterator[xarray.Dataset]:
        assert isinstance(model, Simulation)
        with torch.no_grad():
            values = model.values()
            observed = model.simulate(values)
            found = dataset(model.scene, observed, model.material(values))
            if self.seen:
                found = found.assign(_reference(self.seen[0]))
                scalars = {name: value for name, value in values.items() if not value.ndim}
                if scalars:
                    found = found.assign(self._constants(model, scalars, values))
            for name, value in values.items():
                if value.ndim:
                    found = found.assign(self._field(model, name, values))
        yield found

    def _field(self, model: Simulation, name: str, values: Mapping[str, Tensor]) -> dict[str, Any]:
        found = {name: ("cell", values[name].cpu().numpy(), {"long_name": f"{name} of every cell"})}
        known = self.truth.get(name)
        if isinstance(known, Inclusion):
            true = known.field(model.scene.sensor.elements).numpy()
            said = {"long_name": f"{name} of every cell that made the recording"}
            found[f"{name}_truth"] = ("cell", true, said)
        if self.seen:
            bound = _bound(model, name, values, self.seen)
            said = {"long_name": f"least s.d. of log {name} of one cell, all others known"}
            found[f"{name}_bound"] = ("cell", bound, {**said, "units": "1"})
        return found

    def _constants(
        self, model: Simulation, scalars: dict[str, Any], values: Mapping[str, Any]
    ) -> dict[str, Any]:
        def rows(changed: Mapping[str, Any]) -> Any:
            given = {**values, **changed}
            every = [residuals(model.simulate(given, n), seen) for n, seen in enumerate(self.seen)]
            return torch.cat([part for found in every for part in found.values()])

        return _intervals(confidence(rows, scalars), self.truth)


def _bound(
    model: Simulation, name: str, values: Mapping[str, Tensor], presses: Sequence[Seen]
) -> Float[np.ndarray, " m"]:
    """1/√F_jj of the logarithm of a field; the information of presses adds up."""
    log = values[name].cpu().log().requires_grad_()
    information = torch.zeros_like(log)
    for number, seen in enumerate(presses):
        with torch.enable_grad():
            observed = model.simulate({**values, name: log.exp()}, number)
            rows = torch.cat(list(residuals(observed, seen).values()))
            information = information + diagonal(rows, log, DRAWS, seed=number)
    return 1 / information.detach().clamp(min=1e-300).sqrt().numpy()


def dataset(scene: Scene, observed: Observed, material: Material) -> xarray.Dataset:
    """Time is the number of the step, or seconds where the scheme has them."""
    elements, trajectory = scene.sensor.elements, observed.trajectory
    scheme = scene.scheme or QuasiStatic()
    timeless = isinstance(scheme, QuasiStatic) and scheme.dt is None
    time = np.arange(len(trajectory.u)) * scheme.duration(1.0)
    forces = [scene.forces(observed, step) for step in range(len(trajectory.u))]
    stack = lambda tensors: np.stack([t.detach().numpy() for t in tensors])  # noqa: E731
    clock = {"long_name": "time", "units": "s"}
    if timeless:
        clock = {"long_name": "increment", "units": "1"}
    return xarray.Dataset(
        {
            "u": (
                ("time", "node", "axis"),
                stack(trajectory.u),
                {"long_name": "displacement", "units": "m"},
            ),
            "contact_force": (
                ("time", "node", "axis"),
                stack(forces),
                {"long_name": "force of the contact on the node", "units": "N"},
                COMPRESSED,
            ),
            **_tractions(scene, trajectory.u, forces),
            "markers": (
                ("time", "marker", "pixel"),
                observed.markers.detach().numpy(),
                {"long_name": "column and row of the markers", "units": "pixel"},
            ),
            "force": (
                ("time", "axis"),
                observed.wrench[:, :3].detach().numpy(),
                {"long_name": "force of the sensor on the indenter", "units": "N"},
            ),
            "moment": (
                ("time", "axis"),
                observed.wrench[:, 3:].detach().numpy(),
                {"long_name": "moment on the indenter about its origin", "units": "N m"},
            ),
            "position": (
                ("time", "axis"),
                scene.path[:, :3].detach().numpy(),
                {"long_name": "position of the indenter", "units": "m"},
            ),
            "rotation": (
                ("time", "axis"),
                scene.path[:, 3:].detach().numpy(),
                {"long_name": "rotation vector of the indenter", "units": "rad"},
            ),
            "corners": (
                ("cell", "corner"),
                elements.cells.astype(np.int32),
                {"long_name": "nodes of every tetrahedron"},
            ),
            "E": (
                ("cell",),
                young(material, len(elements.cells)).numpy(),
                {"long_name": "Young's modulus at small strains", "units": "Pa"},
            ),
            **_touch(scene, observed),
        },
        {
            "time": ("time", time, clock),
            "axis": AXES,
            "pixel": ["column", "row"],
            "node_position": (
                ("node", "axis"),
                elements.nodes,
                {"long_name": "position at rest", "units": "m"},
            ),
        },
    )


def _tractions(scene: Scene, u: Sequence[Tensor], forces: Sequence[Tensor]) -> dict[str, Any]:
    """Traction of the front and its part inwards, zero off it, over time."""
    found = [
        lumped(scene.sensor.surface, *(value.detach() for value in one))
        for one in zip(u, forces, strict=True)
    ]
    return {
        "traction": (
            ("time", "node", "axis"),
            np.stack([one.everywhere(one.vectors).numpy() for one in found]),
            {"long_name": "force on the front per deformed area", "units": "Pa"},
            COMPRESSED,
        ),
        "pressure": (
            ("time", "node"),
            np.stack([one.everywhere(one.pressure).numpy() for one in found]),
            {"long_name": "pressure on the front", "units": "Pa"},
            COMPRESSED,
        ),
    }


def _touch(scene: Scene, observed: Observed) -> dict[str, Any]:
    """How deep, how deep too far, over what area and how much of it sliding, over time."""
    contact, still = scene.contact, torch.zeros_like(observed.trajectory.u[0])
    rows = [(0.0, 0.0, 0.0, 0.0)]
    for (taken,) in observed.trajectory.acting:
        u, _, at, *_ = taken
        borne, sliding = (float(contact.areas[which].sum()) for which in contact.touching(*taken))
        deep, inside = (max(0.0, -float(contact.gaps(where, at).min())) for where in (still, u))
        rows.append((deep, inside, borne, sliding / borne if borne else 0.0))
    names = {
        "indentation": ("depth of the indenter in the gel as it was at rest", "m"),
        "penetration": ("deepest point inside the indenter", "m"),
        "contact_area": ("area at rest in contact", "m2"),
        "slip_share": ("share of the area in contact that slides", "1"),
    }
    return {
        name: (("time",), values, {"long_name": what, "units": unit})
        for (name, (what, unit)), values in zip(names.items(), np.array(rows).T, strict=True)
    }


def _reference(seen: Seen) -> dict[str, Any]:
    return {
        "markers_reference": (
            ("time", "marker", "pixel"),
            seen.markers.numpy(),
            {"long_name": "recorded column and row of the markers", "units": "pixel"},
        ),
        "force_reference": (
            ("time", "axis"),
            seen.force.numpy(),
            {"long_name": "recorded force on the indenter", "units": "N"},
        ),
    }


def _intervals(found: Confidence, truth: Truth) -> dict[str, Any]:
    low, high = found.interval().T
    known = [truth.get(name, np.nan) for name in found.names]
    p = ("constant",)
    return {
        "constant": (p, list(found.names)),
        "value": (p, found.values, {"long_name": "estimate, in the constant's own unit"}),
        "low": (p, low, {"long_name": "lower end of the 95 % confidence interval"}),
        "high": (p, high, {"long_name": "upper end of the 95 % confidence interval"}),
        "truth": (p, known, {"long_name": "value that made the recording"}),
        "correlation": (
            ("constant", "other_constant"),
            found.correlation,
            {"long_name": "correlation of two estimates", "units": "1"},
        ),
    }

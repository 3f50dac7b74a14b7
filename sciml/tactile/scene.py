"""A sensor and a rigid solid that moves against it: what is simulated, and what a sensor sees.

path, friction, material ──► trajectory ──► pixels of the markers, wrench on the solid
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact import Rigid, RigidContact, path
from sciml.tactile.materials import Material
from sciml.tactile.sensor import Sensor
from sciml.tactile.simulator import Newton, Simulator, Trajectory
from sciml.tactile.simulator.schemes import Scheme


@final
@dataclass(frozen=True, eq=False)
class Observed:
    """What came out of one simulation, at the start and after every step.

    Args:
        trajectory: displacements and what acted.
        markers: `[t, k, 2]` (column, row), pixels.
        wrench: `[t, 6]` force, N, and moment about the solid's origin, N m, on the solid.
    """

    trajectory: Trajectory
    markers: Float[Tensor, "t k 2"]
    wrench: Float[Tensor, "t 6"]


@final
class Scene:
    """One sensor, one solid, one path.

    Args:
        sensor: whose front is touched.
        solid: in its own frame.
        stations: poses that the solid goes through in straight lines: (x, y, z) in m, or
            (x, y, z, rx, ry, rz) with a rotation vector in rad; two or more.
        steps: of every line, or one number for all.
        friction: coefficient of friction, ≥ 0.
        stiffness: of the contact's penalty, Pa/m (see `contact.RigidContact`).
        stick, penetration: likewise.
        scheme: quasi-static increments if None.
        newton: settings of the iteration.

    Raises:
        UserError: stations or steps that make no path, friction below 0.
    """

    def __init__(
        self,
        sensor: Sensor,
        solid: Rigid,
        stations: list[list[float]],
        steps: int | list[int],
        friction: float,
        stiffness: float,
        stick: float = 1e-5,
        penetration: float | None = None,
        scheme: Scheme | None = None,
        newton: Newton | None = None,
    ) -> None:
        if not friction >= 0:
            raise UserError(f"friction: expected a coefficient >= 0, got {friction!r}")
        self.sensor, self.friction = sensor, torch.tensor(friction, dtype=torch.float64)
        self.path = path(*_poses(stations), steps=_counts(steps, len(stations) - 1))
        self.contact = RigidContact(
            sensor.elements, sensor.surface.name, solid, stiffness, stick, penetration
        )
        self.scheme, self.newton = scheme, newton

    @property
    def steps(self) -> int:
        """Number of steps of the whole path."""
        return len(self.path) - 1

    @cached_property
    def simulator(self) -> Simulator:
        sensor = self.sensor
        return Simulator(sensor.elements, sensor.held, self.scheme, [self.contact], self.newton)

    def __call__(
        self,
        material: Material | None = None,
        friction: Float[Tensor, ""] | None = None,
        path: Float[Tensor, "t 6"] | None = None,
    ) -> Observed:
        """Simulates; differentiable with respect to the material, friction and path.

        Args:
            material: the sensor's own if None.
            friction: the scene's own if None.
            path: the scene's own if None.

        Raises:
            StepRefused: a step without balance; UserError: the solid starts inside the gel.
        """
        poses = self.path if path is None else path
        mu = self.friction if friction is None else friction
        found = self.simulator(
            material or self.sensor.material,
            len(poses) - 1,
            None,
            [(poses, mu.expand(len(poses)))],
        )
        markers = torch.stack([self.sensor.marker_pixels(u) for u in found.u])
        wrenches = [self.contact.wrench(*acting[0]) for acting in found.acting]
        wrench = torch.stack([torch.zeros(6, dtype=torch.float64), *wrenches])
        return Observed(found, markers, wrench)

    def forces(self, observed: Observed, step: int) -> Float[Tensor, "n 3"]:
        """Forces of the contact on the nodes after a step (1, 2 …), N; zero at the start."""
        if step == 0:
            return torch.zeros_like(observed.trajectory.u[0])
        return -self.contact.force(*observed.trajectory.acting[step - 1][0])


def _poses(stations: list[list[float]]) -> list[Tensor]:
    if len(stations) < 2 or any(len(station) not in (3, 6) for station in stations):
        raise UserError(
            "stations: expected two poses or more, each of 3 or 6 numbers (m, rad), got "
            f"{stations!r}"
        )
    padded = [[*station, *[0.0] * (6 - len(station))] for station in stations]
    return [torch.tensor(station, dtype=torch.float64) for station in padded]


def _counts(steps: int | list[int], lines: int) -> tuple[int, ...]:
    counts = (steps,) * lines if isinstance(steps, int) else tuple(steps)
    if len(counts) != lines or min(counts) < 1:
        raise UserError(
            f"steps: expected one number >= 1 for each of {lines} lines of the path, got {steps!r}"
        )
    return counts

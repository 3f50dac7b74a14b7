"""What a sensor feels of a rigid solid that goes along a path: the common half of all skills.

    N = |Σ_q A_q p_q n_q|           normal force, friction left out
    c = Σ_q A_q p_q n_z x_q / Σ_q A_q p_q n_z      centre of pressure, in the sensor's frame

Where nothing touches, N goes on as -slope · clearance, so that a lost contact is found again.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact import Rigid, RigidContact
from sciml.tactile.sensor import Sensor
from sciml.tactile.simulator import Newton, Simulator, Trajectory

#: Balances to 1e-8 of the forces: far below what a skill's tolerances ask for.
NEWTON = Newton(tolerance=1e-8)
#: N/m with which a clearance counts as a negative force.
SLOPE = 1e3


@final
@dataclass(frozen=True, eq=False)
class Touched:
    """What came out, after every increment.

    Args:
        trajectory: displacements and what acted.
        poses: `[t + 1, 6]` of the solid in the sensor's frame, the first at the start.
        wrench: `[t, 6]` of the sensor on the solid about its origin, sensor's axes, N and N m.
        normal: `[t]` N, N; below 0 where nothing touches.
        centre: `[t, 2]` x and y of c, m; 0 where nothing touches.
    """

    trajectory: Trajectory
    poses: Float[Tensor, "s 6"]
    wrench: Float[Tensor, "t 6"]
    normal: Float[Tensor, " t"]
    centre: Float[Tensor, "t 2"]


@final
class Touch:
    """A sensor and a rigid solid.

    Args:
        sensor: whose front touches.
        solid: in its own frame.
        friction: coefficient, ≥ 0.
        stiffness, stick: see `contact.RigidContact`.
    """

    def __init__(
        self, sensor: Sensor, solid: Rigid, friction: float, stiffness: float, stick: float = 1e-5
    ) -> None:
        if not friction >= 0:
            raise UserError(f"friction: expected a coefficient >= 0, got {friction!r}")
        self.sensor, self.solid = sensor, solid
        self.friction = torch.tensor(friction, dtype=torch.float64)
        self.contact = RigidContact(sensor.elements, sensor.surface.name, solid, stiffness, stick)

    @cached_property
    def simulator(self) -> Simulator:
        return Simulator(self.sensor.elements, self.sensor.held, None, [self.contact], NEWTON)

    @cached_property
    def pole(self) -> float:
        """Height of the front's highest point in the sensor's frame, m."""
        return float(self.sensor.elements.nodes[self.contact.points.nodes.numpy(), 2].max())

    def __call__(self, poses: Float[Tensor, "s 6"]) -> Touched:
        """Differentiable with respect to the poses.

        Raises:
            StepRefused: a step without balance; UserError: the solid starts inside the gel.
        """
        steps = len(poses) - 1
        material = self.sensor.material
        found = self.simulator(material, steps, None, [(poses, self.friction.expand(steps + 1))])
        felt = [self._felt(*acting[0]) for acting in found.acting]
        wrench, normal, centre = (torch.stack(parts) for parts in zip(*felt, strict=True))
        return Touched(found, poses, wrench, normal, centre)

    def _felt(
        self, u: Tensor, before: Tensor, pose: Tensor, friction: Tensor, *memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        contact = self.contact
        wrench = contact.wrench(u, before, pose, friction, *memory)
        nothing = torch.zeros_like(friction)
        pressed = contact.areas[:, None] * contact.tractions(u, before, pose, nothing, *memory)
        resultant, at = pressed.sum(0), contact.points.at(u)
        clearance = contact.gaps(u, pose).min()
        if float(clearance.detach()) >= 0:
            return wrench, -SLOPE * clearance, resultant[:2]
        centre = (pressed[:, 2:] * at[:, :2]).sum(0) / resultant[2]
        return wrench, resultant.norm(), centre


def forces(touch: Touch, touched: Touched, step: int) -> Float[Tensor, "n 3"]:
    """Of the contact on the nodes after an increment (1, 2 …), N."""
    return -touch.contact.force(*touched.trajectory.acting[step - 1][0])

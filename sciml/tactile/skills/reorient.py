"""A round sensor tips a standing block about its lower edge, by friction and push against its face.

    unknown, over the increments: angle θ of the block, and the sensor against the block's face:
    depth d of its pole, its height r along the face, its tilt τ

    balance = mean ((M_gel + m g x_c(θ))/ΔM)²         about the edge, while the block is lifted
    angle   = ((θ_end - θ*)/Δθ)²
    support = mean (⟨|R_x| - μ_t R_z⟩/ΔR)²            the edge must not slide on the table
    centre  = mean (c_x/Δc)²                          centre of pressure, 0 at the sensor's pole
    smooth  = mean (x''/Δx)² + mean (z''/Δx)² + mean (φ''/Δφ)²      of the sensor's own motion

The angle is an unknown and its balance a term (direct transcription), so that an evaluation is one
march of the gel against a block whose way is given. What the motion of the sensor alone then does
is simulated afterwards (`executed`): there the block turns freely about the edge.

World: origin on the edge, z up, the block at x < 0. Idealised: the edge is a hinge (`support` says
which friction it needs), the block is rigid, all is slow.

Source: M. Kelly, SIAM Review 59 (2017) 849-904 (direct transcription).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import LossTerms, UserError
from sciml.tactile.contact import Box
from sciml.tactile.objects.hinged import HingedContact
from sciml.tactile.objects.rigid import GRAVITY
from sciml.tactile.simulator import Simulator
from sciml.tactile.skills.goal import Goal
from sciml.tactile.skills.touch import NEWTON, Touch, Touched
from sciml.tactile.skills.trajectory import Curve, approached, roughness, seen

#: Stiffness of the table against the block's other edge, N m/rad.
STOP = 40.0


@final
@dataclass(frozen=True)
class Standing:
    """A block with rounded edges that stands with its lower right edge at the origin, along y.

    Args:
        size: along x, y, z, m.
        rounding: of its edges, m.
        mass: kg, > 0.
    """

    size: Sequence[float]
    rounding: float
    mass: float

    def __post_init__(self) -> None:
        if not self.mass > 0:
            raise UserError(f"block: expected mass > 0 kg, got {self.mass!r}")
        if not self.box.size[0] > 0:
            raise UserError(f"block: expected a size > 0 m, got {list(self.size)}")

    @cached_property
    def box(self) -> Box:
        return Box(self.size, self.rounding)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, z) of the centre of mass, m."""
        return -self.size[0] / 2, self.size[2] / 2

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        x, z = self.centre
        return self.box.distance(y - torch.tensor([x, 0.0, z], dtype=y.dtype))

    def moment(self, theta: Float[Tensor, "*t"]) -> Float[Tensor, "*t"]:
        """Of the weight about the edge, N m; negative while it falls back."""
        x, z = self.centre
        return self.mass * GRAVITY * (x * theta.cos() + z * theta.sin())


@final
@dataclass(frozen=True, eq=False)
class Tipped:
    """One motion.

    Args:
        touched: what was felt.
        x, z, pitch: `[t + 1]` of the sensor in the world, m and rad; approach included.
        theta: `[t + 1]` of the block, rad.
        unbalanced: `[k]` moment that is missing about the edge, N m, from the approach's end on.
        table: `[k, 2]` force of the table on the edge, along x and z, N.
        first: number of the first increment that counts.
    """

    touched: Touched
    x: Float[Tensor, " s"]
    z: Float[Tensor, " s"]
    pitch: Float[Tensor, " s"]
    theta: Float[Tensor, " s"]
    unbalanced: Float[Tensor, " k"]
    table: Float[Tensor, "k 2"]
    first: int


@final
class Tipping(nn.Module):
    """`() -> Tipped`: the motion's unknowns as parameters.

    Args:
        touch: sensor and block; the solid is a `Standing`.
        angle: θ less its first value, rad.
        depth, rise, tilt: of the sensor's pole into the face, along it from the ground, m, and of
            its axis against the face's normal, rad.
        increments: of the way, ≥ 2.
        clear: way of the approach before, m, > 0.
        approach: its increments, ≥ 1.
    """

    def __init__(
        self,
        touch: Touch,
        angle: Curve,
        depth: Curve,
        rise: Curve,
        tilt: Curve,
        increments: int,
        clear: float = 1e-3,
        approach: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(touch.solid, Standing):
            raise UserError(
                f"reorient: expected a block as solid, got {type(touch.solid).__name__}; set "
                "touch.solid to sciml.tactile.skills.reorient.Standing"
            )
        if increments < 2 or approach < 1 or not clear > 0:
            raise UserError(
                "reorient: expected increments >= 2, approach >= 1 and clear > 0 m, got "
                f"{increments!r}, {approach!r} and {clear!r}"
            )
        self.touch, self.block = touch, touch.solid
        self.angle, self.depth, self.rise, self.tilt = angle, depth, rise, tilt
        self.increments, self.clear, self.approach = increments, clear, approach
        for curve in self.curves:
            curve(increments)

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self.angle, self.depth, self.rise, self.tilt

    def way(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, z and pitch of the sensor, and θ."""
        theta, depth, rise, tilt = (curve(self.increments) for curve in self.curves)
        theta = theta - theta[0]
        face = depth - self.block.size[0]
        x = face * theta.cos() + rise * theta.sin()
        z = rise * theta.cos() - face * theta.sin()
        way = approached(x, z, math.pi / 2 + theta + tilt, self.clear, self.approach)
        return *way, torch.cat([torch.zeros(self.approach, dtype=x.dtype), theta])

    def forward(self) -> Tipped:
        x, z, pitch, theta = self.way()
        poses = seen(x, z, pitch, self.touch.pole)
        turned = torch.zeros_like(poses)
        turned[:, 4] = 1.0
        touched = self.touch(poses + theta[:, None] * turned)
        first = self.approach - 1
        force, alpha = touched.wrench[first:], pitch[first + 1 :]
        across = force[:, 0] * alpha.cos() + force[:, 2] * alpha.sin()
        up = force[:, 2] * alpha.cos() - force[:, 0] * alpha.sin()
        table = torch.stack([-across, self.block.mass * GRAVITY - up], 1)
        unbalanced = force[:, 4] + self.block.moment(theta[first + 1 :])
        resting = unbalanced[:1].clamp(min=0)  # the table carries what is missing at the start
        unbalanced = torch.cat([resting, unbalanced[1:]])
        return Tipped(touched, x, z, pitch, theta, unbalanced, table, first)

    @torch.no_grad()
    def executed(self, touch: Touch) -> Float[Tensor, " s"]:
        """θ, rad, `[t + 1]`, where only the sensor's motion is given and the block is free to turn.

        Args:
            touch: another sensor against the same block, or the model's own.
        """
        x, z, pitch, _ = self.way()
        block = self.block
        term = HingedContact(touch.contact, block.mass, block.centre, STOP)
        sensor = touch.sensor
        simulator = Simulator(sensor.elements, sensor.held, None, [term], NEWTON)
        hinge = seen(x, z, pitch, touch.pole)
        given = [(hinge, touch.friction.expand(len(hinge)))]
        found = simulator(sensor.material, len(hinge) - 1, None, given)
        turned = [term.angle(*acting[0]) for acting in found.acting]
        return torch.stack([torch.zeros_like(turned[0]), *turned])


@final
class Turn(nn.Module):
    """The objective.

    Args:
        target: θ*, degrees.
        tolerance: Δθ, degrees.
        moment: ΔM, N m.
        table: μ_t, coefficient of friction between table and edge.
        slide: ΔR, N.
        centre: Δc, m.
        length, turn: Δx, m, and Δφ, rad, of second differences.
    """

    terms = ("balance", "angle", "support", "centre", "smooth")

    def __init__(
        self,
        target: float,
        tolerance: float,
        moment: float,
        table: float,
        slide: float,
        centre: float,
        length: float,
        turn: float,
    ) -> None:
        super().__init__()
        units = {"target": target, "tolerance": tolerance, "moment": moment, "table": table}
        units |= {"slide": slide, "centre": centre, "length": length, "turn": turn}
        for name, value in units.items():
            if not value > 0:
                raise UserError(f"reorient: expected {name} > 0, got {value!r}")
        self.target, self.units = target, units

    def forward(self, model: Tipping, batch: Goal) -> LossTerms:
        found, units = model(), self.units
        off = torch.rad2deg(found.theta[-1]) - self.target
        slides = (found.table[:, 0].abs() - units["table"] * found.table[:, 1]).clamp(min=0)
        ways = {found.x: "length", found.z: "length", found.pitch: "turn"}
        rough = [roughness(q[found.first + 1 :], units[unit]) for q, unit in ways.items()]
        centre = found.touched.centre[found.first :, 0] / units["centre"]
        return {
            "balance": (found.unbalanced / units["moment"]).square().mean(),
            "angle": (off / units["tolerance"]).square(),
            "support": (slides / units["slide"]).square().mean(),
            "centre": centre.square().mean(),
            "smooth": torch.stack([r.square().mean() for r in rough]).sum(),
        }


@final
class AngleError:
    """`contracts.Metric`: the angle at the end, degrees: as planned, and as it comes out where the
    sensor's motion alone is given, on the model's mesh and on a finer one.

    Args:
        target: degrees.
        finer: the same sensor with a finer mesh; None leaves that out.
    """

    def __init__(self, target: float, finer: Touch | None = None) -> None:
        self.target, self.finer = target, finer

    def statistics(self, model: Tipping, batch: Goal) -> dict[str, tuple[Tensor, Tensor]]:
        planned, one = model(), torch.ones((), dtype=torch.float64)
        across, up = planned.table.unbind(1)
        needed = torch.where(up > 0, across.abs() / up, torch.inf).max()  # lifted, nothing holds it
        found = {
            "planned": planned.theta[-1],
            "angle": model.executed(model.touch)[-1],
            "table": needed,
        }
        if self.finer is not None:
            found["finer"] = model.executed(self.finer)[-1]
        return {name: (value, one) for name, value in found.items()}

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        found = {"table_friction": means["table"]}
        for name in ("planned", "angle", "finer"):
            if name in means:
                degrees = math.degrees(means[name])
                label = {"planned": "planned", "angle": "executed", "finer": "finer"}[name]
                found[f"angle_{label}"] = degrees
                found[f"error_{label}"] = abs(degrees - self.target)
        return found

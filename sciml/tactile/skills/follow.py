"""A round sensor slides along a curved surface and presses on it with a constant force.

    unknown: height z(s) and pitch φ(s) of the sensor; x(s) is given

    force  = mean ((N - N*)/ΔN)²          N: normal force
    centre = mean (c_x/Δc)²               c: centre of pressure, 0 at the sensor's pole
    smooth = mean (z''/Δz)² + mean (φ''/Δφ)²      second differences from increment to increment

The surface is the underside of a solid that stays where it is; the sensor presses from below.
Statics does not know which of the two moves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import LossTerms, UserError
from sciml.tactile.skills.goal import Goal
from sciml.tactile.skills.touch import Touch, Touched
from sciml.tactile.skills.trajectory import Curve, approached, roughness, seen


@final
@dataclass(frozen=True, eq=False)
class Followed:
    """One motion and what was felt: x, z, pitch `[t + 1]` in the surface's frame, m and rad."""

    touched: Touched
    x: Float[Tensor, " s"]
    z: Float[Tensor, " s"]
    pitch: Float[Tensor, " s"]
    first: int

    @property
    def normal(self) -> Float[Tensor, " k"]:
        """N of all increments that count: those after the approach."""
        return self.touched.normal[self.first :]


@final
class Following(nn.Module):
    """`() -> Followed`: the motion's unknowns as parameters.

    Args:
        touch: sensor and surface.
        height: of the sensor's pole, m, against the surface's own frame; larger presses more.
        pitch: rad.
        start, end: x of the pole, m.
        increments: of the way, ≥ 2.
        clear: way of the approach before, m, > 0.
        approach: its increments, ≥ 1.
    """

    def __init__(
        self,
        touch: Touch,
        height: Curve,
        pitch: Curve,
        start: float,
        end: float,
        increments: int,
        clear: float = 2e-3,
        approach: int = 2,
    ) -> None:
        super().__init__()
        if increments < 2 or approach < 1 or not clear > 0:
            raise UserError(
                "follow: expected increments >= 2, approach >= 1 and clear > 0 m, got "
                f"{increments!r}, {approach!r} and {clear!r}"
            )
        self.touch, self.height, self.pitch = touch, height, pitch
        self.increments, self.clear, self.approach = increments, clear, approach
        self.x = torch.linspace(start, end, increments + 1, dtype=torch.float64)
        height(increments), pitch(increments)

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self.height, self.pitch

    def forward(self) -> Followed:
        return self.perform(self.touch)

    def perform(self, touch: Touch) -> Followed:
        """The same motion with another sensor."""
        n = self.increments
        x, z, pitch = approached(self.x, self.height(n), self.pitch(n), self.clear, self.approach)
        touched = touch(seen(x, z, pitch, touch.pole))
        return Followed(touched, x, z, pitch, self.approach - 1)


@final
class Force(nn.Module):
    """The objective.

    Args:
        target: N*, N, > 0.
        tolerance: ΔN, N.
        centre: Δc, m.
        height, pitch: Δz, m, and Δφ, rad, of second differences.
    """

    terms = ("force", "centre", "smooth")

    def __init__(
        self, target: float, tolerance: float, centre: float, height: float, pitch: float
    ) -> None:
        super().__init__()
        units = {"target": target, "tolerance": tolerance, "centre": centre}
        units |= {"height": height, "pitch": pitch}
        for name, value in units.items():
            if not value > 0:
                raise UserError(f"follow: expected {name} > 0, got {value!r}")
        self.target, self.units = target, units

    def forward(self, model: Following, batch: Goal) -> LossTerms:
        found, units = model(), self.units
        off = (found.normal - self.target) / units["tolerance"]
        centre = found.touched.centre[found.first :, 0] / units["centre"]
        z, pitch = found.z[found.first + 1 :], found.pitch[found.first + 1 :]
        smooth = roughness(z, units["height"]).square().mean()
        smooth = smooth + roughness(pitch, units["pitch"]).square().mean()
        return {"force": off.square().mean(), "centre": centre.square().mean(), "smooth": smooth}


@final
class ForceError:
    """`contracts.Metric`: force_rms, N; force_rms_percent, force_max_percent of the target; the
    largest distance of the centre of pressure from the pole, m; the same on the finer mesh.

    Args:
        target: N*, N.
        finer: the same scene to check on; None leaves that out.
    """

    def __init__(self, target: float, finer: Touch | None = None) -> None:
        self.target, self.finer = target, finer

    def statistics(self, model: Following, batch: Goal) -> dict[str, tuple[Tensor, Tensor]]:
        found = self._of(model(), "")
        if self.finer is not None:
            found |= self._of(model.perform(self.finer), "finer_")
        return found

    def _of(self, found: Followed, prefix: str) -> dict[str, tuple[Tensor, Tensor]]:
        off, one = found.normal - self.target, torch.ones((), dtype=torch.float64)
        return {
            f"{prefix}squared": (off.square().sum(), one * len(off)),
            f"{prefix}most": (off.abs().max(), one),
            f"{prefix}centre": (found.touched.centre[found.first :, 0].abs().max(), one),
        }

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        found = {}
        for prefix in ("", "finer_"):
            if f"{prefix}squared" not in means:
                continue
            rms = means[f"{prefix}squared"] ** 0.5
            found[f"{prefix}force_rms"] = rms
            found[f"{prefix}force_rms_percent"] = 100 * rms / self.target
            found[f"{prefix}force_max_percent"] = 100 * means[f"{prefix}most"] / self.target
            found[f"{prefix}centre_max_mm"] = 1e3 * means[f"{prefix}centre"]
        return found


@final
@dataclass(frozen=True)
class Wavy:
    """A solid above z = h(x) = a cos(2π x/λ), of any extent; d = (h - z)/√(1 + h'²).

    d is the distance to first order in it, and exactly 0 on the surface; n is the slope of d.

    Args:
        amplitude, wavelength: a and λ, m, > 0.
    """

    amplitude: float
    wavelength: float

    def __post_init__(self) -> None:
        for name in ("amplitude", "wavelength"):
            if not getattr(self, name) > 0:
                raise UserError(f"wavy surface: expected {name} > 0 m, got {getattr(self, name)!r}")

    def distance(self, y: Float[Tensor, "q 3"]) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        k = 2 * math.pi / self.wavelength
        h = self.amplitude * (k * y[:, 0]).cos()
        slope, bend = -self.amplitude * k * (k * y[:, 0]).sin(), -(k**2) * h
        g = (1 + slope * slope).rsqrt()
        d = (h - y[:, 2]) * g
        across = slope * g * (1 - d * bend * g)
        return d, torch.stack([across, torch.zeros_like(g), -g], 1)

"""What a loss of fields measures by: areas of cells, a unit of error per channel, what each counts.

    L(f, t) = 1/(B K) Σ_b Σ_k λ_k Σ_c ω_c ℓ_c(f_bkc, t_bkc),     Σ_c ω_c = 1,   mean λ_k = 1

ℓ_c is a loss of one field, in units of σ_c: for forecasts the standard deviation of the increment
of one step, so that the forecast "nothing changes" has a mean square of about 1 in every channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError


@runtime_checkable
class Grid(Protocol):
    """Points on the sphere: `shape`, and the share `area` of that shape, which sums to 1."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def area(self) -> np.ndarray: ...


@final
@dataclass(frozen=True, eq=False)
class Measure:
    """Units and weights of the errors of a state with C channels.

    Args:
        grid: where the fields live; its areas weigh the points.
        scale: `[C]` σ_c > 0 in the units of the channels, an error that counts as 1.
        weight: `[C]` what the channels count, relative; all alike where None.
        lead: `[K]` what the lead times count, relative; all alike where None.
        mean: `[C]` means of the channels, taken off before a transform, where they would drown the
            small scales in rounding; 0 where None.
        std: `[C]` standard deviations of the channels; only `Wind` asks.
        gradient: `[C]` root mean square of one component of the gradient of the increments, per
            radian (`gradient.deviation`); only gradients ask.
        pairs: channels (u, v) that are the components of one vector; only `Wind` asks.

    Raises:
        UserError: lists of different lengths, a scale or weight that is not positive and finite.
    """

    grid: Any
    scale: Any
    weight: Any = None
    lead: Any = None
    mean: Any = None
    std: Any = None
    gradient: Any = None
    pairs: Sequence[tuple[int, int]] = field(default=())

    def __post_init__(self) -> None:
        channels = len(self.scale)
        for name, default in (("scale", None), ("weight", 1.0), ("mean", 0.0)):
            given = getattr(self, name)
            value = [default] * channels if given is None else given
            object.__setattr__(self, name, _vector(name, value, channels))
        for name in ("std", "gradient"):
            given = getattr(self, name)
            value = None if given is None else _vector(name, given, channels)
            object.__setattr__(self, name, value)
        if self.lead is not None:
            object.__setattr__(self, "lead", _vector("lead", self.lead, len(self.lead)))
        object.__setattr__(self, "pairs", tuple((int(u), int(v)) for u, v in self.pairs))
        for name in ("scale", "weight", "lead", "gradient"):
            _refuse_signs(name, getattr(self, name), name in ("scale", "gradient"))

    @classmethod
    def of(
        cls, grid: Grid, channels: Any, statistics: Any, pressure: bool = True, **others: Any
    ) -> "Measure":
        """The measure of a forecast's channels.

        Args:
            grid: where the fields live.
            channels: `globe.channels.Channels`.
            statistics: `globe.statistics.Statistics` of these channels; an error of the size of the
                increments counts as 1.
            pressure: weigh levels by pressure.
            others: `weight` in place of that, `lead`, `gradient`.
        """
        weight = pressure_weights([channel.level for channel in channels]) if pressure else None
        return cls(
            grid,
            scale=statistics.increment_std,
            mean=statistics.mean,
            std=statistics.std,
            pairs=channels.pairs(),
            **{"weight": weight, **others},
        )

    @property
    def area(self) -> Tensor:
        """`[*grid]`, sums to 1."""
        return torch.as_tensor(self.grid.area, dtype=torch.float64)

    @property
    def amplitude(self) -> Tensor:
        """`[C]` root mean square of the channels themselves.

        Raises:
            UserError: standard deviations are not known.
        """
        if self.std is None:
            raise UserError("measure: expected std of the channels, got none; give std=")
        return (self.mean.square() + self.std.square()).sqrt()


@final
class Mean(nn.Module):
    """Σ_c ω_c, mean over batch and weighted mean over lead: `[B, K, C]` → scalar."""

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        lead = torch.ones(0) if measure.lead is None else measure.lead
        self.register_buffer("weight", held(measure.weight / measure.weight.sum()))
        self.register_buffer("lead", held(lead))

    def forward(self, losses: Float[Tensor, "b k c"]) -> Float[Tensor, ""]:
        if losses.shape[-1] != len(self.weight):
            raise UserError(
                f"losses: expected {len(self.weight)} channels, got {losses.shape[-1]}; "
                "give the loss the statistics of the state's own channels"
            )
        by_lead = (losses @ self.weight).mean(0)
        if not len(self.lead):
            return by_lead.mean()
        if len(by_lead) > len(self.lead):
            raise UserError(
                f"losses: there are weights of {len(self.lead)} lead times, got {len(by_lead)}; "
                "give more of them as lead="
            )
        lead = self.lead[: len(by_lead)]
        return by_lead @ lead / lead.sum()


def held(values: Tensor) -> Tensor:
    """As a buffer holds them: in the default precision."""
    return values.to(torch.get_default_dtype())


def pressure_weights(levels: Sequence[float | int | None]) -> np.ndarray:
    """`[C]` proportional to pressure, with mean 1; what has no level counts as 1000 hPa does.

    Args:
        levels: hPa by channel, None at the surface.
    """
    pressure = np.array([1000.0 if level is None else float(level) for level in levels])
    return pressure / pressure.mean()


def _vector(name: str, values: Any, length: int) -> Tensor:
    vector = torch.as_tensor(values, dtype=torch.float64).flatten()
    if len(vector) != length:
        raise UserError(
            f"measure: expected {length} values of {name}, one per channel, got {len(vector)}"
        )
    return vector


def _refuse_signs(name: str, values: Tensor | None, strictly: bool) -> None:
    if values is None:
        return
    sound = torch.isfinite(values) & ((values > 0) if strictly else (values >= 0))
    if not sound.all() or values.sum() <= 0:
        at = int((~sound).int().argmax())
        raise UserError(
            f"measure: expected {name} {'> 0' if strictly else '>= 0 and not all 0'}, got "
            f"{float(values[at]):g} for channel {at}; leave out a channel that never changes"
        )

"""What the filter network sees of a state: anomalies, vorticity, divergence, what the air brings.

Every input is divided by a unit of its own. Units start from the channels' statistics and, once a
batch is at hand, are the root mean squares over it; they are in the checkpoint.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.weather.advection import Advection
from sciml.weather.frames import Grid
from sciml.weather.scaling import Statistics, by_channel

#: Total wavenumber that turns wind into vorticity, and the share of divergence in it, until the
#: first batch has been measured.
WAVENUMBER, DIVERGENT = 10.0, 0.1


@final
class Inputs(nn.Module):
    """State → input channels of order one.

    Args:
        grid, channels, statistics: of the state.
        harmonics: of the grid; None leaves out vorticity and divergence.
        time_step: seconds along the trajectories; None leaves out what the air carries.
        radius: metres.
    """

    def __init__(
        self,
        grid: Grid,
        channels: Any,
        statistics: Statistics,
        harmonics: Harmonics | None,
        time_step: float | None,
        radius: float,
    ) -> None:
        super().__init__()
        names, self.pairs = tuple(channels.names), [tuple(p) for p in channels.pairs()]
        self.harmonics = harmonics if self.pairs else None
        carried = time_step is not None and bool(self.pairs)
        self.advection = Advection(grid, time_step, radius) if carried else None
        self.carriers = carriers(channels, self.pairs)
        mean = torch.from_numpy(np.array(statistics.climatology, dtype=np.float32))
        self.register_buffer("climatology", mean.expand(len(names), *grid.shape).clone())
        std, step = (np.asarray(getattr(statistics, n), float) for n in ("std", "increment_std"))
        earth = radius if harmonics is None else harmonics.radius
        spin = [std[u] * WAVENUMBER / earth for u, _ in self.pairs]
        wind = [names[u] for u, _ in self.pairs]
        units = dict(zip(names, std, strict=True))
        if self.harmonics is not None:
            units |= {f"vorticity of {n}": s for n, s in zip(wind, spin, strict=True)}
            units |= {f"divergence of {n}": s * DIVERGENT for n, s in zip(wind, spin, strict=True)}
        if self.advection is not None:
            for pair, scalars in enumerate(self.carriers):
                taken = [*scalars, *self.pairs[pair]]
                units |= {f"carried {names[c]}": step[c] for c in taken}
                if self.harmonics is not None:
                    units[f"carried vorticity of {wind[pair]}"] = spin[pair] / 2
        self.names = tuple(units)
        self.register_buffer("units", torch.tensor(list(units.values()), dtype=torch.float32))
        self.register_buffer("measured", torch.tensor(False))

    def forward(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b i *grid"]:
        x = self.raw(state)
        return x / by_channel(self.units, x)

    def raw(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b i *grid"]:
        """All inputs in physical units, in the order of `names`."""
        parts, vorticity = [state - self.climatology], None
        if self.harmonics is not None:
            u, v = (state[:, [p[i] for p in self.pairs]] for i in (0, 1))
            both = self.harmonics.vorticity_divergence(u, v)
            vorticity, divergence = (self.harmonics.synthesis(alpha) for alpha in both)
            parts += [vorticity, divergence]
        if self.advection is not None:
            parts += [self._brought(state, pair, vorticity) for pair in range(len(self.pairs))]
        return torch.cat(parts, 1)

    def _brought(self, state: Tensor, pair: int, vorticity: Tensor | None) -> Tensor:
        """Carried minus own, of all channels that the wind of one pair carries."""
        u, v = (state[:, c] for c in self.pairs[pair])
        fields = state[:, self.carriers[pair]]
        if vorticity is not None:
            fields = torch.cat([fields, vorticity[:, pair : pair + 1]], 1)
        carried, east, north = self.advection(fields, u, v)
        change, wind = carried - fields, torch.stack([east - u, north - v], 1)
        scalars = len(self.carriers[pair])
        return torch.cat([change[:, :scalars], wind, change[:, scalars:]], 1)

    def measure(
        self, parts: Sequence[tuple[Tensor, float]], average: Callable[[Tensor], Tensor]
    ) -> None:
        """Set the units to the root mean squares over some states, unless they are measured.

        Args:
            parts: states `[b, c, *grid]`, each with what its mean counts for in the mean over
                parts and ranks.
            average: mean over ranks.
        """
        if self.measured:
            return
        with torch.no_grad():
            raw = [(self.raw(state), counts) for state, counts in parts]
            squares = [n * x.square().mean([0, *range(2, x.ndim)]) for x, n in raw]
            square = average(torch.stack(squares).mean(0))
            self.units.copy_(torch.where(square > 0, square.sqrt(), self.units))
            self.measured.fill_(True)


def carriers(channels: Any, pairs: list[tuple[int, int]]) -> list[list[int]]:
    """For each wind pair the scalar channels it carries: those of its level; those without a level
    go with the wind nearest the ground.

    A level with no wind of its own is carried by none.
    """
    winds = {c for pair in pairs for c in pair}
    all_ = list(channels)
    levels = [getattr(all_[u], "level", None) for u, _ in pairs]
    lowest = max(range(len(pairs)), key=lambda p: levels[p] or 0, default=None)
    carried: list[list[int]] = [[] for _ in pairs]
    for c, channel in enumerate(all_):
        level = getattr(channel, "level", None)
        pair = levels.index(level) if level in levels else (lowest if level is None else None)
        if c not in winds and pair is not None:
            carried[pair].append(c)
    return carried

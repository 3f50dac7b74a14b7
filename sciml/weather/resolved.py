"""What a forecast must not do whatever the network says: make mass, or waves the grid has not.

The global mean of the change of a conserved channel is taken out. A state is cut to the resolved
triangular space, scalars by their coefficients, winds by those of vorticity and divergence: waves
near the grid's limit would alias, and a rollout feeds them back.

    α' = α(s) + (1 + g_l) α(Δs)

g is learned, one number for each quantity and degree, and starts at zero. What a network on a mesh
adds to a state has errors of all scales alike, while true changes are much smaller at short ones,
and smaller in divergence than in vorticity: 1 + g is the gain of a Wiener filter.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics

#: Gains have further to go than weights in steps of the learning rate's size.
PACE = 3.0


@final
class ConservedMean(nn.Module):
    """The change of a state without its global mean, for the channels that have a fixed one.

    Args:
        area: `[*grid]` share of each cell; sums to 1.
        channels: positions of the conserved channels.
        total: number of channels.
    """

    def __init__(self, area: np.ndarray, channels: Sequence[int], total: int) -> None:
        super().__init__()
        share = torch.from_numpy(np.asarray(area)).float()
        fixed = torch.zeros(total)
        fixed[list(channels)] = 1
        self.register_buffer("share", share.reshape(-1), persistent=False)
        self.register_buffer("fixed", fixed.view(-1, *[1] * share.ndim), persistent=False)

    def forward(self, change: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        mean = change.flatten(2) @ self.share
        return change - self.fixed * mean.view(*mean.shape, *[1] * (change.ndim - 2))


@final
class Resolved(nn.Module):
    """A state after a change, cut to the space of `harmonics`.

    Args:
        pairs: positions of the (u, v) pairs; every other channel is a scalar.
        total: number of channels.
        gains: whether g is learned; zero where not.
    """

    def __init__(
        self,
        harmonics: Harmonics,
        pairs: Sequence[tuple[int, int]],
        total: int,
        gains: bool = True,
    ) -> None:
        super().__init__()
        self.harmonics, self.pairs = harmonics, len(pairs)
        u, v = [p[0] for p in pairs], [p[1] for p in pairs]
        scalars = [c for c in range(total) if c not in {*u, *v}]
        parts = {"scalars": scalars, "u": u, "v": v, "order": np.argsort([*scalars, *u, *v])}
        for name, index in parts.items():
            held = torch.as_tensor(np.array(index), dtype=torch.int64)
            self.register_buffer(f"_{name}", held, persistent=False)
        self.gains = nn.Parameter(torch.zeros(total, harmonics.truncation + 1)) if gains else None

    def forward(
        self, state: Float[Tensor, "b c *grid"], change: Float[Tensor, "b c *grid"]
    ) -> Float[Tensor, "b c *grid"]:
        if self.gains is None:
            return self.synthesis(self.analysis(state + change))
        gain = 1 + PACE * self.gains[..., None, None]
        return self.synthesis(self.analysis(state) + gain * self.analysis(change))

    def analysis(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c l m 2"]:
        """Coefficients of the scalars, the vorticities and the divergences, in this order."""
        parts = []
        if len(self._scalars):
            parts.append(self.harmonics.analysis(state.index_select(1, self._scalars)))
        if self.pairs:
            u, v = state.index_select(1, self._u), state.index_select(1, self._v)
            parts += self.harmonics.vorticity_divergence(u, v)
        return torch.cat(parts, 1)

    def synthesis(self, alpha: Float[Tensor, "b c l m 2"]) -> Float[Tensor, "b c *grid"]:
        """The way back, channels in the state's order."""
        scalars, vorticity, divergence = alpha.split(
            [len(self._scalars), self.pairs, self.pairs], 1
        )
        parts = []
        if len(self._scalars):
            parts.append(self.harmonics.synthesis(scalars))
        if self.pairs:
            parts += self.harmonics.wind(vorticity, divergence)
        return torch.cat(parts, 1).index_select(1, self._order)

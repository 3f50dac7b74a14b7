"""What a forecast must not do whatever the network says: make mass, or waves the grid has not.

The global mean of the change of a conserved channel is taken out. A state is cut to the resolved
triangular space, scalars by their coefficients, winds by those of vorticity and divergence: waves
near the grid's limit would alias, and a rollout feeds them back.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics


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
    """A state cut to the space of `harmonics`.

    Args:
        pairs: positions of the (u, v) pairs; every other channel is a scalar.
        total: number of channels.
    """

    def __init__(self, harmonics: Harmonics, pairs: Sequence[tuple[int, int]], total: int) -> None:
        super().__init__()
        self.harmonics = harmonics
        u, v = [p[0] for p in pairs], [p[1] for p in pairs]
        scalars = [c for c in range(total) if c not in {*u, *v}]
        parts = {"scalars": scalars, "u": u, "v": v, "order": np.argsort([*scalars, *u, *v])}
        for name, index in parts.items():
            held = torch.as_tensor(np.array(index), dtype=torch.int64)
            self.register_buffer(f"_{name}", held, persistent=False)

    def winds(self, state: Float[Tensor, "b c *grid"]) -> tuple[Tensor, Tensor]:
        """(u, v) of all pairs, each `[b, pair, *grid]`."""
        return state.index_select(1, self._u), state.index_select(1, self._v)

    def forward(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        parts = []
        if len(self._scalars):
            parts.append(self.harmonics.project(state.index_select(1, self._scalars)))
        if len(self._u):
            parts += self.harmonics.wind(*self.harmonics.vorticity_divergence(*self.winds(state)))
        return torch.cat(parts, 1).index_select(1, self._order)

"""Physical units outside, numbers of order one inside; the statistics are in the checkpoint.

A state is `[batch, channel, *grid]` outside and `[cell, batch, channel]` inside.
"""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError


@runtime_checkable
class Statistics(Protocol):
    """What a network is told about its channels (`globe.statistics.Statistics`).

    `mean`, `std` and `increment_std` are `[C]`, the last of the change over a time step;
    `climatology` is the time mean `[C, *grid]`.
    """

    names: Sequence[str]
    mean: object
    std: object
    increment_std: object
    climatology: object


@final
class Scaling(nn.Module):
    """(s - mean)/std by channel.

    Raises:
        UserError: a standard deviation that is not positive, or a number too many.
    """

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self.names = tuple(statistics.names)
        for name in ("mean", "std", "increment_std"):
            value = torch.from_numpy(np.array(getattr(statistics, name), dtype=np.float32))
            if value.shape != (len(self.names),):
                raise UserError(
                    f"statistics: expected {len(self.names)} numbers for {name}, one a channel, "
                    f"got {list(value.shape)}; take them from this channel list"
                )
            if name != "mean":
                self._require_positive(name, value)
            self.register_buffer(name, value.clone())

    def _require_positive(self, name: str, value: Tensor) -> None:
        bad = [n for n, x in zip(self.names, value.tolist(), strict=True) if not 0 < x < 1e30]
        if bad:
            raise UserError(
                f"statistics: expected {name} > 0 of every channel, got none of {bad[0]!r}; "
                "leave out channels that never change, or give them as forcing"
            )

    def normalised(self, state: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        """Mean 0, st.dev. 1 over the training period."""
        return (state - by_channel(self.mean, state)) / by_channel(self.std, state)


def by_channel(values: Float[Tensor, " c"], like: Float[Tensor, "b c *grid"]) -> Tensor:
    """`[c, 1, …]`, to multiply a state with."""
    return values.view(-1, *[1] * (like.ndim - 2))


def cells_first(x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "n b c"]:
    """The cells of the grid as first axis."""
    return x.flatten(2).permute(2, 0, 1).contiguous()


def grid_last(x: Float[Tensor, "n b c"], grid: Sequence[int]) -> Float[Tensor, "b c *grid"]:
    """Back on the grid."""
    return x.permute(1, 2, 0).unflatten(2, tuple(grid))

"""What a step of training sees: states that follow one another, with what forces them."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Window:
    """Samples of successive states.

    Args:
        state: `[B, T, C, *grid]` in physical units; number 0 is what a forecast starts from.
        forcing: `[B, T, F, *grid]` valid at the same times; None where there is none.
        time: `[B, T]` int64 seconds since 1970-01-01.
        seeds: of what is random in each sample, in training: a sample's own, whatever is computed
            beside it; None leaves it to the default generator.
        counts: what terms of these samples count for in their mean over ranks: ranks × B / size of
            the whole batch.
    """

    state: Float[Tensor, "batch time channel *grid"]
    forcing: Float[Tensor, "batch time forcing *grid"] | None
    time: Int64[Tensor, "batch time"]
    seeds: tuple[int, ...] | None = None
    counts: float = 1.0

    def __len__(self) -> int:
        return len(self.state)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Window":
        """Fields on a device in a precision; times stay whole seconds."""
        forcing = None if self.forcing is None else self.forcing.to(device, dtype)
        return replace(
            self, state=self.state.to(device, dtype), forcing=forcing, time=self.time.to(device)
        )

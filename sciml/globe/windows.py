"""What a step of training sees: states that follow one another, with what forces them."""

from dataclasses import dataclass
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
    """

    state: Float[Tensor, "batch time channel *grid"]
    forcing: Float[Tensor, "batch time forcing *grid"] | None
    time: Int64[Tensor, "batch time"]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Window":
        """Fields on a device in a precision; times stay whole seconds."""
        forcing = None if self.forcing is None else self.forcing.to(device, dtype)
        return Window(self.state.to(device, dtype), forcing, self.time.to(device))

"""What is known of the future because it is on record: radiation, sea ice, a boundary's values.

Fields of an archive as the forcing of a model (`data.Forcing`).
"""

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.contracts import UserError
from sciml.globe.archive import Archive
from sciml.globe.archive import times as clock
from sciml.globe.staging import stage
from sciml.globe.statistics import moments


@final
class Recorded:
    """`(time [B, T], grid) -> [B, T, F, *grid]`, by channel (x - mean)/std over the whole record.

    Points without values are 0, which is the mean.

    Args:
        archive: of the forcings, at all times that are asked for.
        staged, memory: see `staging.stage`.

    Raises:
        UserError: a field that never changes.
    """

    def __init__(
        self, archive: Archive, staged: str | Path | None = None, memory: bool = False
    ) -> None:
        self.states = stage(archive, staged, memory)
        self.names: tuple[str, ...] = archive.channels.names
        found = moments(self.states, [(0, len(self.states))])
        still = [name for name, std in zip(self.names, found.std, strict=True) if not std > 0]
        if still:
            raise UserError(
                f"forcing: expected fields that vary, got {still[0]!r} that does not; leave it out"
            )
        self._mean, self._std = (
            torch.from_numpy(x).float().view(-1, *[1] * len(archive.grid.shape))
            for x in (found.mean, found.std)
        )

    def __call__(
        self, time: Int[Tensor, "batch step"], grid: Any
    ) -> Float[Tensor, "batch step forcing *grid"]:
        """Raises UserError at a time that is not on record, or on another grid."""
        if tuple(grid.shape) != tuple(self.states.grid.shape):
            raise UserError(
                f"forcing: expected fields on the grid {list(grid.shape)} of the states, got "
                f"{list(self.states.grid.shape)}; regrid them"
            )
        wanted, held = time.numpy().ravel(), self.states.times
        found = np.searchsorted(held, wanted).clip(max=len(held) - 1)
        absent = wanted[held[found] != wanted]
        if len(absent):
            raise UserError(
                f"forcing: expected records of {', '.join(self.names)} at "
                f"{clock.iso(absent[0])}, got {clock.iso(held[0])} … {clock.iso(held[-1])}"
            )
        fields = torch.from_numpy(self.states.fields[found])
        scaled = (fields - self._mean) / self._std
        return scaled.nan_to_num().view(*time.shape, *scaled.shape[1:])

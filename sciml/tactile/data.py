"""What a recording gives to a fit: one batch, the same at every step, with its noise."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.tactile.sensor import Recording

#: What a recording has.
COMPARED = ("markers", "force")


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """Markers `[t, k, 2]`, pixels, and forces `[t, 3]`, N, with the standard deviations of each.

    `compared` says which of the two a fit looks at.
    """

    markers: Float[Tensor, "t k 2"]
    force: Float[Tensor, "t 3"]
    marker_noise: float
    force_noise: float
    compared: tuple[str, ...] = COMPARED

    def to(self, device: torch.device, dtype: torch.dtype) -> "Seen":
        """Itself: mechanics is in float64 on the CPU."""
        return self


@final
class Presses:
    """Endless batches of one recording, split by time into what is fitted and what is held out.

    Args:
        recording: with markers.
        noise: standard deviation as a share of the largest flow and the largest force.
        seed: of noise that is added (`add`), for recordings that a simulation made.
        add: whether to add the noise to the recording, which has none of its own.
        compared: "markers", "force", or both.

    Raises:
        UserError: a recording without markers, or one that has lost some; nothing compared.
    """

    def __init__(
        self,
        recording: Recording,
        noise: float = 0.01,
        seed: int = 0,
        add: bool = False,
        compared: Sequence[str] = COMPARED,
    ) -> None:
        if not compared or set(compared) - set(COMPARED):
            raise UserError(f"compared: expected some of {COMPARED}, got {list(compared)!r}")
        if not noise > 0:
            raise UserError(f"noise: expected a share > 0 of the largest value, got {noise!r}")
        flow = recording.flow()
        assert recording.markers is not None
        if not np.isfinite(flow).all():
            lost = int((~np.isfinite(flow)).any((0, 2)).sum())
            raise UserError(
                f"recording: expected markers that are seen at all times, got {lost} lost ones; "
                "leave them out"
            )
        marker_noise, force_noise = (
            noise * float(np.abs(x).max()) for x in (flow, recording.force)
        )
        markers, force = recording.markers.copy(), recording.force.copy()
        if add:
            rng = np.random.default_rng(seed)
            markers += marker_noise * rng.normal(size=markers.shape)
            force += force_noise * rng.normal(size=force.shape)
        self.seen = Seen(
            torch.from_numpy(markers),
            torch.from_numpy(force),
            marker_noise,
            force_noise,
            tuple(compared),
        )

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterator[Seen]:
        """The press again and again.

        Raises:
            UserError: more ranks than the one press.
        """
        require_one(ranks)
        return itertools.repeat(self.seen)

    def val_dataloader(self) -> Iterator[Seen]:
        yield self.seen

    def refresh(self, model: nn.Module, objective: Any, step: int) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""


def require_one(ranks: int) -> None:
    """Refuses more ranks than presses, of which there is one."""
    if ranks > 1:
        raise UserError(
            f"presses: expected one for each of {ranks} ranks, got 1; set trainer.devices=1"
        )

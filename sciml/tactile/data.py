"""What recordings give to a fit: all presses at every step, shared by the ranks, with noise."""

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


@final
@dataclass(frozen=True, eq=False)
class Share:
    """Some of all presses.

    Args:
        presses: number of the scene and what was seen of it.
        total: of the presses of all ranks together.
        ranks: that share them.
    """

    presses: tuple[tuple[int, Seen], ...]
    total: int = 1
    ranks: int = 1

    @property
    def counts(self) -> float:
        """What the terms of these count for in the mean over ranks."""
        return self.ranks * len(self) / self.total

    def __len__(self) -> int:
        return len(self.presses)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Share":
        """Itself: mechanics is in float64 on the CPU."""
        return self


@final
class Presses:
    """Endless batches of the same presses; each rank simulates its share of them.

    Args:
        recordings: with markers, one of each press.
        noise: standard deviation as a share of the largest flow and the largest force.
        seed: of noise that is added (`add`), for recordings that a simulation made.
        add: whether to add the noise to the recordings, which have none of their own.
        compared: "markers", "force", or both.

    Raises:
        UserError: a recording without markers, or one that has lost some; nothing compared.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        noise: float = 0.01,
        seed: int = 0,
        add: bool = False,
        compared: Sequence[str] = COMPARED,
    ) -> None:
        if not compared or set(compared) - set(COMPARED):
            raise UserError(f"compared: expected some of {COMPARED}, got {list(compared)!r}")
        if not noise > 0:
            raise UserError(f"noise: expected a share > 0 of the largest value, got {noise!r}")
        self.compared = tuple(compared)
        seeds = [seed, *([seed, number] for number in range(1, len(recordings)))]
        self.seen = tuple(
            _seen(one, noise, np.random.default_rng(its) if add else None, self.compared)
            for one, its in zip(recordings, seeds, strict=True)
        )

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterator[Share]:
        """The share of `rank` of all presses, again and again.

        Raises:
            UserError: more ranks than presses.
        """
        n = len(self.seen)
        require_shares(n, ranks)
        own = range(rank * n // ranks, (rank + 1) * n // ranks)
        return itertools.repeat(Share(tuple((k, self.seen[k]) for k in own), n, ranks))

    def val_dataloader(self) -> Iterator[Share]:
        """Every press alone."""
        return (Share(((number, seen),)) for number, seen in enumerate(self.seen))

    def refresh(self, model: nn.Module, objective: Any, step: int) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""


def require_shares(presses: int, ranks: int) -> None:
    """Refuses more ranks than presses."""
    if presses < ranks:
        raise UserError(
            f"presses: expected one for each of {ranks} ranks, got {presses}; set "
            f"trainer.devices={presses}, or add presses (more)"
        )


def _seen(
    recording: Recording,
    noise: float,
    rng: np.random.Generator | None,
    compared: tuple[str, ...],
) -> Seen:
    flow = recording.flow()
    assert recording.markers is not None
    if not np.isfinite(flow).all():
        lost = int((~np.isfinite(flow)).any((0, 2)).sum())
        raise UserError(
            f"recording: expected markers that are seen at all times, got {lost} lost ones; "
            "leave them out"
        )
    marker_noise, force_noise = (noise * float(np.abs(x).max()) for x in (flow, recording.force))
    markers, force = recording.markers.copy(), recording.force.copy()
    if rng is not None:
        markers += marker_noise * rng.normal(size=markers.shape)
        force += force_noise * rng.normal(size=force.shape)
    given = torch.from_numpy(markers), torch.from_numpy(force)
    return Seen(*given, marker_noise, force_noise, compared)

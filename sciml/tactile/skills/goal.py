"""The data of a skill: there are none. One batch that says nothing, the same at every step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn


@final
@dataclass(frozen=True)
class Goal:
    """What is wanted is in the objective."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "Goal":
        """Itself."""
        return self


@final
class Goals:
    """`contracts.Data` without data."""

    def train_dataloader(self, start: int, rank: int, ranks: int) -> Iterator[Goal]:
        while True:
            yield Goal()

    def val_dataloader(self) -> Iterator[Goal]:
        yield Goal()

    def refresh(self, model: nn.Module, objective: Any, step: int) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""

"""Exact means: sums and weights that add over batches and ranks, divided once at the end."""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor


@final
class Means:
    """Running (sum, weight) by name; the mean is exact under any batch size and rank count."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}

    def add(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Add one batch's `{name: (sum, weight)}`, accumulated in float64."""
        for name, (total, weight) in statistics.items():
            pair = torch.stack([total.detach().double(), weight.detach().double().to(total.device)])
            self.totals[name] = self.totals[name] + pair if name in self.totals else pair

    def value(
        self,
        add_over_ranks: Callable[[Tensor], Tensor],
        names_of_ranks: Callable[[list[str]], list[str]] = lambda names: names,
    ) -> dict[str, float]:
        """The means, after sums and weights were added over ranks; sorted by name on every rank.

        Args:
            names_of_ranks: the names of this rank → those of all: some may have seen no batch.
        """
        names = sorted(set(names_of_ranks(list(self.totals))))
        if not names:
            return {}
        device = next((total.device for total in self.totals.values()), torch.device("cpu"))
        none = torch.zeros(2, dtype=torch.float64, device=device)
        pairs = add_over_ranks(
            torch.stack([self.totals.get(name, none).to(device) for name in names])
        )
        return dict(zip(names, (pairs[:, 0] / pairs[:, 1]).tolist(), strict=True))

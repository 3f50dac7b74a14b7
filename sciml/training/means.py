"""Exact means: sums and weights that add over batches and ranks, divided once at the end."""

from collections.abc import Callable, Mapping

from torch import Tensor


class Means:
    """Running (sum, weight) pairs by name; the mean is exact under any batch size and rank count."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def add(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Add one batch's `{name: (sum, weight)}`, accumulated in float64."""
        for name, (total, weight) in statistics.items():
            total, weight = total.detach().double(), weight.detach().double()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
            self.weights[name] = self.weights[name] + weight if name in self.weights else weight

    def value(self, add_over_ranks: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means, after sums and weights were added over ranks; sorted by name on every rank."""
        return {
            name: float(add_over_ranks(self.sums[name]) / add_over_ranks(self.weights[name]))
            for name in sorted(self.sums)
        }

"""Sums and weights by name, which add over batches and ranks, and what is made of their means."""

from collections.abc import Mapping, Sequence

from torch import Tensor

#: name → (sum, weight).
Statistics = dict[str, tuple[Tensor, Tensor]]


def by_channel(scores: Mapping[str, Tensor], names: Sequence[str]) -> Statistics:
    """`{"error": [B, C]}` as `{"error/z500": (sum over B, B), …}`."""
    found: Statistics = {}
    for kind, score in scores.items():
        weight = score.new_tensor(float(len(score)))
        sums = score.double().sum(0).unbind()
        found |= {
            f"{kind}/{name}": (total, weight) for name, total in zip(names, sums, strict=True)
        }
    return found


def named(means: Mapping[str, float], kind: str) -> dict[str, float]:
    """`{"error/z500": …}` as `{"z500": …}`, for one kind of statistic."""
    prefix = f"{kind}/"
    return {k.removeprefix(prefix): mean for k, mean in means.items() if k.startswith(prefix)}


def divided(
    kind: str, above: Mapping[str, float], below: Mapping[str, float], power: float = 0.5
) -> dict[str, float]:
    """(above / below)^power by name, without those where there is nothing to divide by."""
    return {
        f"{kind}/{name}": (above[name] / mean) ** power
        for name, mean in below.items()
        if name in above and mean > 0
    }

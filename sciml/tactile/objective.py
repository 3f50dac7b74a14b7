"""How far a simulation is from what was recorded, in units of the noise.

    markers = mean ((pixels - recorded)/σ_m)²        force = mean ((force - recorded)/σ_f)²
    variation_E = V(E)                               of a field E, see `variation`

The first two are 1 where nothing but the noise is left. Of several presses they are the means.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from sciml.contracts import LossTerms
from sciml.tactile.data import COMPARED, Seen, Share
from sciml.tactile.model import Simulation
from sciml.tactile.scene import Observed
from sciml.tactile.variation import TotalVariation


@final
class Misfit(nn.Module):
    """Loss terms of identification; the same as residuals for Gauss-Newton methods.

    Args:
        variations: unknown field → rows whose mean square is how much it varies.
        compared: "markers", "force", or both.
    """

    def __init__(
        self,
        variations: Mapping[str, TotalVariation] | None = None,
        compared: tuple[str, ...] = COMPARED,
    ) -> None:
        super().__init__()
        self.variations, self.compared = dict(variations or {}), compared
        self.terms = (*compared, *(f"variation_{name}" for name in self.variations))

    def forward(self, model: Simulation, batch: Share) -> LossTerms:
        return {n: rows.square().mean() for n, rows in self.residuals(model, batch).items()}

    def residuals(self, model: Simulation, batch: Share) -> dict[str, Tensor]:
        """Rows `[n]` whose mean squares are the terms; every press counts the same."""
        values = model.values()
        every = [residuals(model.simulate(values, n), seen) for n, seen in batch.presses]
        found = {
            name: batch.counts**0.5 * joined([one[name] for one in every]) for name in every[0]
        }
        for name, variation in self.variations.items():
            found[f"variation_{name}"] = variation(values[name])
        return found

    def signs(self, batch: Share, seed: int) -> dict[str, Tensor]:
        """`contracts.Signed`: every press has its own, every variation those of its rows.

        A press's are √ranks large, as its rows are a part of the mean.
        """
        presses: dict[str, list[Tensor]] = {name: [] for name in self.compared}
        for number, seen in batch.presses:
            draw = torch.Generator().manual_seed(seed * 1000 + number)
            for name, parts in presses.items():
                like = getattr(seen, name)[1:].flatten()
                parts.append(batch.ranks**0.5 * signs(like, draw))
        found = {name: torch.cat(parts) for name, parts in presses.items()}
        for number, (name, variation) in enumerate(self.variations.items()):
            draw = torch.Generator().manual_seed(seed * 1000 + batch.total + number)
            found[f"variation_{name}"] = signs(variation.weights, draw)
        return found


def signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """±1 with equal chances."""
    return (2 * torch.randint(0, 2, like.shape, generator=generator) - 1).to(like)


def joined(parts: list[Tensor]) -> Tensor:
    """Rows of several presses whose mean square is the mean of theirs: √(N / K n_k) r."""
    if len(parts) == 1:
        return parts[0]
    total = sum(map(len, parts)) / len(parts)
    return torch.cat([rows * (total / len(rows)) ** 0.5 for rows in parts])


def residuals(observed: Observed, seen: Seen) -> dict[str, Tensor]:
    """Differences of what is compared in units of the noise, all times after the start."""
    markers = (observed.markers - seen.markers)[1:] / seen.marker_noise
    force = (observed.wrench[:, :3] - seen.force)[1:] / seen.force_noise
    found = {"markers": markers.reshape(-1), "force": force.reshape(-1)}
    return {name: found[name] for name in seen.compared}

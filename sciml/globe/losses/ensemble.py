"""The continuous ranked probability score of an ensemble, fair to its size.

ℓ_c = Σ_i a_i [ 1/M Σ_m |x_m - t| - 1/(2 M (M-1)) Σ_m Σ_n |x_m - x_n| ]_i / σ_c

Its expectation over members drawn from a distribution F is the score of F itself, for every M >= 2
(the estimator with M² rewards too small a spread). The second sum is taken over the sorted members,
Σ_m Σ_n |x_m - x_n| = 2 Σ_m (2m - M - 1) x_(m): M log M and no pair of members in memory.

Source: C. Ferro, Q. J. R. Meteorol. Soc. 140 (2014) 1917-1923, doi:10.1002/qj.2270.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError
from sciml.globe.losses.measure import Mean, Measure, held
from sciml.globe.losses.precision import in_full


@final
class FairCRPS(nn.Module):
    """`(ensemble [B, M, K, C, *grid], target [B, K, C, *grid])` → scalar; M >= 2."""

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.mean = Mean(measure)
        self.register_buffer("area", held(measure.area.flatten()))
        self.register_buffer("inverse", held(measure.scale.reciprocal()))

    @in_full
    def forward(
        self, ensemble: Float[Tensor, "b m k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, ""]:
        score = fair_crps(ensemble, target)
        return self.mean((score.flatten(3) @ self.area) * self.inverse)


def fair_crps(ensemble: Float[Tensor, "b m ..."], target: Float[Tensor, "b ..."]) -> Tensor:
    """The fair score of every number of `target`, `[B, …]`.

    Raises:
        UserError: fewer than two members.
    """
    members = ensemble.shape[1]
    if members < 2:
        raise UserError(f"CRPS: expected an ensemble of at least 2 members, got {members}")
    error = (ensemble - target.unsqueeze(1)).abs().mean(1)
    rank = torch.arange(members, device=ensemble.device, dtype=ensemble.dtype)
    factor = (2 * rank + 1 - members) / (members * (members - 1))
    return error - torch.einsum("m,bm...->b...", factor, ensemble.sort(dim=1).values)

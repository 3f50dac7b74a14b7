"""The modified spherical-harmonic loss (MSH, also AMSE): amplitude and coherence by degree, apart.

    AMSE_l(f, t) = (√P_l(f) - √P_l(t))² + 2 max(P_l(f), P_l(t)) (1 - C_l)
    ℓ_c(f, t)    = β_c [ Σ_{l<=T} γ_l AMSE_l / 4π + γ_T ⟨r²⟩ ] / σ_c²,    r = e - S A e,  e = f - t

With the geometric mean √(P_l(f) P_l(t)) in place of the maximum, AMSE_l is the power of e, and ℓ
the mean square error: the remainder r, which the truncation T does not hold, is orthogonal to the
rest on a grid where the analysis A is exact. The mean square is least at √P_f = C √P_t, a blurred
field, wherever coherence is lost; AMSE is least at P_f = P_t for every coherence.

AMSE_l comes from the coefficients of e and t without a difference of large numbers (`losses.amse`),
and ⟨r²⟩ = ⟨e²⟩ - Σ_l P_l(e) / 4π by orthogonality, which saves a synthesis. The mean, l = 0, counts
as a squared difference: it has a sign rather than a coherence.

Source: C. Subich et al., arXiv:2501.19374, equations 4-6; γ_l and β_c from FastNet,
arXiv:2509.17601, equations 8 and 9 as others give them.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.contracts import UserError
from sciml.globe.losses import amse
from sciml.globe.losses.degrees import DegreeWeight, Steep
from sciml.globe.losses.measure import Mean, Measure, held
from sciml.globe.losses.precision import in_full


@final
class MSH(nn.Module):
    """The modified spherical-harmonic loss: `(prediction, target) [B, K, C, *grid]` → scalar.

    Args:
        measure: on a grid that resolves `truncation` exactly.
        truncation: T, the largest degree; the largest that is exact on the grid where None.
        gamma: γ_l, such as `degrees.Steep(…)` or `degrees.combined`; 1 where None.
        harmonics: transform on the grid, in place of `truncation`.
        floor: added to powers, in units of σ², so that the root has a slope where there is none.
        mean: of P_f and P_t.

    `beta` `[C]` is 1 until `calibrate` sets it.
    """

    def __init__(
        self,
        measure: Measure,
        truncation: int | None = None,
        gamma: DegreeWeight | None = None,
        harmonics: Any = None,
        floor: float = 1e-10,
        mean: amse.MeanOfTwo = torch.maximum,
    ) -> None:
        super().__init__()
        if floor <= 0:
            raise UserError(f"MSH: expected floor > 0, got {floor}")
        self.harmonics = harmonics or Harmonics(measure.grid, truncation)
        self.mean, self.floor, self.mean_of_two = Mean(measure), floor, mean
        l = torch.arange(self.harmonics.truncation + 1.0, dtype=torch.float64)
        weights = torch.ones_like(l) if gamma is None else gamma(l, measure)
        twice = torch.full((len(l), 1), 2.0).index_fill_(0, torch.tensor(0), 1.0)  # m and -m
        self.register_buffer("area", held(measure.area.flatten()), persistent=False)
        self.register_buffer("twice", held(twice), persistent=False)
        self.register_buffer("inverse", held(measure.scale.reciprocal()))
        self.register_buffer("offset", held(measure.mean))
        self.register_buffer("gamma", held(torch.atleast_2d(weights)))
        self.register_buffer("beta", torch.ones_like(self.inverse))

    @in_full
    def forward(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, ""]:
        return self.mean(self.beta * self.by_channel(prediction, target))

    def by_channel(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> Float[Tensor, "b k c"]:
        """ℓ_c / β_c of every sample, lead time and channel."""
        offset = self.offset.view(-1, *[1] * (target.ndim - 3))
        error = prediction - target
        epsilon = self.harmonics.analysis(error)
        alpha = self.harmonics.analysis(target - offset)
        weights = (self.area, self.twice, self.inverse.square(), self.gamma)
        given = (error.flatten(3), epsilon, alpha, weights, self.floor)
        if self.mean_of_two is torch.maximum:
            return amse.ByHand.apply(*given)
        return amse.recorded(*given, self.mean_of_two)

    @torch.no_grad()
    def calibrate(
        self, prediction: Float[Tensor, "b k c *grid"], target: Float[Tensor, "b k c *grid"]
    ) -> None:
        """β_c = 1 / ⟨ℓ_c⟩ over these forecasts, so that every channel is of order 1."""
        found = self.by_channel(prediction, target).mean((0, 1))
        if not (torch.isfinite(found) & (found > 0)).all():
            raise UserError(
                "MSH: expected forecasts with errors in every channel to calibrate by, "
                f"got losses {found.tolist()}"
            )
        self.beta.copy_(1 / found)


def fastnet(measure: Measure, truncation: int | None = None) -> MSH:
    """FastNet's form: γ_l = max(N l^√3, 1), N for a mean of 1, and β_c once `calibrate` set it."""
    return MSH(measure, truncation, gamma=Steep(3**0.5, "mean", 1.0))

"""The modified spherical-harmonic loss (MSH, also AMSE): amplitude and coherence by degree, apart.

    AMSE_l(f, t) = (√P_l(f) - √P_l(t))² + 2 max(P_l(f), P_l(t)) (1 - C_l)
    ℓ_c(f, t)    = β_c [ Σ_{l<=T} γ_l AMSE_l / 4π + γ_T ⟨r²⟩ ] / σ_c²,    r = e - S A e,  e = f - t

With the geometric mean √(P_l(f) P_l(t)) in place of the maximum, AMSE_l is the power of e, and ℓ
the mean square error: the remainder r, which the truncation T does not hold, is orthogonal to the
rest on a grid where the analysis A is exact. The mean square is least at √P_f = C √P_t, a blurred
field, wherever coherence is lost; AMSE is least at P_f = P_t for every coherence.

Computed without a difference of large numbers from the coefficients ε of e and α of t: from
P_e = Σ|ε|², X = Σ Re ε conj α and P_t = Σ|α|² by degree,

    P_f = P_t + 2X + P_e,     d = √P_f - √P_t = (2X + P_e) / (√P_f + √P_t)
    2 √(P_f P_t) (1 - C) = P_e - d²
    AMSE = P_e + (P_e - d²) (max(P_f, P_t) / √(P_f P_t) - 1)

and ⟨r²⟩ = ⟨e²⟩ - Σ_l P_l(e) / 4π by orthogonality, which saves a synthesis. The mean, l = 0, counts
as a squared difference: it has a sign rather than a coherence.

Source: C. Subich et al., arXiv:2501.19374, equations 4-6; γ_l and β_c from FastNet,
arXiv:2509.17601, equations 8 and 9 as others give them.
"""

from collections.abc import Callable
from math import pi
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.contracts import UserError
from sciml.globe.losses.degrees import DegreeWeight, Steep
from sciml.globe.losses.measure import Mean, Measure, held
from sciml.globe.losses.precision import in_full

#: Of two powers; their maximum gives AMSE, their geometric mean the mean square.
MeanOfTwo = Callable[[Tensor, Tensor], Tensor]


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
        mean: MeanOfTwo = torch.maximum,
    ) -> None:
        super().__init__()
        if floor <= 0:
            raise UserError(f"MSH: expected floor > 0, got {floor}")
        self.harmonics = harmonics or Harmonics(measure.grid, truncation)
        self.mean, self.floor, self.mean_of_two = Mean(measure), floor, mean
        l = torch.arange(self.harmonics.truncation + 1.0, dtype=torch.float64)
        weights = torch.ones_like(l) if gamma is None else gamma(l, measure)
        twice = torch.full((len(l), 2), 2.0).index_fill_(0, torch.tensor(0), 1.0)  # m and -m
        self.register_buffer("area", held(measure.area.flatten()), persistent=False)
        self.register_buffer("twice", held(twice.flatten()), persistent=False)
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
        epsilon = self.harmonics.analysis(error).flatten(-2)
        alpha = self.harmonics.analysis(target - offset).flatten(-2)
        unit = self.inverse.square()
        of_error, shared, truth = (
            (both @ self.twice) * unit[:, None]
            for both in (epsilon.square(), epsilon * alpha, alpha.square())
        )
        extra = excess(of_error, shared, truth, self.floor, self.mean_of_two)
        last = self.gamma[:, -1]
        spectral = (self.gamma - last[:, None]) * of_error + self.gamma * extra
        whole = (error.flatten(3).square() @ self.area) * unit
        return last * whole + spectral.sum(-1) / (4 * pi)

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


def excess(
    of_error: Float[Tensor, "*b l"],
    shared: Float[Tensor, "*b l"],
    truth: Float[Tensor, "*b l"],
    floor: float,
    mean: MeanOfTwo = torch.maximum,
) -> Float[Tensor, "*b l"]:
    """AMSE_l - P_l(e), zero for l = 0: what lost coherence costs where amplitudes differ.

    Args:
        of_error: P_l of e = f - t.
        shared: X_l of e and t.
        truth: P_l of t.
        floor: added to the powers of f and t.
        mean: of P_f and P_t.
    """
    difference = 2 * shared + of_error  # P_f - P_t
    power_f, power_t = (truth + difference).clamp_min(0) + floor, truth + floor
    root_f, root_t = power_f.sqrt(), power_t.sqrt()
    amplitude = difference / (root_f + root_t)
    incoherent = (of_error - amplitude.square()).clamp_min(0)  # rounding: C <= 1
    found = incoherent * (mean(power_f, power_t) / (root_f * root_t) - 1)
    return torch.cat([torch.zeros_like(found[..., :1]), found[..., 1:]], dim=-1)


def fastnet(measure: Measure, truncation: int | None = None) -> MSH:
    """FastNet's form: γ_l = max(N l^√3, 1), N for a mean of 1, and β_c once `calibrate` set it."""
    return MSH(measure, truncation, gamma=Steep(3**0.5, "mean", 1.0))

"""What the degrees l of a spectrum count in a spectral loss: γ_l, by channel where they differ.

    steep     γ_l = max(N l^e, floor)         against the steep fall of spectra, e = √3
    gradient  γ_l = l(l+1) / G                the loss of the horizontal gradient
    combined  γ_l = (1 + l(l+1) / G) / 2      field and gradient together

G is the mean of l(l+1) over the increments' power. For a scalar f, |∇f|² has by degree the power
l(l+1) P_l / a², and ∇f and ∇t have the coherence of f and t: a spectral loss of the gradient *is*
the loss of the field with these weights.

Source: FastNet, arXiv:2509.17601, for γ_l; readers differ on whether N is the number of modes 2l+1
or makes the mean weight 1, so both are offered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.globe.losses.measure import Measure

#: `(degrees [L], measure) -> [L] or [C, L]`, not negative.
DegreeWeight = Callable[[Tensor, Measure], Tensor]


@final
@dataclass(frozen=True)
class Steep:
    """γ_l = max(N l^exponent, floor).

    Args:
        exponent: e.
        normalise: what N is: 1 (none), such that the mean of N l^e over l >= 1 is 1 (mean), or the
            number of modes 2l+1 (modes).
        floor: of the weights; also that of the mean, l = 0.

    Raises:
        UserError: an unknown way to normalise, a negative floor.
    """

    exponent: float = 3**0.5
    normalise: Literal["none", "mean", "modes"] = "none"
    floor: float = 1.0

    def __post_init__(self) -> None:
        if self.normalise not in ("none", "mean", "modes"):
            raise UserError(
                f"gamma: expected normalise none, mean or modes, got {self.normalise!r}"
            )
        if self.floor < 0:
            raise UserError(f"gamma: expected floor >= 0, got {self.floor}")

    def __call__(self, l: Tensor, measure: Measure) -> Float[Tensor, " l"]:
        raised = l**self.exponent
        factor = {
            "none": torch.ones_like(l),
            "mean": torch.ones_like(l) / raised[1:].mean(),
            "modes": 2 * l + 1,
        }
        return (factor[self.normalise] * raised).clamp_min(self.floor)


def gradient(l: Float[Tensor, " l"], measure: Measure) -> Float[Tensor, "c l"]:
    """γ_l = l(l+1) / G by channel: the loss of the horizontal gradient, and of nothing else."""
    return l * (l + 1) / roughness(measure)[:, None]


def combined(l: Float[Tensor, " l"], measure: Measure) -> Float[Tensor, "c l"]:
    """γ_l = (1 + l(l+1) / G) / 2 by channel: half field, half gradient."""
    return (1 + gradient(l, measure)) / 2


def roughness(measure: Measure) -> Float[Tensor, " c"]:
    """G `[C]`: the mean of l(l+1) over the power of the increments, ⟨|∇δ|²⟩ / ⟨δ²⟩ per radian².

    Raises:
        UserError: the measure knows no gradients.
    """
    if measure.gradient is None:
        raise UserError(
            "measure: expected the root mean square of gradients, got none; "
            "give gradient=losses.deviation(…) of the training increments"
        )
    return 2 * (measure.gradient / measure.scale).square()

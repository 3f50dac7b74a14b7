"""A ball of another stiffness in a gel, and how well a map of the stiffness shows it.

    c = log(E/Ẽ),   Ẽ: median over the volume        contrast of every cell
    A = cells where |c| is above half its largest and has the sign of that
    dice = 2 |A ∩ B|/(|A| + |B|)                     B: the ball; of a cell the part inside it
    centre = Σ_A V c x/Σ_A V c                       ratio = exp(Σ_A V c/Σ_A V)

Found means: the sign is right, dice at least a half, the centre no farther off than half the
ball's radius, the ratio right within a factor of two. No threshold takes the truth for granted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements

#: Points of a cell, along each of its axes, that say which part of it is inside the ball.
FINE = 8


@final
@dataclass(frozen=True)
class Inclusion:
    """A constant that is another one within a ball.

    Args:
        value: outside, in its own unit, > 0.
        ratio: of the value inside to that outside, > 0 and not 1.
        centre: m.
        radius: m, > 0.
    """

    value: float
    ratio: float
    centre: Sequence[float]
    radius: float

    def __post_init__(self) -> None:
        if not (self.value > 0 and self.ratio > 0 and self.radius > 0) or self.ratio == 1:
            raise UserError(
                "inclusion: expected value, ratio and radius > 0 and a ratio other than 1, got "
                f"{self.value!r}, {self.ratio!r} and {self.radius!r}"
            )
        if len(self.centre) != 3:
            raise UserError(f"inclusion: expected a centre (x, y, z) in m, got {self.centre!r}")
        object.__setattr__(self, "centre", tuple(float(x) for x in self.centre))

    def share(self, elements: Elements) -> Float[np.ndarray, " m"]:
        """The part of every cell that is inside the ball."""
        i, j, k = (axis.ravel() for axis in np.indices((FINE, FINE, FINE)))
        some = i + j + k < FINE
        at = np.stack([i, j, k], -1)[some] + 0.25
        barycentric = np.column_stack([at / FINE, 1 - at.sum(1) / FINE])
        corners = elements.nodes[elements.cells[:, :4]]
        off = np.einsum("qa,maj->mqj", barycentric, corners) - np.array(self.centre)
        return (np.linalg.norm(off, axis=-1) <= self.radius).mean(1)

    def field(self, elements: Elements) -> Float[Tensor, " m"]:
        """Values of all cells; one cut by the ball's surface has their geometric mean."""
        return self.value * torch.from_numpy(self.ratio ** self.share(elements))

    def measures(self, values: Float[np.ndarray, " m"], elements: Elements) -> dict[str, float]:
        """How well a map shows the ball.

        Args:
            values: of all cells, > 0.

        Returns:
            dice, centre_error (m), ratio, background (the median) and found (0 or 1).
        """
        V = elements.volumes
        background = weighted_median(values, V)
        contrast = np.log(values / background)
        if not contrast.any():
            return {"dice": 0.0, "centre_error": float("inf"), "ratio": 1.0,
                    "background": background, "found": 0.0}  # fmt: skip
        A = _stands_out(contrast)
        inside = V * self.share(elements)
        dice = 2 * inside[A].sum() / (V[A].sum() + inside.sum())
        off = float(np.linalg.norm(middle(values, elements) - np.array(self.centre)))
        ratio = float(np.exp((V * contrast)[A].sum() / V[A].sum()))
        right = (
            (ratio - 1) * (self.ratio - 1) > 0
            and dice >= 0.5
            and off <= self.radius / 2
            and 0.5 <= ratio / self.ratio <= 2
        )
        return {"dice": float(dice), "centre_error": off, "ratio": ratio,
                "background": background, "found": float(right)}  # fmt: skip


def middle(values: Float[np.ndarray, " m"], elements: Elements) -> Float[np.ndarray, "3"]:
    """Centre of what stands out of a field > 0, m; of the whole body where nothing does."""
    V, x = elements.volumes, elements.nodes[elements.cells[:, :4]].mean(1)
    contrast = np.log(values / weighted_median(values, V))
    if not contrast.any():
        return V @ x / V.sum()
    A = _stands_out(contrast)
    weight = (V * contrast)[A]
    return weight @ x[A] / weight.sum()


def _stands_out(contrast: Float[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    return contrast / contrast[np.abs(contrast).argmax()] > 0.5


def weighted_median(values: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"]) -> float:
    """The value below which half of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])

"""Weights that never change: the plain sum of the loss terms, or a sum weighted by hand."""

from collections.abc import Mapping
from typing import final

from torch import nn

from sciml.balance.base import as_scalars, given_weights, require_terms
from sciml.contracts import Step, Weights


@final
class Fixed(nn.Module):
    """L = Σ w_k L_k with constant w_k.

    `minimised` says that training ends in the minimum of this sum: error bars are around that.

    Args:
        weights: term name → weight >= 0; a term that is not named has weight 1.

    Raises:
        UserError: a weight that is negative or not finite; at the first step, a name that is no
            loss term.

    Cost: none.
    """

    needs = "losses"

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = given_weights(weights)

    @property
    def minimised(self) -> Mapping[str, float | int]:
        return self.weights

    def forward(self, step: Step) -> Weights:
        require_terms(self.weights, step.losses, "weights")
        return as_scalars(self.weights, step.losses)

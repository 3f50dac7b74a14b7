"""Gradient rows as vectors: where each parameter stands, and sums and means over batches."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import LossTerms


def unflatten(
    row: Float[Tensor, " parameters"], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A gradient row as one view per parameter."""
    pieces = row.split([parameter.numel() for parameter in parameters.values()])
    return {
        name: piece.view_as(parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }


def columns(parameters: Mapping[str, Tensor], wanted: Collection[str]) -> list[slice]:
    """Where the parameters `wanted` stand in a gradient row, in the row's order."""
    cuts, start = [], 0
    for name, parameter in parameters.items():
        end = start + parameter.numel()
        if name in wanted:
            cuts.append(slice(start, end))
        start = end
    return cuts


def joined(every: Sequence[Mapping[str, tuple[Tensor, Tensor]]]) -> dict:
    """Residual rows and Jacobians of several batches, one below the other."""
    return {
        name: tuple(map(torch.cat, zip(*(found[name] for found in every), strict=True)))
        for name in every[0]
    }


def weighted(terms: LossTerms, weights: Mapping[str, Tensor]) -> Tensor:
    """L = Σ w_k L_k."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def mean(tensors: Iterable[Tensor]) -> Tensor:
    """The mean of tensors of one shape, holding two of them at a time."""
    count, total = 0, None
    for count, tensor in enumerate(tensors, 1):  # noqa: B007
        total = tensor if total is None else total + tensor
    return total if count == 1 else total / count

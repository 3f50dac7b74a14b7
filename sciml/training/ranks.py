"""What the ranks of a run tell one another: sums of tensors, and names."""

import torch
import torch.distributed as dist
from torch import Tensor


def total(tensor: Tensor, ranks: int, device: torch.device) -> Tensor:
    """Sum of a tensor over all ranks, on this rank's device; the tensor itself on one process."""
    if ranks == 1:
        return tensor
    tensor = tensor.to(device).clone(memory_format=torch.contiguous_format)
    dist.all_reduce(tensor)
    return tensor


def mean(tensor: Tensor, ranks: int, device: torch.device) -> Tensor:
    """Mean of a tensor over all ranks; the tensor itself on one process."""
    return tensor if ranks == 1 else total(tensor, ranks, device) / ranks


def names(own: list[str], ranks: int) -> list[str]:
    """The names that any rank has."""
    if ranks == 1:
        return own
    every: list[list[str]] = [[] for _ in range(ranks)]
    dist.all_gather_object(every, own)
    return [name for of_rank in every for name in of_rank]

"""Σ_e F_e ∘ h_s(e) over the edges into each node, a block of edges at a time.

The products on all edges are several times larger than the processor's cache, and would be written
and read again for each of gather, product and sum, forward and backward. Blocks of edges pass
through all three while they are in the cache; backward gathers once more instead of keeping.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: Numbers in a block: 2 MB in float32.
BLOCK = 1 << 19


def filtered_sum(
    filters: Float[Tensor, "e c"],
    h: Float[Tensor, "n b c"],
    source: Int[Tensor, " e"],
    target: Int[Tensor, " e"],
    targets: int,
) -> Float[Tensor, "m b c"]:
    """Σ_e F_e ∘ h_s(e), in float32 or better; `target` ascends.

    In blocks on a processor; in one piece under a compiler, which fuses it, and on accelerators.
    """
    exact = filters.dtype == h.dtype and h.dtype in (torch.float32, torch.float64)
    if exact and h.device.type == "cpu" and not torch.compiler.is_compiling():
        return _FilteredSum.apply(filters, h, source, target, targets)
    messages = filters[:, None] * h.index_select(0, source)
    if messages.dtype in (torch.bfloat16, torch.float16):
        messages = messages.float()
    total = messages.new_zeros(targets, *messages.shape[1:])
    return total.index_add(0, target, messages)


class _FilteredSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, filters: Tensor, h: Tensor, source: Tensor, target: Tensor, targets: int
    ) -> Tensor:
        ctx.save_for_backward(filters, h, source, target)
        total = h.new_zeros(targets, *h.shape[1:])
        for part in blocks(h, len(source)):
            messages = h.index_select(0, source[part]).mul_(filters[part, None])
            total.index_add_(0, target[part], messages)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        filters, h, source, target = ctx.saved_tensors
        of_filters, of_h = ctx.needs_input_grad[:2]
        to_filters: list[Tensor] | None = [] if of_filters else None
        to_h = torch.zeros_like(h) if of_h else None
        for part in blocks(h, len(source)):
            arrived = gradient.index_select(0, target[part])
            if to_filters is not None:
                sent = h.index_select(0, source[part]).mul_(arrived)
                to_filters.append(sent.sum(1))
            if to_h is not None:
                to_h.index_add_(0, source[part], arrived.mul_(filters[part, None]))
        return None if to_filters is None else torch.cat(to_filters), to_h, None, None, None


def blocks(h: Float[Tensor, "n b c"], edges: int) -> list[slice]:
    """Consecutive edges, as many at a time as have messages of `BLOCK` numbers."""
    size = max(1, BLOCK // h[0].numel())
    starts = [*range(0, edges, size), edges]
    return [slice(a, b) for a, b in pairwise(starts)]

"""Σ_e (W f_e) ∘ h_s(e) over the edges into each node, a block of edges at a time.

Filters and products on all edges are several times larger than the processor's cache, and would be
written and read again for each of filter, gather, product and sum, forward and backward. Blocks of
edges pass through all of them while they are in the cache; backward does it once more instead of
keeping anything.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

#: Numbers in a block: 1 MB in float32, what a core of today keeps to itself.
BLOCK = 1 << 18


def filtered_sum(
    f: Float[Tensor, "e k"],
    W: Float[Tensor, "c k"],
    h: Float[Tensor, "n b c"],
    source: Int[Tensor, " e"],
    target: Int[Tensor, " e"],
    targets: int,
) -> Float[Tensor, "m b c"]:
    """Σ_e (W f_e) ∘ h_s(e), in float32 or better; `target` ascends.

    In blocks on a processor; in one piece under a compiler, which fuses it, and on accelerators.
    """
    if blockwise(f, W, h):
        return _FilteredSum.apply(f, W, h, source, target, targets)
    messages = functional.linear(f, W)[:, None] * h.index_select(0, source)
    if messages.dtype in (torch.bfloat16, torch.float16):
        messages = messages.float()
    total = messages.new_zeros(targets, *messages.shape[1:])
    return total.index_add(0, target, messages)


def blockwise(*tensors: Tensor | None) -> bool:
    """Whether all are on a processor in one exact dtype, outside of compilers and autocast."""
    some = [t for t in tensors if t is not None]
    exact = {t.dtype for t in some} in ({torch.float32}, {torch.float64})
    return (
        exact
        and all(t.device.type == "cpu" for t in some)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


class _FilteredSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, f: Tensor, W: Tensor, h: Tensor, source: Tensor, target: Tensor, targets: int
    ) -> Tensor:
        ctx.save_for_backward(f, W, h, source, target)
        total = h.new_zeros(targets, *h.shape[1:])
        for part in blocks(h, len(source)):
            messages = h.index_select(0, source[part]).mul_((f[part] @ W.T)[:, None])
            total.index_add_(0, target[part], messages)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        f, W, h, source, target = ctx.saved_tensors
        of_f, of_W, of_h = ctx.needs_input_grad[:3]
        to_f, to_h = torch.empty_like(f) if of_f else None, torch.zeros_like(h) if of_h else None
        to_W = torch.zeros_like(W.T) if of_W else None
        for part in blocks(h, len(source)):
            arrived = gradient.index_select(0, target[part])
            if of_f or of_W:
                to_filters = h.index_select(0, source[part]).mul_(arrived).sum(1)
                if of_f:
                    to_f[part] = to_filters @ W
                if of_W:
                    to_W.addmm_(f[part].T, to_filters)
            if of_h:
                arrived.mul_((f[part] @ W.T)[:, None])
                to_h.index_add_(0, source[part], arrived)
        return to_f, to_W.T if of_W else None, to_h, None, None, None


def blocks(h: Float[Tensor, "n b c"], edges: int) -> list[slice]:
    """Consecutive edges, as many at a time as have messages of `BLOCK` numbers."""
    size = max(1, BLOCK // h[0].numel())
    starts = [*range(0, edges, size), edges]
    return [slice(a, b) for a, b in pairwise(starts)]

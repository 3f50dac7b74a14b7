"""Σ_e m_e with m_e = LayerNorm relu(W_2 relu(W_e e + (W_s h)_s (+ (W_r h)_r) + b) + b_2).

On a processor a block of edges at a time: a dozen passes over arrays of all edges, each larger
than the cache, would cost as much as the products with matrices. Everything of a block, forward and
backward, is done while it is in the cache; kept for the backward pass are the two activations, as
automatic differentiation would.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from sciml.weather.filtered import blocks, blockwise

ATEN = torch.ops.aten


class Weights(NamedTuple):
    """Of the part of the MLP that stands on the edges; `b`s and norm are `[c]`."""

    W_e: Tensor
    b: Tensor
    W_2: Tensor
    b_2: Tensor
    gamma: Tensor
    beta: Tensor


class Ends(NamedTuple):
    """Of the edges; `target` ascends, `targets` is how many nodes receive."""

    source: Int[Tensor, " e"]
    target: Int[Tensor, " e"]
    targets: int


def additive_sum(
    e: Float[Tensor, "e b ce"],
    sent: Float[Tensor, "ns b c"],
    received: Float[Tensor, "nr b c"] | None,
    weights: Weights,
    ends: Ends,
    residual: bool,
) -> tuple[Tensor | None, Float[Tensor, "nr b c"]]:
    """(e + m, Σ_e e + m) where `residual`, else (None, Σ_e m); sums in float32 or better.

    Args:
        e: features of the edges.
        sent: W_s h of the nodes that send.
        received: W_r h of the nodes that receive, or None.
    """
    if blockwise(e, sent, received, *weights):
        after, total = _AdditiveSum.apply(e, sent, received, *weights, *ends, residual)
        return after if residual else None, total
    a = functional.linear(e, weights.W_e, weights.b) + sent.index_select(0, ends.source)
    if received is not None:
        a = a + received.index_select(0, ends.target)
    c = functional.linear(a.relu(), weights.W_2, weights.b_2).relu()
    m = functional.layer_norm(c, c.shape[-1:], weights.gamma, weights.beta)
    m = e + m if residual else m
    rounded = m.dtype in (torch.bfloat16, torch.float16)
    total = m.float() if rounded else m
    zero = total.new_zeros(ends.targets, *total.shape[1:])
    return m if residual else None, zero.index_add(0, ends.target, total)


class _AdditiveSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        e: Tensor,
        sent: Tensor,
        received: Tensor | None,
        W_e: Tensor,
        b: Tensor,
        W_2: Tensor,
        b_2: Tensor,
        gamma: Tensor,
        beta: Tensor,
        source: Tensor,
        target: Tensor,
        targets: int,
        residual: bool,
    ) -> tuple[Tensor, Tensor]:
        batch, width = sent.shape[1:]
        a, c = (sent.new_empty(len(source), batch, width) for _ in range(2))
        mean, rstd = (sent.new_empty(len(source), batch, 1) for _ in range(2))
        after = torch.empty_like(a) if residual else sent.new_empty(0)
        total = sent.new_zeros(targets, batch, width)
        for part in blocks(sent, len(source)):
            rows = a[part]
            torch.addmm(b, e[part].flatten(0, 1), W_e.T, out=rows.flatten(0, 1))
            rows += sent.index_select(0, source[part])
            if received is not None:
                rows += received.index_select(0, target[part])
            torch.addmm(b_2, rows.relu_().flatten(0, 1), W_2.T, out=c[part].flatten(0, 1))
            m, mean[part], rstd[part] = torch.native_layer_norm(
                c[part].relu_(), (width,), gamma, beta, 1e-5
            )
            if residual:
                m = torch.add(e[part], m, out=after[part])
            total.index_add_(0, target[part], m)
        ctx.save_for_backward(e, a, c, mean, rstd, W_e, W_2, gamma, beta, source, target)
        ctx.sizes = len(sent), received is not None, residual
        return after, total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_after: Tensor, to_total: Tensor) -> tuple[Tensor | None, ...]:
        e, a, c, mean, rstd, W_e, W_2, gamma, beta, source, target = ctx.saved_tensors
        senders, receives, residual = ctx.sizes
        batch, width = to_total.shape[1:]
        to_sent = to_total.new_zeros(senders, batch, width)
        to_received = torch.zeros_like(to_total) if receives else None
        to_e = torch.empty_like(e, memory_format=torch.contiguous_format)
        to_e = to_e if ctx.needs_input_grad[0] else None
        sums = [torch.zeros_like(t) for t in (W_e, gamma, W_2, gamma, gamma, beta)]
        for part in blocks(to_total, len(source)):
            g = to_total.index_select(0, target[part])
            if residual:
                g += to_after[part]
            h, d_gamma, d_beta = ATEN.native_layer_norm_backward(
                g, c[part], (width,), mean[part], rstd[part], gamma, beta, [True] * 3
            )
            h = _through_relu(h, c[part]).flatten(0, 1)
            k = _through_relu(h @ W_2, a[part].flatten(0, 1))
            edge = e[part].flatten(0, 1)
            sums[0].addmm_(k.T, edge)
            sums[2].addmm_(h.T, a[part].flatten(0, 1))
            for total, add in zip((1, 3, 4, 5), (k.sum(0), h.sum(0), d_gamma, d_beta), strict=True):
                sums[total] += add
            rows = k.view_as(g)
            to_sent.index_add_(0, source[part], rows)
            if to_received is not None:
                to_received.index_add_(0, target[part], rows)
            if to_e is not None:
                own = to_e[part]
                torch.mm(k, W_e, out=own.flatten(0, 1))
                if residual:
                    own += g
        return to_e, to_sent, to_received, *sums, None, None, None, None


def _through_relu(gradient: Tensor, activation: Tensor) -> Tensor:
    """In place: zero where the activation is."""
    return ATEN.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)

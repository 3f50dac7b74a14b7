"""The Jacobian of residual rows of any objective: right for every graph, one backward per row."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

#: Rows differentiated in one batched backward pass.
CHUNK = 64


def jacobian(
    rows: Float[Tensor, " n"], parameters: Sequence[Tensor]
) -> Float[Tensor, "n parameters"]:
    """∂r_i/∂θ, detached; the graph of `rows` is kept.

    Also where a row depends on many points (an integral, a mean over the batch). An objective that
    knows its points offers a much cheaper one (`contracts.Linearised`).

    Cost: n backward passes, `CHUNK` of them at a time.
    """
    if not rows.requires_grad:
        return rows.new_zeros(len(rows), sum(parameter.numel() for parameter in parameters))
    pieces = []
    unit = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    for cotangents in unit.split(CHUNK):
        gradients = torch.autograd.grad(
            rows, parameters, cotangents, retain_graph=True, allow_unused=True,
            materialize_grads=True, is_grads_batched=True,
        )  # fmt: skip
        pieces.append(torch.cat([g.reshape(len(cotangents), -1) for g in gradients], dim=1))
    return torch.cat(pieces).detach()

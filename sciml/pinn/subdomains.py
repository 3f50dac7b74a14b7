"""Overlapping windows along one coordinate, a network in each, blended by a partition of unity.

    u(x) = Σ_k ω_k(s) N_k(x_k),    ω_k = H_k − H_{k+1},    Σ_k ω_k = 1
    H_k(s) = [1 + erf((s − e_k)/δ)]/2 at the edges e_k between windows, H_0 = 1, H_K = 0

The steps H_k are analytic, so u has all derivatives where the networks have, and a jet goes through
them. With δ = overlap/8 they are 0 or 1 to 8e-9 outside of the overlap: beyond its own window a
network hardly counts. Each sees the coordinate rescaled to [-1, 1] over its window.

All windows may be trained at once, or by phases along time, each with the one before it:

    trainable: ["*windows.0.*"]                   settings: {within: {t: [0, 0.2]}}
    trainable: ["*windows.0.*", "*windows.1.*"]   settings: {within: {t: [0, 0.4]}}
    trainable: ["*windows.1.*", "*windows.2.*"]   settings: {within: {t: [0.2, 0.6]}}

Windows that no phase touches any more are frozen; the blend carries on from them smoothly.

Source: B. Moseley, A. Markham, T. Nissen-Meyer, Finite basis physics-informed neural networks,
Adv. Comput. Math. 49 (2023) 62, arXiv:2107.07871, there with a cosine or sigmoid in place of erf.
"""

from itertools import pairwise
from typing import final

import torch
from torch import Generator, Tensor, nn

from sciml.contracts import UserError
from sciml.pinn.layers import require_positive
from sciml.pinn.networks import MLP, NetworkFactory

#: Overlap over δ: at its ends a share is erfc(4)/2 = 8e-9 or that much less than 1.
SHARPNESS = 8.0


@final
class Subdomains(nn.Module):
    """K networks along one input, which runs over [-1, 1] as the maps of `inputs` give it.

    Args:
        windows: K >= 1, of equal length 2/K.
        axis: column of the input; the last, usually time, by default.
        overlap: length that neighbours share, centred at the edge between them, in units of a
            window's, > 0 and <= 1.
        network: factory of each network, of `width` and `depth`.

    Cost: that of K networks at every point.
    """

    edges: Tensor
    centres: Tensor
    halves: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        generator: Generator | None = None,
        windows: int = 4,
        axis: int = -1,
        overlap: float = 0.5,
        network: NetworkFactory = MLP,
    ) -> None:
        super().__init__()
        require_positive("subdomains", windows=windows, overlap=overlap)
        if windows != int(windows) or overlap > 1 or not -inputs <= axis < inputs:
            raise UserError(
                f"subdomains: expected a whole number of windows, overlap <= 1 and a column axis "
                f"of {inputs}, got windows={windows}, overlap={overlap}, axis={axis}"
            )
        self.axis, length = axis % inputs, 2.0 / windows
        dtype = torch.get_default_dtype()
        edges = [-1.0 + length * k for k in range(windows + 1)]
        reach = 0.5 * overlap * length
        lower = [edges[0], *(edge - reach for edge in edges[1:-1])]
        upper = [*(edge + reach for edge in edges[1:-1]), edges[-1]]
        self.delta = overlap * length / SHARPNESS
        self.register_buffer("edges", torch.tensor(edges[1:-1], dtype=dtype))
        centres, halves = torch.zeros(windows, inputs), torch.ones(windows, inputs)
        for k, (low, high) in enumerate(zip(lower, upper, strict=True)):
            centres[k, self.axis], halves[k, self.axis] = (low + high) / 2, (high - low) / 2
        self.register_buffer("centres", centres.to(dtype))
        self.register_buffer("halves", halves.to(dtype))
        self.windows = nn.ModuleList(
            network(inputs, outputs, width, depth, generator) for _ in range(windows)
        )

    def shares(self, x: Tensor) -> list[Tensor]:
        """ω_k `[n, 1]` of every window."""
        s = x[:, self.axis : self.axis + 1]
        steps = [(torch.erf((s - edge) / self.delta) + 1.0) * 0.5 for edge in self.edges]
        if not steps:
            return [s**0]
        inner = [a - b for a, b in pairwise(steps)]
        return [1.0 - steps[0], *inner, steps[-1]]

    def forward(self, x: Tensor) -> Tensor:
        places = zip(self.windows, self.centres, self.halves, self.shares(x), strict=True)
        parts = [share * window((x - c) / half) for window, c, half, share in places]
        return sum(parts[1:], start=parts[0])

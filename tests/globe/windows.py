"""Small worlds for tests: windows of fields on a Gaussian grid, and models with known answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.globe.windows import Window


def window_of(state: Tensor, forcing: Tensor | None = None, time: Tensor | None = None) -> Window:
    """A window of six-hourly states; samples are 1000 hours apart where no time is given."""
    if time is None:
        samples, states = state.shape[:2]
        time = 3600 * (6 * torch.arange(states) + 1000 * torch.arange(samples)[:, None])
    return Window(state, forcing, time)


@contextmanager
def double() -> Iterator[None]:
    """Modules made inside hold float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """White noise."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def of_one_degree(harmonics: Harmonics, l: int, seed: int = 0) -> Tensor:
    """Coefficients `[l, m, 2]` of a random field of degree l, Σ_m |α|² = 1 (m and -m)."""
    alpha = torch.zeros(harmonics.truncation + 1, harmonics.truncation + 1, 2)
    alpha = alpha.to(torch.get_default_dtype())
    alpha[l, : l + 1] = noise(l + 1, 2, seed=seed).to(alpha)
    alpha[l, 0, 1] = 0
    total = 2 * alpha.square().sum() - alpha[l, 0].square().sum()
    return alpha / total.sqrt()


class Columns(nn.Module):
    """A model that mixes channels and forcing at every cell: x + W2 tanh(W1 [x, forcing])."""

    def __init__(self, channels: int, forcings: int = 0, width: int = 8) -> None:
        super().__init__()
        self.channels, self.forcings, self.calls = channels, forcings, 0
        first = noise(width, channels + forcings, seed=1) * 0.3
        second = noise(channels, width, seed=2) * 0.3
        dtype = torch.get_default_dtype()
        self.first = nn.Parameter(first.to(dtype))
        self.second = nn.Parameter(second.to(dtype))

    def forward(self, state: Tensor, forcing: Tensor | None = None) -> Tensor:
        self.calls += 1
        seen = state if forcing is None else torch.cat([state, forcing], dim=1)
        hidden = torch.einsum("hc,bc...->bh...", self.first, seen).tanh()
        return state + torch.einsum("ch,bh...->bc...", self.second, hidden)


class Persistence(nn.Module):
    """Nothing changes."""

    def forward(self, state: Tensor, forcing: Tensor | None = None) -> Tensor:
        return state.clone()

"""White noise on the state that a forecast starts from: what keeps a trained rollout stable.

x' = x + a σ_c n,   n ~ N(0, 1) at every cell, or what a truncation keeps of that

A network that has seen only states of the data meets its own errors in a rollout, and lets them
grow. Noise of a tenth of the increments, on input alone, teaches it to take them out.
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from sciml.contracts import UserError


@final
class InputNoise(nn.Module):
    """Adds noise to a state `[B, C, *grid]`; another one for every sample.

    Args:
        scale: `[C]` σ_c, in the units of the channels: the increments' standard deviation.
        amplitude: a.
        harmonics: transform whose truncation the noise is projected on, as the model's states are.

    Raises:
        UserError: an amplitude that is negative, a method in place of the transform.
    """

    def __init__(
        self,
        scale: Any,
        amplitude: float = 0.1,
        harmonics: Any = None,
    ) -> None:
        super().__init__()
        if amplitude < 0:
            raise UserError(f"noise: expected amplitude >= 0, got {amplitude}")
        if harmonics is not None and not hasattr(harmonics, "project"):
            raise UserError(
                f"noise: expected a transform that projects, got {harmonics!r:.60}; give the "
                "Harmonics itself, so that it moves and is cast with the objective"
            )
        self.amplitude, self.harmonics = amplitude, harmonics
        held = torch.as_tensor(scale).to(torch.get_default_dtype())
        self.register_buffer("scale", held, persistent=False)

    def forward(
        self, state: Float[Tensor, "b c *grid"], generator: Generator | None = None
    ) -> Float[Tensor, "b c *grid"]:
        """The state with noise from `generator`, from the default one where None."""
        device = state.device if generator is None else generator.device
        noise = torch.randn(state.shape, generator=generator, dtype=state.dtype, device=device)
        noise = noise.to(state.device)
        if self.harmonics is not None:
            noise = self.harmonics.project(noise)
        size = (self.amplitude * self.scale).to(state.dtype)
        return state + size.view(-1, *[1] * (state.ndim - 2)) * noise

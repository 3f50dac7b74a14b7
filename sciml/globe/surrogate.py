"""A trained forecaster to be carried away: one state in, the state one time step on out.

A state `[n, C, *grid]` has its channels as columns, those of the forcing at its time after them.
Whoever has the bundle makes a forecast by feeding the output in again.
"""

from typing import final

import torch
from torch import Tensor, nn

from sciml.contracts import Surrogate
from sciml.globe.data import Forecasts

#: States of the stored sample.
SAMPLE = 2


@final
class OneStep(nn.Module):
    """x `[n, C + F, *grid]` → `[n, C, *grid]`: state and forcing as the columns of one input.

    Args:
        model: `(state, forcing) -> state`.
        channels: C.
        forcings: F.
    """

    def __init__(self, model: nn.Module, channels: int, forcings: int) -> None:
        super().__init__()
        self.model, self.parts = model, [channels, forcings]

    def forward(self, x: Tensor) -> Tensor:
        state, forcing = x.split(self.parts, 1)
        return self.model(state, forcing if self.parts[1] else None)


def surrogate(data: Forecasts, model: nn.Module) -> Surrogate:
    """What an exporter needs of a forecaster, with states of the test split as sample.

    Args:
        data: has the channels, the grid and the forcing.
        model: `(state [B, C, *grid], forcing [B, F, *grid] | None) -> state`.
    """
    channels = data.archive.channels
    outputs = {c.name: {"units": c.units, "long_name": c.long_name or c.name} for c in channels}
    forcings = {name: {"units": "1", "long_name": name.replace("_", " ")} for name in data.forcings}
    sample = _sample(data)
    device, dtype = next((p.device, p.dtype) for p in model.parameters())
    return Surrogate(
        module=OneStep(model, len(channels), len(forcings)),
        sample=sample.to(device, dtype),
        inputs={**outputs, **forcings},
        outputs=outputs,
    )


def _sample(data: Forecasts) -> Tensor:
    """`[SAMPLE, C + F, *grid]`: the first state of each of some windows, or of one and the next."""
    window = next(iter(data.test_dataloader()))
    states = window.state.flatten(0, 1)[:SAMPLE]
    if window.forcing is None:
        return states
    return torch.cat([states, window.forcing.flatten(0, 1)[:SAMPLE]], 1)

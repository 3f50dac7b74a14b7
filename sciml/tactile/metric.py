"""What a fit to a recording reports: errors in pixels and newtons, and of constants that are known.

marker_error = √mean |Δ pixels|², force_error = √mean |Δ force|²; value/E, rel_error/E …
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from sciml.tactile.data import Seen
from sciml.tactile.model import Simulation


@final
class Errors:
    """`contracts.Metric` of an identification.

    Args:
        truth: name → value of constants that are known, for recordings of a simulation.
    """

    def __init__(self, truth: Mapping[str, float] | None = None) -> None:
        self.truth = dict(truth or {})

    def statistics(self, model: Simulation, batch: Seen) -> dict[str, tuple[Tensor, Tensor]]:
        values = model.values()
        observed = model.simulate(values)
        one = torch.ones((), dtype=torch.float64)
        pixels = (observed.markers - batch.markers)[1:].square().sum(-1)
        newtons = (observed.wrench[:, :3] - batch.force)[1:].square().sum(-1)
        found = {
            "marker": (pixels.sum(), one * pixels.numel()),
            "force": (newtons.sum(), one * newtons.numel()),
        }
        for name, value in values.items():
            if not value.ndim:
                found[f"value/{name}"] = (value, one)
        return found

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        found = {
            "marker_error": means["marker"] ** 0.5,
            "force_error": means["force"] ** 0.5,
        }
        for key, value in means.items():
            if key.startswith("value/"):
                name = key.removeprefix("value/")
                found[key] = value
                if name in self.truth:
                    found[f"rel_error/{name}"] = abs(value / self.truth[name] - 1)
        return found

"""How far a simulation is from what was recorded, in units of the noise.

    markers = mean ((pixels - recorded)/σ_m)²        force = mean ((force - recorded)/σ_f)²

Both are 1 where nothing but the noise is left.
"""

from typing import final

from torch import Tensor, nn

from sciml.contracts import LossTerms
from sciml.tactile.data import Seen
from sciml.tactile.model import Simulation
from sciml.tactile.scene import Observed


@final
class Misfit(nn.Module):
    """Loss terms of identification; the same as residuals for Gauss-Newton methods."""

    terms = ("markers", "force")

    def forward(self, model: Simulation, batch: Seen) -> LossTerms:
        found = residuals(model(), batch)
        return {name: rows.square().mean() for name, rows in found.items()}

    def residuals(self, model: Simulation, batch: Seen) -> dict[str, Tensor]:
        """Rows `[n]` whose mean squares are the terms."""
        return residuals(model(), batch)


def residuals(observed: Observed, seen: Seen) -> dict[str, Tensor]:
    """Differences in units of the noise, all times after the start."""
    markers = (observed.markers - seen.markers)[1:] / seen.marker_noise
    force = (observed.wrench[:, :3] - seen.force)[1:] / seen.force_noise
    return {"markers": markers.reshape(-1), "force": force.reshape(-1)}

"""How far a simulation is from what was recorded, in units of the noise.

    markers = mean ((pixels - recorded)/σ_m)²        force = mean ((force - recorded)/σ_f)²
    variation_E = V(E)                               of a field E, see `variation`

The first two are 1 where nothing but the noise is left.
"""

from collections.abc import Callable, Mapping
from typing import final

from torch import Tensor, nn

from sciml.contracts import LossTerms
from sciml.tactile.data import COMPARED, Seen
from sciml.tactile.model import Simulation
from sciml.tactile.scene import Observed


@final
class Misfit(nn.Module):
    """Loss terms of identification; the same as residuals for Gauss-Newton methods.

    Args:
        variations: unknown field → rows whose mean square is how much it varies.
        compared: "markers", "force", or both.
    """

    def __init__(
        self,
        variations: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        compared: tuple[str, ...] = COMPARED,
    ) -> None:
        super().__init__()
        self.variations = dict(variations or {})
        self.terms = (*compared, *(f"variation_{name}" for name in self.variations))

    def forward(self, model: Simulation, batch: Seen) -> LossTerms:
        return {n: rows.square().mean() for n, rows in self.residuals(model, batch).items()}

    def residuals(self, model: Simulation, batch: Seen) -> dict[str, Tensor]:
        """Rows `[n]` whose mean squares are the terms."""
        values = model.values()
        found = residuals(model.simulate(values), batch)
        for name, variation in self.variations.items():
            found[f"variation_{name}"] = variation(values[name])
        return found


def residuals(observed: Observed, seen: Seen) -> dict[str, Tensor]:
    """Differences of what is compared in units of the noise, all times after the start."""
    markers = (observed.markers - seen.markers)[1:] / seen.marker_noise
    force = (observed.wrench[:, :3] - seen.force)[1:] / seen.force_noise
    found = {"markers": markers.reshape(-1), "force": force.reshape(-1)}
    return {name: found[name] for name in seen.compared}

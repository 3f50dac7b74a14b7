"""A small network that learns in minutes: messages are filters steered by the edge's direction.

    x_c = [(s - climatology), ζ, δ, carried - s, carried ζ - ζ]/units, sin φ, cos φ, forcing
    h_n = MLP[q_n, mean_e (W f_e) ∘ (W x_s)]                   to the mesh
    h   ← h + LayerNorm MLP[h, mean_e (W f_e) ∘ (W h_s)]       layer by layer
    y_c = MLP[x_c, mean_e (W f_e) ∘ (W h_s)]                   to the grid
    s'  = resolved(s, increment_std · y without the mean of what is conserved)

"carried" is what the air brings along the great-circle trajectory of the state's own wind. Nothing
depends on longitude but the mesh itself. One-step training wants noise of 0.1 to 0.2 increments on
the state that comes in, not on the target (`globe.noise`): without it forecasts blow up within two
days.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.contracts import UserError
from sciml.weather.columns import Columns, forcing_names
from sciml.weather.frames import Grid, Points
from sciml.weather.graphs import Connection, nearest_sources, nearest_targets, on_mesh
from sciml.weather.inputs import Inputs
from sciml.weather.mesh import Mesh, icosahedral
from sciml.weather.messages import Edges, FilterMessages, FilterUpdate, SplitLinear
from sciml.weather.resolved import ConservedMean, Resolved
from sciml.weather.scaling import Scaling, Statistics, cells_first, grid_last


@final
class FilterNetwork(nn.Module):
    """`(state [B, C, *grid], forcing [B, F, *grid]) -> state` one time step on, physical units.

    Args:
        grid: of the state.
        channels: `.names`, `.pairs()` and an iteration over what has a `.level`.
        statistics: of the same channels.
        harmonics: of the grid; without them there are no ζ, δ and nothing is cut.
        forcings: names of the F forcings, or F.
        time_step: seconds.
        width: channels of nodes and messages.
        layers: rounds on the mesh.
        refinement: of the mesh, or a mesh.
        encoder, decoder: from the cells to the nodes and back.
        conserved: names of the channels whose global mean stays.
        advected: whether what the air carries is an input.
        resolved: whether the state is cut to the resolved space.
        gains: whether the change has a learned gain by degree there.
        radius: of the sphere, metres.

    Raises:
        UserError: channels that differ from the statistics', or unknown conserved channels.
    """

    def __init__(
        self,
        grid: Grid,
        channels: Any,
        statistics: Statistics,
        harmonics: Harmonics | None = None,
        forcings: int | Sequence[str] = 0,
        time_step: float = 21600.0,
        width: int = 64,
        layers: int = 6,
        refinement: int | Mesh = 3,
        encoder: Connection | None = None,
        decoder: Connection | None = None,
        conserved: Sequence[str] = (),
        advected: bool = True,
        resolved: bool = True,
        gains: bool = True,
        radius: float = 6.371e6,
    ) -> None:
        super().__init__()
        names, total = tuple(channels.names), len(channels)
        _require_channels(names, tuple(statistics.names), conserved)
        self.scaling = Scaling(statistics)
        advection_step = time_step if advected else None
        self.inputs = Inputs(grid, channels, statistics, harmonics, advection_step, radius)
        self.mass = None
        if conserved:
            self.mass = ConservedMean(grid.area, [names.index(n) for n in conserved], total)
        cut = resolved and harmonics is not None
        self.resolved = Resolved(harmonics, channels.pairs(), total, gains) if cut else None

        mesh = icosahedral(refinement) if isinstance(refinement, int) else refinement
        cells, nodes = Points.of(grid), mesh.points
        into = (encoder or nearest_targets(2))(cells, nodes)
        out = (decoder or nearest_sources(3))(nodes, cells)
        around = on_mesh(mesh)
        self.into, self.around, self.out = Edges(into), Edges(around), Edges(out)
        for name, points in (("cells", cells), ("nodes", nodes)):
            phi = np.radians(points.lat)
            static = torch.from_numpy(np.stack([np.sin(phi), np.cos(phi)], -1)).float()
            self.register_buffer(name, static[:, None], persistent=False)
        place = ("sine of latitude", "cosine of latitude")
        self.columns = Columns((*self.inputs.names, *forcing_names(forcings), *place), names)
        features = len(self.columns.inputs)
        self.encoder = FilterMessages(into, features, width)
        self.start = nn.ModuleList([SplitLinear((2, width), width), _rest(width, width)])
        self.messages = nn.ModuleList(FilterMessages(around, width, width) for _ in range(layers))
        self.updates = nn.ModuleList(FilterUpdate(width) for _ in range(layers))
        self.decoder = FilterMessages(out, width, width)
        self.finish = nn.ModuleList([SplitLinear((features, width), width), _rest(width, total)])
        nn.init.zeros_(self.finish[1][-1].weight)
        nn.init.zeros_(self.finish[1][-1].bias)

    def forward(
        self,
        state: Float[Tensor, "b c *grid"],
        forcing: Float[Tensor, "b f *grid"] | None = None,
    ) -> Float[Tensor, "b c *grid"]:
        change = self.change(state, forcing)
        if self.mass is not None:
            change = self.mass(change)
        return state + change if self.resolved is None else self.resolved(state, change)

    def change(self, state: Tensor, forcing: Tensor | None = None) -> Float[Tensor, "b c *grid"]:
        """What the network adds to a state over the time step, before mass and cut."""
        x = self.inputs(state)
        x = cells_first(x if forcing is None else torch.cat([x, forcing], 1))
        x = torch.cat([x, self.cells.expand(-1, x.shape[1], -1)], -1)
        h = self.start[1](self.start[0](self.nodes, self.encoder(x, self.into)))
        for messages, update in zip(self.messages, self.updates, strict=True):
            h = update(h, messages(h, self.around))
        y = self.finish[1](self.finish[0](x, self.decoder(h, self.out)))
        return grid_last(y.to(state.dtype) * self.scaling.increment_std, state.shape[2:])

    def channel_axes(self) -> dict[str, tuple[int, str]]:
        """Parameters whose rows or columns are channels (`partial.Named`)."""
        return {
            "encoder.sender.weight": (1, "inputs"),
            "finish.0.weights.0": (1, "inputs"),
            "finish.1.1.weight": (0, "outputs"),
            "finish.1.1.bias": (0, "outputs"),
        }

    def place(
        self,
        model: nn.Module,
        objective: Any,
        batches: Sequence[Any],
        average: Callable[[Tensor], Tensor],
    ) -> None:
        """Measure the units of the inputs over the states of the first step (`Placed`), once."""
        self.inputs.measure([(batch.state[:, 0], batch.counts) for batch in batches], average)


def _rest(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.GELU(), nn.Linear(width, outputs))


def _require_channels(
    names: tuple[str, ...], known: tuple[str, ...], conserved: Sequence[str]
) -> None:
    if names != known:
        raise UserError(
            f"network: expected statistics of the channels {', '.join(names)}, "
            f"got those of {', '.join(known)}; make them anew from this channel list"
        )
    strange = [name for name in conserved if name not in names]
    if strange:
        raise UserError(
            f"network: expected conserved channels among {', '.join(names)}, got {strange[0]!r}"
        )

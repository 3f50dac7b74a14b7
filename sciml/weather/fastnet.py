"""FastNet: one state in, the change over a time step out, by messages on an icosahedral mesh.

    x_c   = [(s - mean)/std, forcing]                      at the cells c of the grid
    h_n   = MLP[q_n, Σ_{c→n} MLP[q_cn, x_c]]               to the mesh: each cell to 2 nodes
    e     ← e + MLP[e, h_s],   h_n ← MLP[h_n, Σ_e e]       16 times, e = MLP[q_e] at first
    y_c   = MLP[x_c, Σ_{n→c} MLP[q_nc, h_n]]               to the grid: each cell from 3 nodes
    s'    = s + std · MLP[y_c]

Messages do not see the receiver, edges are residual, nodes are not. MLP is linear, ReLU, linear,
ReLU, LayerNorm; the last one linear, ReLU, linear. q are two static features: sine and cosine of
latitude at a node, displacement to east and north, as the receiver sees it, on an edge (that there
are two is published, which two is not). The cell's own x_c enters its update in the decoder, and
nothing but the mesh edges is embedded first: with both, the preset has 62.2 M parameters, as is
published.

Source: Met Office FastNet v1.1, model card of its public checkpoint; T. Dunstan et al., "FastNet:
improving the physical consistency of machine-learning weather prediction models through loss
function design" (2025), arXiv:2509.17601.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sciml.weather.columns import Columns, forcing_names
from sciml.weather.frames import Grid, Points
from sciml.weather.graphs import Connection, Graph, nearest_sources, nearest_targets, on_mesh
from sciml.weather.mesh import Mesh, icosahedral
from sciml.weather.messages import AdditiveMessages, Edges, NodeUpdate, after_first
from sciml.weather.scaling import Scaling, Statistics, cells_first, grid_last

#: Static features of a node and of an edge.
NODE, EDGE = 2, 2


@final
class FastNet(nn.Module):
    """`(state [B, C, *grid], forcing [B, F, *grid]) -> state` one time step on, physical units.

    Args:
        grid: anything with `.cells` and `.shape`.
        statistics: mean and st.dev. of every channel.
        forcings: names of the F forcings, or F.
        width: channels of nodes and edges.
        layers: of the processor.
        refinement: of the mesh, or a mesh.
        encoder, decoder: from the cells to the nodes and back.
        receiver: messages see the receiver too, as in GraphCast.
        by_increment: the output is in units of the increment's st.dev. instead of the state's.
        checkpointing: each layer is evaluated again in the backward pass instead of kept.
    """

    def __init__(
        self,
        grid: Grid,
        statistics: Statistics,
        forcings: int | Sequence[str] = 0,
        width: int = 768,
        layers: int = 16,
        refinement: int | Mesh = 5,
        encoder: Connection | None = None,
        decoder: Connection | None = None,
        receiver: bool = False,
        by_increment: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        mesh = icosahedral(refinement) if isinstance(refinement, int) else refinement
        cells, nodes = Points.of(grid), mesh.points
        self.scaling = Scaling(statistics)
        self.by_increment = by_increment
        names = self.scaling.names
        self.columns = Columns((*names, *forcing_names(forcings)), names)
        inputs, channels = len(self.columns.inputs), len(names)
        into = (encoder or nearest_targets(2))(cells, nodes)
        out = (decoder or nearest_sources(3))(nodes, cells)
        self.encoder = Crossing(into, inputs, NODE, width, receiver)
        self.processor = Processor(on_mesh(mesh), width, layers, receiver, checkpointing)
        self.decoder = Crossing(out, width, inputs, width, receiver)
        self.output = nn.Sequential(nn.Linear(width, width), *after_first(width, channels))
        phi = np.radians(nodes.lat)
        static = torch.from_numpy(np.stack([np.sin(phi), np.cos(phi)], -1)).float()[:, None]
        self.register_buffer("nodes", static, persistent=False)

    def forward(
        self,
        state: Float[Tensor, "b c *grid"],
        forcing: Float[Tensor, "b f *grid"] | None = None,
    ) -> Float[Tensor, "b c *grid"]:
        x = self.scaling.normalised(state)
        x = cells_first(x if forcing is None else torch.cat([x, forcing], 1))
        h = self.processor(self.encoder(x, self.nodes))
        change = self.output(self.decoder(h, x)).to(state.dtype)
        unit = self.scaling.increment_std if self.by_increment else self.scaling.std
        return state + grid_last(change * unit, state.shape[2:])

    def channel_axes(self) -> dict[str, tuple[int, str]]:
        """Parameters whose rows or columns are channels (`partial.Named`)."""
        axes = {
            "encoder.messages.first.weights.1": (1, "inputs"),
            "decoder.update.first.weights.0": (1, "inputs"),
            "decoder.messages.first.weights.2": (1, "inputs"),
            "output.2.weight": (0, "outputs"),
            "output.2.bias": (0, "outputs"),
        }
        own = dict(self.named_parameters())
        return {name: axis for name, axis in axes.items() if name in own}


@final
class Crossing(nn.Module):
    """MLP[h_r, Σ_e MLP[q_e, h_s]]: from one set of points to the other.

    Args:
        sender, target: channels of the points that send and receive.
    """

    def __init__(
        self, graph: Graph, sender: int, target: int, width: int, receiver: bool = False
    ) -> None:
        super().__init__()
        self.edges = Edges(graph)
        self.register_buffer("static", _features(graph), persistent=False)
        self.messages = AdditiveMessages(EDGE, sender, width, target if receiver else 0)
        self.update = NodeUpdate(target, width, width)

    def forward(
        self, h_s: Float[Tensor, "ns b cs"], h_r: Float[Tensor, "nr _ cr"]
    ) -> Float[Tensor, "nr b width"]:
        _, total = self.messages(self.static, h_s, h_r, self.edges)
        return self.update(h_r, total)


@final
class Processor(nn.Module):
    """`layers` rounds of messages on the mesh."""

    def __init__(
        self, graph: Graph, width: int, layers: int, receiver: bool, checkpointing: bool
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.edges = Edges(graph)
        self.register_buffer("static", _features(graph), persistent=False)
        self.embedding = nn.Sequential(nn.Linear(EDGE, width), *after_first(width))
        self.layers = nn.ModuleList(Layer(width, receiver) for _ in range(layers))

    def forward(self, h: Float[Tensor, "n b width"]) -> Float[Tensor, "n b width"]:
        e = self.embedding(self.static)
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                e, h = checkpoint(layer, e, h, self.edges, use_reentrant=False)
            else:
                e, h = layer(e, h, self.edges)
        return h


@final
class Layer(nn.Module):
    """e ← e + MLP[e, h_s],  h ← MLP[h, Σ_e e]."""

    def __init__(self, width: int, receiver: bool = False) -> None:
        super().__init__()
        self.messages = AdditiveMessages(width, width, width, width if receiver else 0, True)
        self.update = NodeUpdate(width, width, width)

    def forward(
        self, e: Float[Tensor, "e _ c"], h: Float[Tensor, "n b c"], edges: Edges
    ) -> tuple[Float[Tensor, "e b c"], Float[Tensor, "n b c"]]:
        e, total = self.messages(e, h, h, edges)
        return e, self.update(h, total)


def _features(graph: Graph) -> Tensor:
    return torch.from_numpy(graph.displacement).float()[:, None]

"""Messages along the edges of a fixed graph; tensors are `[node or edge, batch, channel]`.

Additive, learned per edge (FastNet, GraphCast):

    e' = e + MLP[e, h_s (, h_r)],      h' = MLP[h_r, Σ_e e']

The first layer of the MLP on a concatenation is a sum, W[e, h_s, h_r] = W_e e + W_s h_s + W_r h_r,
so that the products with h are taken at the nodes, of which there are some eight times fewer than
edges, and gathered afterwards. Where e is still the static feature of the edge, it has a batch of
one and W_e e costs nothing.

Multiplicative, steered by the direction of the edge:

    m = (W f_e) ∘ (W_s h_s),           h' = h + LayerNorm MLP[h, mean_e m]

f_e depends on geometry alone, so the filter W f_e is shared by the batch and no product with a
matrix is taken on the edges of each sample.

Nodes come first: a gathered row is then contiguous.
"""

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sciml.weather.additive import Ends, Weights, additive_sum
from sciml.weather.filtered import filtered_sum
from sciml.weather.graphs import Graph


@final
class Edges(nn.Module):
    """The indices of a graph on the device; sums follow in float32 whatever the messages are."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.targets = len(graph.targets)
        source, target = torch.from_numpy(graph.source), torch.from_numpy(graph.target)
        degree = torch.bincount(target, minlength=self.targets)
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("target", target, persistent=False)
        #: Messages per target where every target gets the same number, else 0.
        self.uniform = int(degree[0]) if bool((degree == degree[0]).all()) else 0

    def senders(self, h: Float[Tensor, "n b c"]) -> Float[Tensor, "e b c"]:
        """The value of each edge's sender."""
        return h.index_select(0, self.source)

    def receivers(self, h: Float[Tensor, "n b c"]) -> Float[Tensor, "e b c"]:
        """The value of each edge's receiver."""
        return h.index_select(0, self.target)

    def sum(self, messages: Float[Tensor, "e b c"]) -> Float[Tensor, "n b c"]:
        """Σ over the edges into each node."""
        if messages.dtype in (torch.bfloat16, torch.float16):
            messages = messages.float()
        if self.uniform:
            return messages.unflatten(0, (-1, self.uniform)).sum(1)
        total = messages.new_zeros(self.targets, *messages.shape[1:])
        return total.index_add(0, self.target, messages)


def linear(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """W x + b. Where W has few columns it is handed over row by row: the gradient's product of two
    tall matrices then comes in the order that is several times faster on processors."""
    if W.shape[1] >= 32 or x.device.type != "cpu":
        return functional.linear(x, W, b)
    rows = W.T.contiguous()
    return x @ rows if b is None else x @ rows + b


@final
class SplitLinear(nn.Module):
    """W [x_1, x_2, …] + b, as Σ_i W_i x_i + b: the parts may stand at different places.

    Args:
        inputs: channels of each part.
        outputs: channels.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        whole = nn.Linear(sum(inputs), outputs)  # initialised as one matrix
        parts = whole.weight.detach().split(inputs, dim=1)
        self.weights = nn.ParameterList(part.clone() for part in parts)
        self.bias = whole.bias

    def part(self, number: int, x: Tensor) -> Tensor:
        """W_i x_i."""
        return linear(x, self.weights[number])

    def forward(self, *x: Tensor) -> Tensor:
        first = linear(x[0], self.weights[0], self.bias)
        return sum((self.part(i, part) for i, part in enumerate(x[1:], 1)), first)

    def concatenated(self, *x: Tensor) -> Tensor:
        """The same by one matrix on the concatenation."""
        return functional.linear(torch.cat(x, -1), torch.cat(list(self.weights), 1), self.bias)


def after_first(width: int, outputs: int | None = None) -> nn.Sequential:
    """What follows an MLP's first layer: ReLU, linear, and where `outputs` is None, ReLU, norm."""
    if outputs is not None:
        return nn.Sequential(nn.ReLU(), nn.Linear(width, outputs))
    last = (nn.ReLU(), nn.LayerNorm(width))
    return nn.Sequential(nn.ReLU(), nn.Linear(width, width), *last)


@final
class AdditiveMessages(nn.Module):
    """m = MLP[e, h_s (, h_r)] on every edge of a graph, and their sum into each node.

    Args:
        edge, sender: channels of the edge and of the node that sends.
        receiver: channels of the node that receives; its state is no input where 0.
        width: channels of the message.
        residual: e + m are kept, and summed, in place of m.
    """

    def __init__(
        self, edge: int, sender: int, width: int, receiver: int = 0, residual: bool = False
    ) -> None:
        super().__init__()
        self.first = SplitLinear((edge, sender, *([receiver] if receiver else [])), width)
        self.rest = after_first(width)
        self.residual = residual

    def forward(
        self,
        e: Float[Tensor, "e _ ce"],
        h_s: Float[Tensor, "ns b cs"],
        h_r: Float[Tensor, "nr _ cr"],
        edges: Edges,
    ) -> tuple[Float[Tensor, "e b width"] | None, Float[Tensor, "nr b width"]]:
        """(e + m, their sums), or (None, the sums of m)."""
        batch = h_s.shape[1]
        received = None
        if len(self.first.weights) == 3:
            received = self.first.part(2, h_r).expand(-1, batch, -1)
        first, second, norm = self.first, self.rest[1], self.rest[3]
        after = (second.weight, second.bias, norm.weight, norm.bias)
        weights = Weights(first.weights[0], first.bias, *after)
        ends = Ends(edges.source, edges.target, edges.targets)
        sent, e = self.first.part(1, h_s), e.expand(-1, batch, -1)
        return additive_sum(e, sent, received, weights, ends, self.residual)

    def concatenated(
        self, e: Tensor, h_s: Tensor, h_r: Tensor, edges: Edges
    ) -> tuple[Tensor | None, Tensor]:
        """The same with products on the edges: what the identity is tested and timed against."""
        batch = h_s.shape[1]
        e = e.expand(-1, batch, -1)
        parts = [e, edges.senders(h_s)]
        if len(self.first.weights) == 3:
            parts.append(edges.receivers(h_r.expand(-1, batch, -1)))
        m = self.rest(self.first.concatenated(*parts))
        m = e + m if self.residual else m
        return m if self.residual else None, edges.sum(m)


@final
class NodeUpdate(nn.Module):
    """MLP[h_r, a] of a node's state and the sum of its messages; no residual.

    Args:
        node, message: channels of the two.
        width: channels of the result.
    """

    def __init__(self, node: int, message: int, width: int) -> None:
        super().__init__()
        self.first = SplitLinear((node, message), width)
        self.rest = after_first(width)

    def forward(
        self, h: Float[Tensor, "n _ c"], total: Float[Tensor, "n b m"]
    ) -> Float[Tensor, "n b width"]:
        return self.rest(self.first(h, total))


@final
class FilterMessages(nn.Module):
    """mean_e (W f_e) ∘ (W_s h_s), neighbours weighed by their closeness.

    Args:
        graph: its `directions` are f_e.
        sender: channels of the node that sends.
        width: channels of the message.
    """

    def __init__(self, graph: Graph, sender: int, width: int) -> None:
        super().__init__()
        f = torch.from_numpy(graph.directions).float()
        f = f / f.square().mean(0).sqrt().clamp(min=1e-6)
        share = torch.from_numpy(graph.share).float()[:, None]
        self.register_buffer("directions", f * share, persistent=False)  # a sum is then the mean
        self.filter = nn.Linear(f.shape[1], width, bias=False)
        self.sender = nn.Linear(sender, width)

    def forward(self, h: Float[Tensor, "n b c"], edges: Edges) -> Float[Tensor, "m b width"]:
        sent = linear(h, self.sender.weight, self.sender.bias)
        ends = (edges.source, edges.target, edges.targets)
        return filtered_sum(self.directions, self.filter.weight, sent, *ends)


@final
class FilterUpdate(nn.Module):
    """h' = h + LayerNorm MLP[h, a] of a node's state and the mean of its messages."""

    def __init__(self, width: int, activation: Callable[[], nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.first = SplitLinear((width, width), width)
        self.rest = nn.Sequential(activation(), nn.Linear(width, width), nn.LayerNorm(width))

    def forward(
        self, h: Float[Tensor, "n _ c"], mean: Float[Tensor, "n b c"]
    ) -> Float[Tensor, "n b c"]:
        return h + self.rest(self.first(h, mean))

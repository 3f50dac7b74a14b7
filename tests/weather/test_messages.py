"""Messages: the split product is the concatenating one, sums by brute force, precision of sums."""

import pytest
import torch

from sciml.calculus.sphere import gauss
from sciml.weather import additive, filtered
from sciml.weather.frames import Points
from sciml.weather.graphs import nearest_sources, nearest_targets, on_mesh
from sciml.weather.mesh import icosahedral
from sciml.weather.messages import AdditiveMessages, Edges, FilterMessages, SplitLinear
from tests.weather import planets

GRAPHS = {
    "mesh": on_mesh(icosahedral(1)),
    "up": nearest_targets(2)(Points.of(planets.octahedral(4)), icosahedral(1).points),
    "down": nearest_sources(3)(icosahedral(1).points, Points.of(gauss(6))),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("receiver", [0, 5])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("way", ["blocks", "whole"])
def test_split_product_is_the_concatenating_one(
    name: str, receiver: int, residual: bool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and all gradients, in blocks of some edges and in one piece."""
    monkeypatch.setattr(filtered, "BLOCK", 400)
    if way == "whole":
        monkeypatch.setattr(additive, "blockwise", lambda *_: False)
    graph, edge = GRAPHS[name], 8 if residual else 3
    edges, messages = Edges(graph), AdditiveMessages(edge, 4, 8, receiver, residual).double()
    torch.nn.init.normal_(messages.rest[3].weight)
    e = torch.randn(len(graph), 1, edge, dtype=torch.float64, requires_grad=True)
    h_s = torch.randn(len(graph.sources), 2, 4, dtype=torch.float64, requires_grad=True)
    h_r = torch.randn(len(graph.targets), 1, 5, dtype=torch.float64, requires_grad=True)
    of = [e, h_s, *([h_r] if receiver else []), *messages.parameters()]
    gradients = []
    for form in (messages, messages.concatenated):
        parts = [part for part in form(e, h_s, h_r, edges) if part is not None]
        assert len(parts) == 1 + residual
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parts]
        gradients.append(parts + list(torch.autograd.grad(parts, of, weights)))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", GRAPHS)
def test_sums_by_brute_force(name: str) -> None:
    graph = GRAPHS[name]
    edges, m = Edges(graph), torch.randn(len(graph), 2, 3)
    total = torch.zeros(len(graph.targets), 2, 3)
    for edge, target in enumerate(graph.target):
        total[target] += m[edge]
    torch.testing.assert_close(edges.sum(m), total)


def test_sums_of_bf16_are_taken_in_float32() -> None:
    """256 + 1 is 256 in bfloat16."""
    cells = Points.of(gauss(32))
    graph = nearest_targets(1)(cells, icosahedral(0).points)
    edges = Edges(graph)
    total = edges.sum(torch.ones(len(graph), 1, 1, dtype=torch.bfloat16))
    assert total.dtype == torch.float32 and float(total.sum()) == len(graph) > 257


def test_split_linear_starts_like_one_matrix() -> None:
    torch.manual_seed(0)
    split = SplitLinear((30, 2), 64)
    torch.manual_seed(0)
    whole = torch.nn.Linear(32, 64)
    torch.testing.assert_close(torch.cat(list(split.weights), 1), whole.weight)


def test_filter_messages_by_brute_force() -> None:
    graph = GRAPHS["up"]
    edges, messages = Edges(graph), FilterMessages(graph, 4, 6)
    h = torch.randn(len(graph.sources), 2, 4)
    f = torch.from_numpy(graph.directions)
    filters = messages.filter((f / f.square().mean(0).sqrt()).float())
    expected = torch.zeros(len(graph.targets), 2, 6)
    for edge, (s, t) in enumerate(zip(graph.source, graph.target, strict=True)):
        expected[t] += filters[edge] * messages.sender(h[s]) * graph.share[edge]
    torch.testing.assert_close(messages(h, edges), expected)


@pytest.mark.parametrize("block", [1, 100, 10_000])
def test_sums_in_blocks_are_sums(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Value and gradients of the blocks against gather, product and sum on all edges at once."""
    monkeypatch.setattr(filtered, "BLOCK", block)
    graph = GRAPHS["up"]
    source, target = torch.from_numpy(graph.source), torch.from_numpy(graph.target)
    shapes = (len(graph), 5), (3, 5), (len(graph.sources), 2, 3)
    of = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    f, W, h = of
    ours = filtered.filtered_sum(f, W, h, source, target, len(graph.targets))
    theirs = torch.zeros_like(ours).index_add(0, target, (f @ W.T)[:, None] * h[source])
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    for a, b in zip(*(torch.autograd.grad(y, of, weight) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)

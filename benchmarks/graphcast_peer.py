"""Processors that see the receiver: ours beside PhysicsNeMo's GraphCast, forward and backward.

Both on the same icosahedral mesh with the edges of all levels, width and depth; theirs with its
concat trick (products at the nodes, gathered and summed by a compiled kernel), sums of messages by
torch_scatter, and ReLU as ours has. Their layers hold 2 linear maps and a norm for edges and for
nodes, ours the same and one more ReLU each. Neither embeds anything: states of nodes and edges in,
states of nodes out.

To be run where both can be imported, in an environment of its own:

    pip install nvidia-physicsnemo[gnns] && PYTHONPATH=. python benchmarks/graphcast_peer.py

CPU-milliseconds of one thread, minimum and median of rounds taken in turn. Prints a table and
writes benchmarks/results/graphcast_peer.json.
"""

import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from physicsnemo.models.graphcast.graph_cast_processor import GraphCastProcessor
from torch_geometric.data import Data

from sciml.weather.fastnet import Layer
from sciml.weather.graphs import on_mesh
from sciml.weather.mesh import icosahedral
from sciml.weather.messages import Edges

RESULT = Path(__file__).parent / "results" / "graphcast_peer.json"
#: (refinement, width), layers, rounds.
SIZES, LAYERS, ROUNDS = ((4, 64), (4, 128)), 4, 15


def ways(refinement: int, width: int) -> dict:
    """Name → a call that takes one step forward and backward."""
    torch.manual_seed(0)
    graph = on_mesh(icosahedral(refinement))
    ends = Edges(graph)
    ours = torch.nn.ModuleList(Layer(width, receiver=True) for _ in range(LAYERS))
    nodes, edges = len(graph.targets), len(graph)
    h = torch.randn(nodes, 1, width, requires_grad=True)
    weight = torch.randn(nodes, width)
    concat, trick = (theirs(width, flag) for flag in (False, True))
    e = torch.randn(edges, width, requires_grad=True)
    index = torch.stack([ends.source, ends.target])
    data = Data(edge_index=index, num_nodes=nodes)

    def step_ours() -> None:
        edge, node = e[:, None], h
        for layer in ours:
            edge, node = layer(edge, node, ends)
        torch.autograd.grad(node[:, 0], [h, e, *ours.parameters()], weight)

    def step_theirs(model: GraphCastProcessor) -> None:
        found = model(e, h[:, 0], data)[1]
        torch.autograd.grad(found, [h, e, *model.parameters()], weight)

    return {
        "physicsnemo, concat": lambda: step_theirs(concat),
        "physicsnemo, concat trick": lambda: step_theirs(trick),
        "sciml": step_ours,
    }


def theirs(width: int, trick: bool) -> GraphCastProcessor:
    return GraphCastProcessor(
        processor_layers=LAYERS,
        input_dim_nodes=width,
        input_dim_edges=width,
        hidden_dim=width,
        activation_fn=torch.nn.ReLU(),
        do_concat_trick=trick,
    )


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'R':>3s} {'width':>5s}  {'processor':26s} {'min ms':>8s} {'median':>8s}  faster")
    rows = []
    for refinement, width in SIZES:
        found = ways(refinement, width)
        seconds: dict[str, list[float]] = {name: [] for name in found}
        for way in found.values():
            way()  # compiles
        for _ in range(ROUNDS):
            for name, way in found.items():
                start = time.process_time()
                way()
                seconds[name].append(time.process_time() - start)
        peer = statistics.median(seconds["physicsnemo, concat trick"])
        for name, values in seconds.items():
            low, middle = (1e3 * of(values) for of in (min, statistics.median))
            faster = 1e3 * peer / middle
            rows.append(
                {"refinement": refinement, "width": width, "way": name, "layers": LAYERS}
                | {"cpu_ms_min": low, "cpu_ms_median": middle, "faster": faster}
            )
            print(f"{refinement:3d} {width:5d}  {name:26s} {low:8.1f} {middle:8.1f} {faster:6.2f}x")
    names = ("torch", "nvidia-physicsnemo", "torch_geometric")
    host = {"machine": platform.machine(), "threads": 1} | {n: version(n) for n in names}
    RESULT.write_text(json.dumps({"host": host, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Cost of one layer of a mesh network, forward and backward, by how its messages are computed.

A layer of FastNet (messages of [edge, sender]) and one with receiver as in GraphCast, on an
icosahedral mesh with the edges of all levels, 60 (4^{R+1} - 1)/3 of them:

    pyg concat   torch_geometric's MessagePassing on [edge, sender (, receiver)]; where installed
    concat       the same in plain torch
    split        products with nodes taken at the nodes and gathered, in one piece
    blocks       split, a block of edges at a time: what `sciml.weather` does on a processor
    … compiled   by torch.compile

    python benchmarks/message_passing.py [--quick]

CPU-milliseconds of one thread, minimum and median of rounds in which every way takes its turn, so
that a busy machine burdens them alike. All ways give the same numbers, which is checked first.
Prints a table and writes benchmarks/results/message_passing.json.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from sciml.weather import additive
from sciml.weather.fastnet import Layer
from sciml.weather.graphs import on_mesh
from sciml.weather.mesh import icosahedral
from sciml.weather.messages import Edges

try:
    from torch_geometric.nn import MessagePassing
except ImportError:
    MessagePassing = None

RESULT = Path(__file__).parent / "results" / "message_passing.json"


def ways(layer, edges, compiled):
    """Name → `(e, h) -> (e, h)`, all with the parameters of `layer`."""
    update = layer.update

    def after(e, total, h):
        return e, update.rest(update.first.concatenated(h, total))

    def concat(e, h):
        e, total = layer.messages.concatenated(e, h, h, edges)
        return after(e, total, h)

    def whole(e, h):
        usual, additive.blockwise = additive.blockwise, lambda *_: False
        try:
            return layer(e, h, edges)
        finally:
            additive.blockwise = usual

    found = {"concat": concat, "split": whole, "blocks": lambda e, h: layer(e, h, edges)}
    if MessagePassing is not None:
        convolution = geometric(layer.messages)
        index = torch.stack([edges.source, edges.target])

        def pyg(e, h):
            total, e = convolution(h[:, 0], index, e[:, 0])
            return after(e[:, None], total[:, None], h)

        found = {"pyg concat": pyg} | found
    if compiled:
        found |= {f"{name} compiled": torch.compile(found[name]) for name in ("concat", "split")}
    return found


def geometric(messages):
    """The layer's messages as a user of torch_geometric would write them."""
    receiver = len(messages.first.weights) == 3

    class Convolution(MessagePassing):
        def __init__(self):
            super().__init__(aggr="sum", node_dim=0)
            self.after = None

        def forward(self, h, index, e):
            total = self.propagate(index, h=h, e=e, size=None)
            return total, self.after

        def message(self, h_i, h_j, e):
            parts = (e, h_j, h_i) if receiver else (e, h_j)
            self.after = e + messages.rest(messages.first.concatenated(*parts))
            return self.after

    return Convolution()


def step(way, e, h, of, weights):
    return torch.autograd.grad(way(e, h), of, weights)


@torch.no_grad()
def require_same(found, e, h):
    """Every way's values against the concatenating form's, in the norm."""
    exact = found["concat"](e, h)
    for name, way in found.items():
        for ours, theirs in zip(way(e, h), exact, strict=True):
            error = float((ours - theirs).norm() / theirs.norm())
            assert error < 1e-5, f"{name} differs by {error:.1e}"


def measure(refinement, width, receiver, rounds, compiled):
    torch.manual_seed(0)
    graph = on_mesh(icosahedral(refinement))
    edges, layer = Edges(graph), Layer(width, receiver)
    e = torch.randn(len(graph), 1, width, requires_grad=True)
    h = torch.randn(len(graph.targets), 1, width, requires_grad=True)
    weights = (torch.randn_like(e), torch.randn_like(h))
    args = (e, h, [e, h, *layer.parameters()], weights)
    found = ways(layer, edges, compiled)
    require_same(found, e, h)
    seconds = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            start = time.process_time()
            step(way, *args)
            seconds[name].append(time.process_time() - start)
    form = "receiver" if receiver else "FastNet"
    peer = seconds.get("pyg concat", seconds["concat"])
    rows = []
    for name, values in seconds.items():
        low, middle = (1e3 * of(values) for of in (min, statistics.median))
        faster = statistics.median(peer) / statistics.median(values)
        row = {"refinement": refinement, "width": width, "form": form, "way": name}
        rows.append(row | {"cpu_ms_min": low, "cpu_ms_median": middle, "faster": faster})
        print(
            f"{refinement:3d} {width:5d}  {form:9s} {name:16s} {low:8.1f} {middle:8.1f} "
            f"{faster:6.2f}x",
            flush=True,
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="refinement 3, no compiler")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    if MessagePassing is None:
        print("torch_geometric is not installed: ratios are to the same form in plain torch")
    print(f"{'R':>3s} {'width':>5s}  {'form':9s} {'way':16s} {'min ms':>8s} {'median':>8s}  faster")
    sizes = [(3, 64)] if quick else [(4, 64), (4, 128)]
    rows = []
    for refinement, width in sizes:
        for receiver in (True, False):
            rows += measure(refinement, width, receiver, 10 if quick else 40, not quick)
    versions = {"torch": torch.__version__, "threads": 1, "machine": platform.machine()}
    if MessagePassing is not None:
        import torch_geometric

        versions["torch_geometric"] = torch_geometric.__version__
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"host": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

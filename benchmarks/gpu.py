"""What a GPU does with a step: PINN by form of derivatives and as a CUDA graph, FastNet, a press.

    python benchmarks/gpu.py [--quick]

Milliseconds between events of the device, medians of rounds; the press is wall-clock of the
processor, where its mechanics is. Utilisation is counted operations over time and the bf16 peak
given by --peak (TFLOP/s), the number that `scaling_plan.UTILISATION` assumes.
Writes benchmarks/results/gpu.json. Without a GPU it says so in one line and ends with 0, so that
`make bench` goes on.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from sciml import compose

RESULT = Path(__file__).parent / "results" / "gpu.json"


def milliseconds(work, rounds: int = 20, warm: int = 5) -> float:
    """Median time of `work()` on the device."""
    seconds = []
    for n in range(warm + rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        if n >= warm:
            seconds.append(begin.elapsed_time(end))
    return statistics.median(seconds)


def pinn(derivatives: str, points: int, graphed: bool = False) -> float:
    """A step of helmholtz_2d/m1: terms, gradient, Adam."""
    words = [f"derivatives={derivatives}", f"sampling.points.residual={points}"]
    parts = compose.build(compose.compose("helmholtz_2d/m1", words))
    device, system = torch.device("cuda"), parts.system
    model, objective = system.model.to(device, torch.float32), system.objective.to(device)
    batch = next(iter(system.data.train_dataloader(0, 0, 1))).to(device, torch.float32)
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.Adam(parameters.values(), 1e-3, capturable=True)

    def step() -> None:
        terms = objective(model, batch)
        gradients = torch.autograd.grad(sum(terms.values()), list(parameters.values()))
        for parameter, gradient in zip(parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    if not graphed:
        return milliseconds(step)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return milliseconds(graph.replay)


def fastnet(batch: int, checkpointing: bool) -> dict[str, float]:
    """Forward pass and step of O96/768/16 in bf16-mixed; operations and most memory."""
    import numpy as np
    from scaling_plan import CHANNELS, FORCINGS, GRIDS, counted, network

    cells, refinement = GRIDS["O96"]
    flop, _ = counted(network(cells, refinement), cells)
    net = network(cells, refinement, device="cuda")
    net.processor.checkpointing = checkpointing
    rng = np.random.default_rng(0)
    state, forcing = (
        torch.tensor(rng.normal(size=(batch, c, cells)), dtype=torch.float32, device="cuda")
        for c in (CHANNELS, FORCINGS)
    )

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            net(state, forcing)

    def step() -> None:
        net.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = net(state, forcing).square().mean()
        loss.backward()

    torch.cuda.reset_peak_memory_stats()
    found = {"forward_ms": milliseconds(forward, 10), "step_ms": milliseconds(step, 10)}
    found["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    found["tflop_s"] = batch * flop / 1e9 / found["step_ms"]
    return found


def press() -> float:
    """Wall-clock milliseconds of tactile_press."""
    parts = compose.build(compose.compose("tactile_press", ["trainer=gpu"]))
    start = time.perf_counter()
    with torch.no_grad():
        parts.system.model()
    return 1e3 * (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size of each")
    parser.add_argument("--peak", type=float, help="dense bf16 peak of the device, TFLOP/s")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: no GPU is visible, nothing is measured", file=sys.stderr)
        return 0
    found: dict = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "pinn": []}
    for points in (1024,) if asked.quick else (128, 1024, 16384):
        for form, graphed in (("autograd", False), ("taylor", False), ("compiled", False),
                              ("taylor", True)):  # fmt: skip
            row = {"points": points, "derivatives": form, "graph": graphed}
            found["pinn"].append(row | {"step_ms": pinn(form, points, graphed)})
            print(found["pinn"][-1], flush=True)
    found["fastnet_o96"] = {}
    for batch in (1,) if asked.quick else (1, 2, 4):
        row = found["fastnet_o96"][f"batch {batch}"] = fastnet(batch, checkpointing=True)
        if asked.peak:
            row["utilisation"] = row["tflop_s"] / asked.peak
        print(batch, row, flush=True)
    found["press_ms"] = press()
    print("press", found["press_ms"])
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a training step costs on N GPUs, on paper: compute, all-reduce, file system, memory.

    t_compute = F B / (u P)                      F operations a sample, B samples a GPU, peak P
    t_reduce  = 2 (g - 1) α_in + 2 ⌈log2(N/g)⌉ α_out + 2 (N - 1)/N · S/β      S bytes of gradients
    β         = NVLink of one GPU within a node (N <= g), else all network cards of the node
    exposed   = t_reduce - overlap · (2/3 t_compute), not below zero     (2/3: the backward pass)
    efficiency = t_compute / max(t_compute + exposed, t_read)
    t_read    = N B W / R                        W bytes of a window, R bytes/s of the file system

Operations and activations are counted on our own networks, without their memory; hardware figures
are of public sources; what is neither is an assumption and is named one. `docs/scaling.md` holds
the tables, `python benchmarks/scaling.py --plan` writes them.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from weather_costs import Live

from sciml.weather.fastnet import FastNet

#: Share of the peak that matrix products reach, and of a link's peak that an all-reduce does;
#: seconds of one message within a node and between nodes: assumptions.
UTILISATION, LINK, ALPHA_IN, ALPHA_OUT = 0.3, 0.8, 5e-6, 15e-6
#: Bytes of a parameter in training: float32 weight, gradient, two moments of Adam.
WEIGHT, TRAINED = 4, 16
FLOAT = 4


@dataclass(frozen=True)
class Machine:
    """A node and what stands behind it; bytes/s and FLOP/s, peaks, one direction.

    Args:
        peak: dense bf16 of one GPU.
        memory: of one GPU, bytes.
        gpus: of a node, g.
        nvlink: of one GPU.
        network: of one node.
        files: of the whole file system.
    """

    name: str
    peak: float
    memory: float
    gpus: int
    nvlink: float
    network: float
    files: float


#: Four A100 and four Slingshot 11 cards a node (docs.nersc.gov/systems/perlmutter/architecture),
#: 200 Gbit/s each; 312 TFLOP/s, NVLink 300 GB/s each way (data sheet); 5 TB/s (www.nersc.gov).
A100 = Machine("A100, four a node", 312e12, 40e9, 4, 300e9, 100e9, 5e12)
#: H100 SXM: 989 TFLOP/s dense, NVLink 450 GB/s each way (data sheet); eight a node, each with a
#: 400 Gbit/s InfiniBand card, is NVIDIA's DGX H100. The file system is the one above, to compare.
H100 = Machine("H100, eight a node", 989e12, 80e9, 8, 450e9, 400e9, 5e12)
NUMBERS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Load:
    """What a step of a network asks for.

    Args:
        parameters: P.
        flop: F of a sample, forward and backward.
        window: W, bytes read for a sample.
        activations: bytes kept for the backward pass of a sample; None where not counted.
        batch: samples of a published step; None where none is public.
    """

    name: str
    parameters: int
    flop: float
    window: float
    activations: float | None
    batch: int | None

    @property
    def gradients(self) -> float:
        """S: float32, as they are averaged."""
        return FLOAT * self.parameters

    @property
    def state(self) -> float:
        """Weights, gradients and moments on every GPU that shares nothing."""
        return TRAINED * self.parameters

    @property
    def checkpoint(self) -> float:
        """Weights and two moments."""
        return (TRAINED - FLOAT) * self.parameters


def reduce_time(machine: Machine, size: float, ranks: int) -> float:
    """Seconds of an all-reduce of `size` bytes over `ranks` GPUs."""
    if ranks == 1:
        return 0.0
    within, nodes = min(ranks, machine.gpus), math.ceil(ranks / machine.gpus)
    # a ring for each card of a node, which carries its share of the bytes
    beta = machine.nvlink if nodes == 1 else min(machine.nvlink, machine.network)
    latency = 2 * (within - 1) * ALPHA_IN + 2 * math.ceil(math.log2(nodes)) * ALPHA_OUT
    return latency + 2 * (ranks - 1) / ranks * size / (LINK * beta)


def compute_time(machine: Machine, load: Load, batch: float) -> float:
    """Seconds of forward and backward pass of `batch` samples on one GPU."""
    return load.flop * batch / (UTILISATION * machine.peak)


def plan(machine: Machine, load: Load, ranks: int, batch: float = 1, overlap: bool = False) -> dict:
    """One row: times of a step, efficiency, what is read a second."""
    compute, reduced = (
        compute_time(machine, load, batch),
        reduce_time(machine, load.gradients, ranks),
    )
    exposed = max(0.0, reduced - overlap * 2 / 3 * compute)
    reading = ranks * batch * load.window / machine.files
    step = max(compute + exposed, reading)
    return {
        "gpus": ranks, "compute_ms": 1e3 * compute, "reduce_ms": 1e3 * reduced,
        "step_ms": 1e3 * step, "efficiency": compute / step,
        "read_gb_s": ranks * batch * load.window / step / 1e9,
        "samples_s": ranks * batch / step,
    }  # fmt: skip


# ---- networks -----------------------------------------------------------------------------------

#: Cells and channels of ERA5 on the grids that FastNet is published on, and the mesh: 5 refinements
#: on O96 are published, 6 on N320 are an assumption.
GRIDS = {"O96": (40_320, 5), "N320": (542_080, 6)}
CHANNELS, FORCINGS = 72, 12


@cache
def fastnet(grid: str, rollout: int = 1) -> Load:
    """FastNet, width 768, 16 layers, on O96 or N320, as counted; each layer is made again in the
    backward pass, as in the case, and each step of a longer rollout once more."""
    cells = GRIDS[grid][0]
    parameters, forward, flop, kept = once(grid)
    return Load(
        name=f"FastNet {grid}" + (f", {rollout} steps" if rollout > 1 else ""),
        parameters=parameters,
        flop=rollout * (flop + (forward if rollout > 1 else 0)),
        window=FLOAT * CHANNELS * cells * (rollout + 1),
        activations=kept,
        batch=16,
    )


@cache
def once(grid: str) -> tuple[int, float, float, float]:
    """Parameters, operations of a forward pass and of a step, bytes that live in a step."""
    net = network(*GRIDS[grid])
    forward, _ = counted(net, GRIDS[grid][0], backward=False)
    return sum(p.numel() for p in net.parameters()), forward, *counted(net, GRIDS[grid][0])


def network(
    cells: int, refinement: int, width: int = 768, layers: int = 16, device: str = "meta"
) -> FastNet:
    """The network on so many points spread evenly over the sphere: how many they are is what
    costs. On "meta" it is without its numbers."""
    n = np.arange(cells) + 0.5
    lat, lon = np.degrees(np.arcsin(1 - 2 * n / cells)), 180 * (1 + 5**0.5) * n % 360
    grid = SimpleNamespace(shape=(cells,), cells=(lat, lon))
    names = tuple(f"c{i}" for i in range(CHANNELS))
    one = np.ones(CHANNELS)
    statistics = SimpleNamespace(names=names, mean=one, std=one, increment_std=one, climatology=one)
    with torch.device("meta" if device == "meta" else "cpu"):
        net = FastNet(grid, statistics, FORCINGS, width, layers, refinement, checkpointing=True)
    return net.to(device)


def counted(net: torch.nn.Module, cells: int, backward: bool = True) -> tuple[float, float]:
    """Operations of a step of training on one sample, and the most bytes that live in it beside
    weights, in float32."""
    with torch.device("meta"):
        state, forcing = torch.empty(1, CHANNELS, cells), torch.empty(1, FORCINGS, cells)
    with FlopCounterMode(display=False) as operations, Live() as live:
        if backward:
            net(state, forcing).square().mean().backward()
            net.zero_grad()
        else:
            with torch.no_grad():
                net(state, forcing)
    return float(operations.get_total_flops()), float(live.peak)


#: GLONET's three networks on 672 x 1440: parameters and operations of a forward pass, counted from
#: its public code (without Fourier transforms); three times that for training. A day is 329 MB.
GLONET = Load("GLONET 1/4°", 121_000_000, 3 * 7.90e12, 2 * 329e6, None, None)


def transformer(parameters: int, tokens: int, width: int, layers: int, window: int) -> float:
    """Operations of a step on one sample: 6 P n for the products with weights, 12 L n m w for
    attention to m tokens, forward and backward."""
    return 6.0 * parameters * tokens + 12.0 * layers * tokens * window * width


#: Prithvi WxC (arXiv:2409.13598): 2.3 G parameters, 30 layers of width 2560, 360 x 576 points in
#: patches of 2 x 2, half of them masked; units of 30 x 32 points, so 240 tokens to attend to, or
#: 216 units. 160 channels at two times, and a target.
TOKENS = 360 * 576 // 4
PRITHVI = Load(
    "Prithvi WxC", 2_366_633_600, transformer(2_366_633_600, TOKENS // 2, 2560, 30, 240),
    FLOAT * 160 * 360 * 576 * 3, None, 64,
)  # fmt: skip


def networks() -> list[Load]:
    """What the tables are of."""
    return [fastnet("O96"), fastnet("O96", 7), fastnet("N320"), GLONET, PRITHVI]


# ---- tables and picture -------------------------------------------------------------------------


def described(loads: list[Load]) -> list[dict]:
    """What each asks for: operations, bytes."""
    return [
        {
            "network": load.name, "parameters / M": load.parameters / 1e6,
            "TFLOP a sample": load.flop / 1e12, "gradients / MB": load.gradients / 1e6,
            "checkpoint / GB": load.checkpoint / 1e9,
            "activations / GB": None if load.activations is None else load.activations / 1e9,
            "window / MB": load.window / 1e6,
        }
        for load in loads
    ]  # fmt: skip


def planned(loads: list[Load]) -> list[dict]:
    """Every network on every machine and number of GPUs, one sample a GPU."""
    return [
        {"network": load.name, "machine": machine.name, "overlap": overlap}
        | plan(machine, load, ranks, overlap=overlap)
        for load in loads
        for machine in (A100, H100)
        for overlap in (False, True)
        for ranks in NUMBERS
    ]


def limits(loads: list[Load]) -> list[dict]:
    """What lies on each GPU, GB, and how many GPUs the published batch gives a sample each."""
    rows = []
    for load in loads:
        kept = load.activations
        row = {
            "network": load.name,
            "state, DDP": load.state / 1e9,
            "state, FSDP on 64": load.state / 64 / 1e9,
            "with activations, DDP": None if kept is None else (load.state + kept) / 1e9,
            "GPUs by the published batch": load.batch,
        }
        rows.append(row)
    return rows


def strong(loads: list[Load]) -> list[dict]:
    """A published batch shared by more and more GPUs, down to one sample on each."""
    return [
        {
            "network": load.name, "GPUs": n, "samples on each": load.batch // n,
            "step / ms": row["step_ms"], "efficiency / %": 100 * row["efficiency"],
        }
        for load in loads
        if load.batch
        for n in NUMBERS
        if n <= load.batch
        for row in [plan(A100, load, n, load.batch / n)]
    ]  # fmt: skip


def weak(rows: list[dict]) -> list[dict]:
    """Of the planned rows those of A100, without and with overlap side by side."""
    own = [r for r in rows if r["machine"] == A100.name and r["gpus"] in (4, 16, 64, 256, 1024)]
    under = {(r["network"], r["gpus"]): r for r in own if r["overlap"]}
    return [
        {
            "network": r["network"], "GPUs": r["gpus"], "compute / ms": r["compute_ms"],
            "all-reduce / ms": r["reduce_ms"], "efficiency / %": 100 * r["efficiency"],
            "with overlap / %": 100 * under[r["network"], r["gpus"]]["efficiency"],
            "read / GB/s": r["read_gb_s"],
        }
        for r in own
        if not r["overlap"]
    ]  # fmt: skip


def all_tables() -> dict:
    """Everything in `docs/scaling.md` that is computed, printed on the way."""
    loads = networks()
    rows = planned(loads)
    shown = {
        "described": described(loads), "weak": weak(rows), "strong": strong(loads),
        "limits": limits(loads),
    }  # fmt: skip
    for name, some in shown.items():
        print(f"\n{name}\n{table(some)}")
    return {"planned": rows, **shown}


def table(rows: list[dict]) -> str:
    """In Markdown, three digits."""

    def form(x: object) -> str:
        return "—" if x is None else x if isinstance(x, str) else f"{x:.{3 if x < 1e3 else 4}g}"

    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(form, r.values())) + " |" for r in rows)])


def draw(rows: list[dict], path: Path) -> None:
    """Efficiency against the number of GPUs, one sample a GPU."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True, layout="constrained")
    for axis, machine in zip(axes, (A100, H100), strict=True):
        own = [r for r in rows if r["machine"] == machine.name]
        for number, name in enumerate(dict.fromkeys(r["network"] for r in own)):
            for overlap, line in ((False, "-"), (True, "--")):
                some = [r for r in own if r["network"] == name and r["overlap"] is overlap]
                axis.semilogx(
                    [r["gpus"] for r in some], [100 * r["efficiency"] for r in some], line,
                    color=f"C{number}", base=2, label=None if overlap else name,
                )  # fmt: skip
        axis.set(title=machine.name, xlabel="number of GPUs", ylim=(55, 101))
        axis.set_xticks(NUMBERS, [str(n) for n in NUMBERS], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("parallel efficiency / %")
    axes[0].plot([], [], "k--", label="all-reduce under the backward pass")
    axes[0].legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=130)
    plt.close(figure)

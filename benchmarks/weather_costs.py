"""Costs of the weather system: generator, share of the spectral loss, wait for data, memory.

    python benchmarks/weather_costs.py      prints them; benchmarks/weather.py records them

On the row `weather_shallow_water/mse`, one thread; the set is made where it is not there yet.
"""

import json
import os
import statistics
import tempfile
import time
import weakref
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sciml import compose
from sciml.contracts import System
from sciml.globe.data import Window
from sciml.weather.simulate.make import shallow_water

#: Steps whose memory is compared.
STEPS = (1, 7)


def costs() -> dict:
    """Generator, share of the spectral loss, wait for data, memory of rollouts."""
    return {
        "generator_cpu_ms": generator(),
        "msh_share": msh_share(),
        "loader_share": loader_share(),
        "memory_mib": {
            f"system.checkpoint={form}": {str(n): memory(n, form == "true") for n in STEPS}
            for form in ("true", "false")
        },
    }


def generator() -> float:
    """CPU-milliseconds of the shallow-water simulator per six hours and member, 64 × 128."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        shallow_water(
            Path(folder) / "set.zarr", train=10, validation=1, test=1, days=9, spin_up=3, dt=1200
        )
        return 1e3 * (time.process_time() - start) / (12 * 12 * 4)


def prepared(row: str, steps: int) -> tuple[System, Window]:
    """A row's parts in training, and its first window, of so many steps."""
    system = compose.build(compose.compose(f"weather_shallow_water/{row}", [])).system
    system.model.train()
    system.objective.train()
    system.data.configure(rollout=steps)
    system.objective.configure(rollout=steps)
    return system, first(system)


def first(system: System) -> Window:
    batch = next(iter(system.data.train_dataloader(0, 0, 1)))
    return batch.to(torch.device("cpu"), torch.float32)


def step(system: System, batch: Window) -> None:
    """Forward and backward pass."""
    sum(system.objective(system.model, batch).values()).backward()


def msh_share(rounds: int = 9) -> dict[str, float]:
    """The loss's share of a training step of the row msh_gradient, by steps of the rollout."""
    found = {}
    for steps in (1, 4):
        system, batch = prepared("msh_gradient", steps)
        system.objective.configure(rollout=steps, terms=["msh_gradient"])
        loss = system.objective.named.losses["msh_gradient"]
        target = batch.state[:, 1 : steps + 1]
        prediction = (1.01 * target).requires_grad_()
        shares = []
        for _ in range(rounds):
            begin = time.process_time()
            step(system, batch)
            between = time.process_time()
            loss(prediction, target).backward()
            shares.append((time.process_time() - between) / (between - begin))
        found[str(steps)] = statistics.median(shares)
    return found


def loader_share(steps: int = 40) -> float:
    """Wall-clock share of a training step that waits for the next window."""
    system, _ = prepared("mse", 1)
    batches = iter(system.data.train_dataloader(0, 0, 1))
    waited, begin = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches).to(torch.device("cpu"), torch.float32)
        waited += time.perf_counter() - asked
        step(system, batch)
    return waited / (time.perf_counter() - begin)


def memory(steps: int, checkpointed: bool) -> float:
    """MiB of the tensors that live at once in a training step of so many rollout steps."""
    system, batch = prepared("mse", steps)
    system.objective.checkpoint = checkpointed
    step(system, batch)
    system.model.zero_grad()
    with Live() as live:
        step(system, batch)
    return live.peak / 2**20


class Live(TorchDispatchMode):
    """Bytes of all tensors that operations have made and nothing has let go: now, and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen = weakref.WeakSet()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and one.untyped_storage() not in self.seen:
                self.add(one.untyped_storage())
        return made

    def add(self, storage: torch.UntypedStorage) -> None:
        self.seen.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.remove, storage.nbytes())

    def remove(self, size: int) -> None:
        self.now -= size


def main() -> None:
    torch.set_num_threads(1)
    print(json.dumps(costs(), indent=1))


if __name__ == "__main__":
    main()

"""One rank of `scaling.py`, in a process of its own: trains, or reduces messages, and is timed."""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

POINTS, WINDOWS = 2048, 4
#: Steps that are not counted: the first ones warm up.
WARM = 5
#: Bytes of the messages of the sweep.
SIZES = [4 * 4**k for k in range(1, 13)]


def words(case: str, share: float, steps: int) -> tuple[str, list[str]]:
    """The case and its overrides, with `share` of a whole batch."""
    if case == "pinn":
        n = int(POINTS * share)
        walls = [f"sampling.points.{s}={n // 8}" for s in ("left", "right", "bottom", "top")]
        return "helmholtz_2d/m1", [
            f"sampling.points.residual={n}", *walls, "derivatives=taylor",
            "network.width=128", f"phases.adam.steps={steps}",
        ]  # fmt: skip
    return "weather_shallow_water/fastnet", [
        f"windows.batch={int(WINDOWS * share)}", "archive.make.n_lat=32", "archive.make.train=4",
        "archive.make.validation=1", "archive.make.test=1", "archive.make.days=4",
        "archive.make.spin_up=1", "archive.make.dt=1800", "system.truncation=20",
        "windows.split.train=[0,4]", "windows.split.validation=[4,5]",
        "windows.split.test=[5,6]", f"phases.one_step.steps={steps}", "~phases.two_steps",
        "~phases.fine_tuning", "phases.one_step.schedule.warmup=1",
        "evaluation.steps=[1,4]", "evaluation.degrees=[3]",
    ]  # fmt: skip


def main(asked: dict) -> None:
    """Trains, or reduces messages, and prints what it took as the last line."""
    import torch

    if not torch.cuda.is_available() and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[asked["rank"] % len(cores)]})
    torch.set_num_threads(1)
    found = {}
    for turn in range(asked["repeats"]):
        if asked["ranks"] > 1:
            found[f"sweep {turn}"] = swept(asked)
        for name, case, share in asked["jobs"]:
            found[f"{name} {turn}"] = trained(case, share, asked)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    print(json.dumps(found), flush=True)


def trained(what: str, share: float, asked: dict) -> dict:
    import pytorch_lightning as pl
    import torch
    import torch.distributed as dist

    from sciml import compose
    from sciml.training.run import train

    case, overrides = words(what, share, asked["steps"])
    gpu = torch.cuda.is_available() and torch.cuda.device_count() >= asked["ranks"]
    ranks = f"trainer.{'devices' if gpu else 'nodes'}={asked['ranks']}"
    overrides += [f"trainer={'gpu' if gpu else 'cpu'}", ranks, "trainer.threads=1"]
    overrides += [f"trainer.{every}_every=100000" for every in ("save", "validate", "log")]
    reduced = {"s": 0.0, "bytes": 0}
    plain = dist.all_reduce

    def timed(tensor, *args, **keys):
        start = time.perf_counter()
        answer = plain(tensor, *args, **keys)
        if tensor.is_cuda:
            torch.cuda.synchronize()
        reduced["s"] += time.perf_counter() - start
        reduced["bytes"] += tensor.numel() * tensor.element_size()
        return answer

    class Clock(pl.Callback):
        def __init__(self):
            self.steps, self.cpu, self.reduce, self.bytes = [], [], [], []

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.world_size > 1:
                trainer.strategy.barrier()
            self.before = time.perf_counter(), time.process_time(), dict(reduced)

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            start, cpu, before = self.before
            self.steps.append(time.perf_counter() - start)
            self.cpu.append(time.process_time() - cpu)
            self.reduce.append(reduced["s"] - before["s"])
            self.bytes.append(reduced["bytes"] - before["bytes"])

    clock = Clock()
    parts = compose.build(compose.compose(case, overrides))
    object.__setattr__(parts.settings, "callbacks", (clock,))
    with tempfile.TemporaryDirectory() as folder:
        dist.all_reduce = timed
        try:
            train(parts.system, parts.balancer, parts.phases, parts.settings, Path(folder))
        finally:
            dist.all_reduce = plain
    lists = {"step": clock.steps, "cpu": clock.cpu, "reduce": clock.reduce, "bytes": clock.bytes}
    return {name: statistics.median(values[WARM:]) for name, values in lists.items()}


def swept(asked: dict) -> dict:
    """Seconds of the all-reduce of each size, median over rounds."""
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available() and torch.cuda.device_count() >= asked["ranks"]
    device = torch.device("cuda", asked["rank"]) if gpu else torch.device("cpu")
    if not dist.is_initialized():  # training goes on in the group that it finds
        dist.init_process_group("nccl" if gpu else "gloo")
    found = {}
    for size in SIZES:
        tensor, seconds = torch.ones(size // 4, device=device), []
        for _ in range(20 if size < 2**22 else 8):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(tensor)
            if gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        found[str(size)] = statistics.median(seconds[2:])
    return found


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

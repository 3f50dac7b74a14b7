"""What gradients through many steps of the tactile simulator need, and how right they are.

    python benchmarks/tactile_adjoint.py                     both parts, then the tables
    python benchmarks/tactile_adjoint.py --part memory       bytes a node and step, peak of all
    python benchmarks/tactile_adjoint.py --part differences  against central differences
    python benchmarks/tactile_adjoint.py --table             the tables of what has been run

A ball is pressed into a gel block, slid and turned with friction. Memory: of a mesh of 20,000
unknowns; stored is what torch and the trajectory hold between forward and backward pass, the peak
is that of a whole process. Differences: of a smaller mesh through 100 steps, along one direction of
every input.
"""

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import torch

from sciml import atomic
from sciml.tactile import materials
from sciml.tactile.contact import Ball, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BDF2, BackwardEuler, Newton, Simulator, Trajectory

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/tactile_adjoint.json"
SCHEMES = {"increments": None, "backward Euler": BackwardEuler(2e-3), "BDF2": BDF2(2e-3)}


class Press:
    """A ball of 6 mm pressed 0.8 mm into a block, slid 0.4 mm and turned by 0.1 rad."""

    def __init__(self, scheme: str, cells: tuple[int, int, int], newton: Newton | None = None):
        elements = Elements(block((0.02, 0.02, 0.01), cells), 1)
        self.contact = RigidContact(elements, "top", Ball(0.006), 1e9)
        terms = [self.contact]
        self.simulator = Simulator(elements, ["bottom"], SCHEMES[scheme], terms, newton)

    def inputs(self, steps: int) -> dict[str, torch.Tensor]:
        stations = (
            pose((0.0102, 0.0097, 0.0161)),
            pose((0.0102, 0.0097, 0.0153)),
            pose((0.0106, 0.0099, 0.0153), (0.0, 0.0, 0.1)),
        )
        numbers = {"E": 2e5, "nu": 0.42, "mu": 0.4}
        found = {name: torch.tensor(value).double() for name, value in numbers.items()}
        return {**found, "path": path(*stations, steps=(steps // 2, steps - steps // 2))}

    def __call__(self, at: dict[str, torch.Tensor], **options: Any) -> Trajectory:
        steps = len(at["path"]) - 1
        parameters = [(at["path"], at["mu"].expand(steps + 1))]
        material = materials.neo_hookean(at["E"], at["nu"])
        return self.simulator(material, steps, None, parameters, **options)

    def wrench(self, moment: Any) -> torch.Tensor:
        return self.contact.wrench(*moment.acting[0])

    def loss(self, found: Trajectory) -> torch.Tensor:
        seen = torch.from_numpy(np.random.default_rng(0).normal(size=found.u[-1].shape))
        scale = torch.tensor([1.0, 1.0, 1.0, 100.0, 100.0, 100.0]).double()
        wrench = self.wrench(found.moments[-1])
        return (seen * found.u[-1]).sum() * 1e3 + (scale * wrench).square().sum()


# ---- memory -------------------------------------------------------------------------------------


@dataclass(eq=False)
class Kept:
    """What torch holds for the backward pass."""

    tensor: torch.Tensor


def memory(scheme: str, steps: int, checkpoints: bool) -> dict[str, float]:
    """Of one simulation and its gradient in this process; with checkpoints, wrenches are kept."""
    press = Press(scheme, (20, 20, 15))
    at = {name: value.requires_grad_() for name, value in press.inputs(steps).items()}
    alive: weakref.WeakSet[Kept] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> Kept:
        kept = Kept(tensor.detach())
        alive.add(kept)
        return kept

    options = {"checkpoints": True, "observe": press.wrench} if checkpoints else {}
    begun = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        found = press(at, **options)
    forward = time.process_time() - begun
    gc.collect()
    tensors = [kept.tensor for kept in alive]
    for moment in found.moments:
        tensors += [moment.u, moment.holding, *(t for own in moment.acting for t in own)]
    storages = [tensor.untyped_storage() for tensor in tensors]
    stored = sum({s.data_ptr(): s.nbytes() for s in storages}.values())
    torch.autograd.grad(press.loss(found), list(at.values()))
    return {
        "unknowns": int(press.simulator.body.pattern.free.size), "steps": steps,
        "bytes_per_node_and_step": stored / steps / press.simulator.elements.n,
        "stored_mib": stored / 2**20,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "forward": forward, "gradient": time.process_time() - begun - forward,
    }  # fmt: skip


def apart(scheme: str, steps: int, checkpoints: bool) -> dict[str, float]:
    """`memory` in a process of its own."""
    words = ["--scheme", scheme, "--steps", str(steps), *["--checkpoints"] * checkpoints]
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


# ---- differences --------------------------------------------------------------------------------


def differences(scheme: str, steps: int = 100) -> dict[str, float]:
    """Input → relative difference between its gradient and central differences."""
    press = Press(scheme, (4, 4, 3), Newton(1e-13))
    inputs = press.inputs(steps)
    at = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    slopes = torch.autograd.grad(press.loss(press(at)), list(at.values()))
    rng, found = np.random.default_rng(1), {}
    for (name, value), slope in zip(inputs.items(), slopes, strict=True):
        along, h = value, 1e-5
        if name == "path":
            along, h = 1e-5 * torch.from_numpy(rng.normal(size=tuple(value.shape))), 1e-3
            along[0] = 0  # where it starts is not what the body feels
        with torch.no_grad():
            up, down = (
                float(press.loss(press({**inputs, name: value + s * along}))) for s in (h, -h)
            )
        central = (up - down) / (2 * h)
        found[name] = abs(float((slope * along).sum()) / central - 1)
    return found


# ---- results ------------------------------------------------------------------------------------


def keep(**parts: Any) -> dict[str, Any]:
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= parts
    atomic.write(RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def tables(found: dict[str, Any]) -> str:
    lines = []
    if "memory" in found:
        lines += ["| | unknowns | steps | B a node and step | stored | peak | forward | gradient |"]
        lines += ["|" + "---|" * 8]
        for row, one in found["memory"].items():
            lines.append(
                f"| {row} | {one['unknowns']} | {one['steps']} "
                f"| {one['bytes_per_node_and_step']:.1f} | {one['stored_mib']:.1f} MiB "
                f"| {one['peak_gib']:.2f} GiB | {one['forward']:.0f} s | {one['gradient']:.0f} s |"
            )
    for scheme, one in found.get("differences", {}).items():
        off = ", ".join(f"{name} {value:.1e}" for name, value in one.items())
        lines.append(f"* through 100 steps, {scheme}: {off}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("memory", "differences"))
    parser.add_argument("--steps", type=int, default=1000, help="of the part memory")
    parser.add_argument("--scheme", choices=SCHEMES, help="memory of this process alone, as JSON")
    parser.add_argument("--checkpoints", action="store_true", help="likewise")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.scheme:
        print(json.dumps(memory(options.scheme, options.steps, options.checkpoints)))
        return
    if not options.table and options.part in (None, "memory"):
        rows = {
            f"{scheme}{', checkpoints' * checkpoints}": apart(scheme, options.steps, checkpoints)
            for scheme in ("increments", "backward Euler")
            for checkpoints in (False, True)
        }
        keep(memory=rows)
    if not options.table and options.part in (None, "differences"):
        for scheme in SCHEMES:
            done = keep().get("differences", {})
            keep(differences={**done, scheme: differences(scheme)})
    print(tables(keep()))


if __name__ == "__main__":
    main()

"""What the tactile simulator costs and how right it is, beside what is published of a peer.

    python benchmarks/tactile.py                     all parts, then the tables
    python benchmarks/tactile.py --part press        press, explicit, hertz, transfer … alone
    python benchmarks/tactile.py --table             the tables of what has been run

CPU-seconds of one thread, float64, the best of three runs. The peer is DiffTactile (Si et al.,
arXiv 2403.08716), an explicit simulator whose time grows with the number of stable steps: 107 ns a
tetrahedron and sub-step forward and 435 ns with the gradient, measured by us with Taichi 1.7 on
another machine; its time is that times the steps of 30 µs that such a gel is stable with.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import tactile_explicit
import tactile_identify
import tactile_transfer
import torch

from sciml import atomic
from sciml.tactile import materials
from sciml.tactile.contact import Ball, RigidContact, nearest, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.mesh import Mesh
from sciml.tactile.shapes import block
from sciml.tactile.simulator import BackwardEuler, Simulator
from sciml.tactile.simulator.solver import available

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/tactile.json"
#: Seconds per tetrahedron and sub-step of the peer, forward and forward with gradient; its step, s.
PEER_FORWARD, PEER_BOTH, PEER_STEP = 107e-9, 542e-9, 3e-5
REPEATS, SEEDS = 3, 5


# ---- the press ----------------------------------------------------------------------------------

#: Row → degree, bricks, time step in s (None: increments).
PRESSES: dict[str, tuple[int, tuple[int, int, int], float | None]] = {
    "P1, increments": (1, (10, 10, 8), None),
    "P1, steps of 10 ms": (1, (10, 10, 8), 0.01),
    "P2, increments": (2, (6, 6, 4), None),
    "P2, steps of 10 ms": (2, (6, 6, 4), 0.01),
}


def press(row: str, steps: int = 10) -> dict[str, Any]:
    """A ball pressed 1 mm into a gel block and slid 0.5 mm; loss of forces and displacements."""
    degree, bricks, dt = PRESSES[row]
    elements = Elements(block((0.02, 0.02, 0.01), bricks), degree)
    contact = RigidContact(elements, "top", Ball(0.004), stiffness=5e9)
    scheme = None if dt is None else BackwardEuler(dt)
    simulator = Simulator(elements, ["bottom"], scheme, [contact])
    stations = [pose((0.01, 0.01, z)) for z in (0.014, 0.013)] + [pose((0.0105, 0.01, 0.013))]
    poses = path(*stations, steps=(steps // 2, steps - steps // 2)).requires_grad_()
    E, nu, mu = (torch.tensor(v).double().requires_grad_() for v in (2e5, 0.45, 0.5))
    forward, backward = [], []
    for _ in range(REPEATS + 1):  # the first makes the maps of the mesh
        start = time.process_time()
        found = simulator(
            materials.neo_hookean(E, nu), steps, None, [(poses, mu.expand(steps + 1))]
        )
        there = time.process_time()
        wrench = contact.wrench(*found.acting[-1][0])
        loss = wrench.square().sum() + 1e6 * found.u[-1].square().sum()
        torch.autograd.grad(loss, [E, nu, mu, poses])
        forward.append(there - start)
        backward.append(time.process_time() - there)
    best, gradient = min(forward[1:]), min(backward[1:])
    cells, seconds = len(elements.cells), (1.0 if dt is None else dt * steps)
    peer = PEER_BOTH * cells * seconds / PEER_STEP
    depth = max(-float(contact.gaps(a[0][0], a[0][2]).detach().min()) for a in found.acting)
    return {
        "tets": cells, "unknowns": int(simulator.body.pattern.free.size),
        "newton": sum(found.iterations), "solves": len(found.iterations),
        "most": max(found.iterations), "steps": steps, "forward": best, "gradient": gradient,
        "peer": peer, "ratio": peer / (best + gradient), "penetration_um": 1e6 * depth,
        "gradient_in_newton_iterations": gradient / (best / sum(found.iterations)) / steps,
        "solver": getattr(available(), "__name__", "pardiso"),
    }  # fmt: skip


# ---- Hertz on a bonded pad ----------------------------------------------------------------------


def hertz(nu: float, pressure: bool = False) -> dict[str, float]:
    """A ball on a quarter of a bonded pad against Dimitriadis' formula for finite thickness."""
    R, depth, h, side, E = 8e-3, 1e-4, 3e-3, 6e-3, 2e5
    brick = block((1.0, 1.0, 1.0), (10, 10, 6))
    graded = lambda s: s * (0.25 + 0.75 * s)  # noqa: E731
    x = brick.nodes.copy()
    x[:, :2] = side * graded(x[:, :2])
    x[:, 2] = h * (1 - graded(1 - x[:, 2]))
    named = {name: brick.surface(name) for name in ("bottom", "top", "x0", "y0")}
    elements = Elements(Mesh(x, brick.tets, named), 2)
    contact = RigidContact(elements, "top", Ball(R), stiffness=2e10)
    simulator = Simulator(elements, {"bottom": "xyz", "x0": "x", "y0": "y"}, None, [contact])
    down = path(pose((0.0, 0.0, h + R)), pose((0.0, 0.0, h + R - depth)), steps=4)
    material = materials.linear(E, nu, pressure=pressure)
    found = simulator(material, 4, None, [(down, torch.zeros(5).double())])
    force = 4 * float(contact.wrench(*found.acting[-1][0])[2])
    deepest = -float(contact.gaps(found.u[-1], down[-1]).min())
    return {
        "force": force,
        "theory": dimitriadis(E, nu, R, depth, h),
        "error": force / dimitriadis(E, nu, R, depth, h) - 1,
        "penetration_share": deepest / depth,
    }


def dimitriadis(E: float, nu: float, R: float, depth: float, h: float) -> float:
    """Force, N, of a rigid ball on a layer bonded to a rigid ground.

    Source: E. K. Dimitriadis et al., Biophys. J. 82 (2002) 2798-2810.
    """
    chi = np.sqrt(R * depth) / h
    a = -(1.2876 - 1.4678 * nu + 1.3442 * nu**2) / (1 - nu)
    b = (0.6387 - 1.0277 * nu + 1.5164 * nu**2) / (1 - nu)
    series = (
        1 - 2 * a / np.pi * chi + 4 * a**2 / np.pi**2 * chi**2
        - 8 / np.pi**3 * (a**3 + 4 * np.pi**2 / 15 * b) * chi**3
        + 16 * a / np.pi**4 * (a**3 + 3 * np.pi**2 / 5 * b) * chi**4
    )  # fmt: skip
    return 4 / 3 * E / (1 - nu**2) * np.sqrt(R) * depth**1.5 * series


# ---- search -------------------------------------------------------------------------------------


def search() -> dict[str, float]:
    """CPU-milliseconds for 27,000 points against 1,500 triangles; few near, and all near."""
    import trimesh

    ball = trimesh.creation.uv_sphere(radius=0.01, count=[21, 21])
    triangles = np.asarray(ball.triangles)
    rng = np.random.default_rng(0)
    far = rng.uniform(-0.02, 0.02, (27_000, 3))
    way = rng.normal(size=(27_000, 3))
    near = 0.0101 * way / np.linalg.norm(way, axis=1, keepdims=True)
    found = {"triangles": float(len(triangles))}
    for name, points in (("few near", far), ("all near", near)):
        found[name] = 1e3 * best(lambda points=points: nearest(points, triangles, 2e-4))
    return found


def best(work: Callable[[], Any]) -> float:
    """CPU-seconds, the least of seven."""
    spent = []
    for _ in range(7):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


# ---- start --------------------------------------------------------------------------------------

START = """
import time; begun = time.perf_counter()
import torch; torch.set_num_threads(1)
from sciml.tactile import materials
from sciml.tactile.contact import Ball, RigidContact, path, pose
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import Simulator
imported = time.perf_counter()
elements = Elements(block((0.02, 0.02, 0.01), (10, 10, 8)), 1)
contact = RigidContact(elements, "top", Ball(0.004), 5e9)
simulator = Simulator(elements, ["bottom"], None, [contact])
down = path(pose((0.01, 0.01, 0.014)), pose((0.01, 0.01, 0.0138)), steps=1)
E = torch.tensor(2e5).double().requires_grad_()
found = simulator(materials.neo_hookean(E, 0.45), 1, None, [(down, torch.full((2,), 0.5).double())])
contact.wrench(*found.acting[-1][0])[2].backward()
print(imported - begun, time.perf_counter() - imported, time.process_time())
"""


def start() -> dict[str, float]:
    """Seconds from a new process to the first gradient, the least of three."""
    runs = []
    for _ in range(REPEATS):
        done = subprocess.run(
            [sys.executable, "-c", START], check=True, capture_output=True, text=True
        )
        runs.append([float(word) for word in done.stdout.split()])
    imports, gradient, cpu = min(runs, key=lambda run: run[2])
    return {"imports_s": imports, "first_gradient_s": gradient, "cpu_s": cpu}


# ---- results ------------------------------------------------------------------------------------


def recorded() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(**parts: Any) -> dict[str, Any]:
    found = recorded() | parts
    atomic.write(RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def tables(found: dict[str, Any]) -> str:
    lines = []
    if "press" in found:
        lines += [
            "| press of 10 steps | tets | Newton its (most) | forward | gradient | in Newton its "
            "a step | peer | ratio | penetration |",
            "|" + "---|" * 9,
        ]
        for row, one in found["press"].items():
            lines.append(
                f"| {row} | {one['tets']} | {one['newton']} in {one['solves']} solves "
                f"({one['most']}) | {one['forward']:.2f} s | {one['gradient']:.2f} s | "
                f"{one['gradient_in_newton_iterations']:.1f} | {one['peer']:.1f} s | "
                f"{one['ratio']:.0f} x | {one['penetration_um']:.0f} µm |"
            )
    if "explicit" in found:
        lines += tactile_explicit.table(found["explicit"])
    if "transfer" in found:
        lines += tactile_transfer.table(found["transfer"])
    for nu, one in found.get("hertz", {}).items():
        lines.append(
            f"* bonded Hertz, ν = {nu}: force off by {100 * one['error']:+.1f} %, penetration "
            f"{100 * one['penetration_share']:.1f} % of the depth"
        )
    if "search" in found:
        lines.append(f"* search, CPU-ms: {found['search']}")
    if "start" in found:
        lines.append(f"* from a new process: {found['start']}")
    lines += tactile_identify.table(found)
    return "\n".join(lines)


PARTS = ("press", "explicit", "hertz", "transfer", "search", "start", "identify", "cma")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)

    def wanted(part: str) -> bool:
        return not options.table and options.part in (None, part)

    if wanted("press"):
        keep(press={row: press(row) for row in PRESSES})
    if wanted("explicit"):
        rows = ("P1, increments", "P1, steps of 10 ms")  # of the same mesh, in the same process
        explicit = tactile_explicit.explicit()
        if explicit:
            keep(explicit=explicit | {"press": {row: press(row) for row in rows}})
    if wanted("hertz"):
        found = {f"{nu:g}": hertz(nu) for nu in (0.3, 0.4, 0.45, 0.49)}
        keep(hertz=found | {"0.495 with pressures": hertz(0.495, pressure=True)})
    if wanted("transfer"):
        for motion in tactile_transfer.MOTIONS:
            known = recorded().get("transfer", {})
            keep(transfer=known | {motion: tactile_transfer.transfer(motion)})
    if wanted("search"):
        keep(search=search())
    if wanted("start"):
        keep(start=start())
    if wanted("identify"):
        for seed in range(SEEDS):
            others = [run for run in recorded().get("identify", []) if run["seed"] != seed]
            keep(
                identify=sorted(
                    [*others, tactile_identify.identify(seed, [])], key=lambda run: run["seed"]
                )
            )
    if wanted("cma"):
        coarse = tactile_identify.COARSE
        keep(coarse=[tactile_identify.identify(seed, coarse) for seed in range(3)])
        keep(evolution=[tactile_identify.evolution(seed, coarse, 300) for seed in range(3)])
    print(tables(keep()))


if __name__ == "__main__":
    main()

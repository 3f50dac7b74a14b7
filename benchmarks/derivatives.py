"""Cost of a training step by the way its derivatives are taken: nested, Taylor, and both compiled.

The network and losses are those of the Helmholtz case of Wang, Teng and Perdikaris (2021), model M4
(gated, 2-50-50-50-1, float32): first loss and parameter gradient at N interior points alone, then
the whole step with 4 × 128 wall points, two gradient rows every tenth step, and Adam.

    python benchmarks/derivatives.py [--quick]

CPU-seconds of one thread, median of rounds in which every way takes its turn, so that a busy
machine burdens them alike. Prints a table and writes benchmarks/results/derivatives.json.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, compiled, taylor
from sciml.pinn.networks import Gated, Standardise

WAYS = {"nested": autograd.derivatives, "taylor": taylor.derivatives}
RESULT = Path(__file__).parent / "results" / "derivatives.json"


def problem(derivatives, n, walls):
    """Loss terms as a function of (interior, wall, *parameters), and example inputs."""
    generator = torch.Generator().manual_seed(0)
    network = Standardise(Gated(2, 1, 50, 3, generator), [0.0, 0.0], [0.577, 0.577])
    names = [name for name, _ in network.named_parameters()]

    def terms(interior, wall, *parameters):
        def u(x):
            return functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

        f = derivatives(u, interior, ("u",), ("x", "y"), {"u", "u_xx", "u_yy"})
        x, y = interior.unbind(-1)
        q = (1 - 17 * torch.pi**2) * torch.sin(torch.pi * x) * torch.sin(4 * torch.pi * y)
        residual = (f["u_xx"] + f["u_yy"] + f["u"] - q).square().mean()
        return torch.stack([residual, u(wall).square().mean()] if walls else [residual])

    interior, wall = (2 * torch.rand(k, 2, generator=generator) - 1 for k in (n, 512))
    return terms, (interior, wall, *network.parameters())


def cpu():
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def compilation(terms, inputs):
    """The compiled terms and the CPU-seconds they took, the C++ compiler included."""
    start = cpu()
    program = compiled.compile(terms, inputs)
    return program, cpu() - start


def gradient(terms, inputs):
    parameters = inputs[2:]

    def step():
        torch.autograd.grad(terms(*inputs).sum(), parameters)

    return step


def whole_step(terms, inputs):
    """M4: two rows every tenth step, else one backward pass, then Adam."""
    parameters = [tensor.detach().clone().requires_grad_() for tensor in inputs[2:]]
    optimizer, counter = torch.optim.Adam(parameters, lr=1e-3), itertools.count()

    def step():
        values = terms(*inputs[:2], *parameters)
        if next(counter) % 10 == 0:
            rows = [torch.autograd.grad(v, parameters, retain_graph=True) for v in values]
            gradients = [sum(parts) for parts in zip(*rows, strict=True)]
        else:
            gradients = torch.autograd.grad(values.sum(), parameters)
        for parameter, value in zip(parameters, gradients, strict=True):
            parameter.grad = value
        optimizer.step()

    return step


def medians(steps, rounds, repeats):
    """CPU-milliseconds of each step: median over rounds of the mean of repeats, taken in turn."""
    seconds = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(repeats):
                step()
            seconds[name].append((time.process_time() - start) / repeats)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def measure(label, n, walls, step, rounds, repeats):
    steps, compile_cpu = {}, {}
    for way, derivatives in WAYS.items():
        terms, inputs = problem(derivatives, n, walls)
        steps[way] = step(terms, inputs)
        program, seconds = compilation(terms, inputs)
        steps[f"compiled {way}"], compile_cpu[f"compiled {way}"] = step(program, inputs), seconds
    cost = medians(steps, rounds, repeats)
    rows = []
    for name, milliseconds in cost.items():
        speed = cost["nested"] / milliseconds
        row = {"what": label, "n": n, "way": name, "cpu_ms": milliseconds, "speed": speed}
        rows.append(row | {"compile_cpu_s": compile_cpu.get(name)})
        built = f"{compile_cpu[name]:8.1f}" if name in compile_cpu else "       -"
        print(
            f"{label:14s} {n:6d}  {name:16s} {milliseconds:8.2f} {speed:6.2f}x {built}", flush=True
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="N = 128 only, fewer rounds")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds, sizes = (5, (128,)) if quick else (15, (128, 512, 2000))
    print(f"{'what':14s} {'N':>6s}  {'way':16s} {'CPU ms':>8s} {'speed':>7s} {'compile s':>9s}")
    rows = []
    for n in sizes:
        rows += measure("loss+gradient", n, False, gradient, rounds, max(2, 4000 // n))
    rows += measure("whole M4 step", 128, True, whole_step, rounds, 30)
    host = {"machine": platform.machine(), "torch": torch.__version__, "threads": 1}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"host": host, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

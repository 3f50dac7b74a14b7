"""DeepXDE on the Helmholtz case: Adam, then L-BFGS, with its error against CPU-seconds.

    python benchmarks/deepxde_helmholtz.py --seed 0 --wall-weight 100 --out result.json

The problem, the net (3 hidden layers of 50, tanh), the number of points (2,000 inside, 512 on the
walls, one set for good) and the precision (float64) are those that `pinn.py` gives to our
optimisers. One process per run: DeepXDE keeps its settings in globals.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import numpy as np
import torch

A1, A2 = 1, 4


def exact(x: np.ndarray) -> np.ndarray:
    return np.sin(A1 * np.pi * x[:, :1]) * np.sin(A2 * np.pi * x[:, 1:])


def equation(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    u_yy = dde.grad.hessian(u, x, i=1, j=1)
    wave = torch.sin(A1 * np.pi * x[:, :1]) * torch.sin(A2 * np.pi * x[:, 1:])
    return u_xx + u_yy + u - (1 - (A1**2 + A2**2) * np.pi**2) * wave


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def train(seed: int, wall_weight: float, adam_steps: int, lbfgs_steps: int) -> list[dict]:
    """Error on the 100 x 100 grid by CPU-seconds; the time of evaluating it is left out."""
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(seed)
    torch.set_num_threads(1)
    square = dde.geometry.Rectangle([-1, -1], [1, 1])
    walls = dde.icbc.DirichletBC(square, exact, lambda _, on_boundary: on_boundary)
    data = dde.data.PDE(
        square, equation, walls, num_domain=2000, num_boundary=512, train_distribution="Sobol"
    )
    net = dde.nn.FNN([2, 50, 50, 50, 1], "tanh", "Glorot normal")
    model = dde.Model(data, net)
    axis = np.linspace(-1, 1, 100)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    truth = exact(grid)
    curve, spent = [], 0.0

    def piece(stage: str, **keys) -> None:
        nonlocal spent
        before = cpu_seconds()
        model.train(display_every=10**9, verbose=0, **keys)
        spent += cpu_seconds() - before
        error = np.linalg.norm(model.predict(grid) - truth) / np.linalg.norm(truth)
        curve.append({"stage": stage, "cpu_s": round(spent, 2), "rel_l2/u": float(error)})

    model.compile("adam", lr=1e-3, loss_weights=[1, wall_weight], verbose=0)
    for _ in range(adam_steps // 500):
        piece("adam", iterations=500)
    for _ in range(lbfgs_steps // 500):
        dde.optimizers.set_LBFGS_options(maxiter=500)
        model.compile("L-BFGS", loss_weights=[1, wall_weight], verbose=0)
        piece("lbfgs")
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wall-weight", type=float, default=100.0)
    parser.add_argument("--adam-steps", type=int, default=5000)
    parser.add_argument("--lbfgs-steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    started = time.monotonic()
    curve = train(
        arguments.seed, arguments.wall_weight, arguments.adam_steps, arguments.lbfgs_steps
    )
    found = {"version": dde.__version__, "wall_s": time.monotonic() - started, "curve": curve}
    arguments.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()

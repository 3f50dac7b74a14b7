"""Training on a device that is pretended: nothing is made or left on the processor by mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trained_elsewhere import RUNS

ROOT = Path(__file__).resolve().parents[1]
#: Gradients and residual rows; the others are slow together.
QUICK = ("gated network, annealing", "least squares")
#: Messages are summed in blocks on processors only, which may differ by rounding.
ON_MESHES = ("filter network", "FastNet", "spectral loss")


def found(folder: Path, names: tuple[str, ...]) -> dict[str, dict]:
    command = [sys.executable, "-m", "tests.trained_elsewhere", str(folder), *names]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_training_on_a_device_ends_as_on_the_processor(tmp_path):
    """The same operations on the same numbers: no difference at all."""
    for name, run in found(tmp_path, QUICK).items():
        assert run["done"] > 100, f"{name}: the device was not used"
        assert run["apart"] == 0, name


@pytest.mark.slow
def test_every_kind_of_training_does(tmp_path):
    for name, run in found(tmp_path, tuple(n for n in RUNS if n not in QUICK)).items():
        assert run["done"] > 100, f"{name}: the device was not used"
        assert run["apart"] <= (2e-3 if name in ON_MESHES else 0), name


def test_a_device_refuses_what_lies_elsewhere():
    """In a process of its own: CUDA's rules for tensors of two devices, and no `numpy()`."""
    code = """
import torch
from tests import pretended
with pretended.device() as there:
    x = torch.ones(3, device=there)
    assert (x * torch.tensor(2.0)).tolist() == [2, 2, 2]      # a number may come from elsewhere
    assert x[torch.tensor([0, 1])].tolist() == [1, 1]         # so may indices
    assert x.cpu().numpy().sum() == 3
    wrong = {
        "sum": lambda: x + torch.ones(3),
        "gather": lambda: x.index_select(0, torch.tensor([0])),
        "joined": lambda: torch.stack([x[0], torch.tensor(1.0)]),
        "numpy": x.numpy,
    }
    for name, attempt in wrong.items():
        try:
            attempt()
        except (RuntimeError, TypeError) as error:
            assert "pretended" in str(error), error
        else:
            raise SystemExit(f"{name} was not refused")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]

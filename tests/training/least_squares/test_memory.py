"""How much a step takes, and how much there is."""

import math
from pathlib import Path

import pytest
import torch

from sciml.training.least_squares import memory
from sciml.training.least_squares.solvers import SOLVERS

#: Numbers held at once, by hand, for n rows and P parameters: J; JᵀJ or JJᵀ twice and their factor;
#: R and √μ I with Q and R of both; J with the identity's multiple below, and its copy; vectors.
HELD = {
    "cholesky": lambda n, p: n * p + 3 * p * p,
    "woodbury": lambda n, p: 2 * n * p + 3 * n * n,
    "qr": lambda n, p: 2 * n * p + 2 * (min(n, p) + p) * p + p * p,
    "lstsq": lambda n, p: 3 * n * p,
    "shrunk": lambda n, p: n * p + p * p + 2 * (n + p) * p,
    "cg": lambda n, p: n * p + 10 * p,
}


@pytest.mark.parametrize("solver", [*SOLVERS, "lstsq", "shrunk"])
@pytest.mark.parametrize("size", [(4000, 1321), (200, 20_000)], ids=["tall", "wide"])
def test_what_a_solver_holds_at_once_is_counted(solver, size):
    assert memory.needed_bytes(*size, solver) >= 8 * HELD[solver](*size)


def test_a_batch_job_may_take_less_than_the_machine_has(tmp_path):
    assert memory.allowed_bytes(tmp_path) == math.inf
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.allowed_bytes(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.allowed_bytes(tmp_path) == 4000


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="no /proc on this system")
def test_this_machine_says_how_much_is_free():
    """What the kernel calls available, or less in a control group; other programs take and give."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kernel = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
    free = memory.free_bytes(torch.device("cpu"))
    assert free <= kernel["MemTotal"]
    least = min(kernel["MemAvailable"], memory.allowed_bytes())
    assert free == pytest.approx(least, rel=0.2)

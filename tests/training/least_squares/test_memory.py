"""How much a step takes, and how much there is."""

import math

import torch

from sciml.training.least_squares import memory


def test_the_jacobian_counts_at_least():
    for solver in ("cholesky", "woodbury", "qr", "lstsq", "cg"):
        assert memory.needed_bytes(4000, 1321, solver) >= 4000 * 1321 * 8


def test_a_batch_job_may_take_less_than_the_machine_has(tmp_path):
    assert memory.allowed_bytes(tmp_path) == math.inf
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.allowed_bytes(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.allowed_bytes(tmp_path) == 4000


def test_this_machine_says_how_much_is_free():
    free = memory.free_bytes(torch.device("cpu"))
    assert free is None or free > 0

"""Two gloo processes train as one process at the same global batch: equal weights, gradients."""

from pathlib import Path

import pytest
import torch
from ranks.processes import together

from tests.training.two_ranks import BALANCERS


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """Where one process and two ranks have left their ends, by number of ranks."""
    folders = {ranks: tmp_path_factory.mktemp(f"ranks{ranks}") for ranks in (1, 2)}
    for ranks, folder in folders.items():
        for code, said in together(["-m", "tests.training.two_ranks", str(folder)], ranks):
            assert code == 0, said
    return folders


@pytest.fixture(scope="module")
def ends(folders) -> dict[tuple[str, int, int], dict[str, torch.Tensor]]:
    """What every rank ended with, by (balancer, ranks, rank)."""
    return {
        (name, ranks, rank): torch.load(folder / f"{name}_{ranks}_{rank}.pt", weights_only=True)
        for name in BALANCERS
        for ranks, folder in folders.items()
        for rank in range(ranks)
    }


@pytest.mark.parametrize("name", BALANCERS)
def test_ranks_end_equal(ends, name):
    one, other = ends[name, 2, 0], ends[name, 2, 1]
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", BALANCERS)
def test_two_ranks_are_one_process_at_the_same_global_batch(ends, name):
    alone, together = ends[name, 1, 0], ends[name, 2, 0]
    assert alone.keys() == together.keys()
    for key in alone:
        torch.testing.assert_close(alone[key], together[key], rtol=1e-10, atol=1e-12)


def test_a_checkpoint_that_one_rank_cannot_write_stops_all_of_them(folders):
    for rank in range(2):
        said = (folders[2] / f"refused_2_{rank}.txt").read_text()
        assert "could not be written" in said

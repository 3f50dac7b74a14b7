"""Two ranks train a PINN, a forecaster and a gel as one process does at the same global batch.

With rules of balancing that read gradients, points that follow the residual, noise and symmetries,
and shares that are not even.
"""

import csv
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import planets
import pytest
import torch
from ranks.processes import together
from ranks.trained import CASES, CUT, carried_out

from sciml.training import checkpoint

#: Columns of the history that are of the machine.
CLOCKS = ("cpu_s", "wall_s")
#: That the ranks have for all their cases, on a busy machine too.
SECONDS = 1200
pytestmark = pytest.mark.timeout(2 * SECONDS)
#: A PINN and a forecaster; the others are slow together.
QUICK = ("annealing_rad", "weather_relobralo")
REST = tuple(name for name in CASES if name not in QUICK)
every = pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)]
)
#: By number of ranks, where each has left its ends.
Folders = dict[int, Path]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Folders]]:
    """Case → where one process and two ranks have left what it ends with."""

    @cache
    def trained(names: tuple[str, ...]) -> Folders:
        folders = {ranks: tmp_path_factory.mktemp(f"ranks{ranks}") for ranks in (1, 2)}
        for ranks, folder in folders.items():
            command = ["-m", "ranks.trained", str(folder), str(ranks), *names]
            for code, said in together(command, ranks, seconds=SECONDS):
                assert code == 0, said
        return folders

    with planets.alone(tmp_path_factory.mktemp("planet")):
        yield lambda name: trained(QUICK if name in QUICK else REST)


def end(folder: Path, name: str, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{name}_{rank}.pt", weights_only=True)


@every
def test_ranks_end_with_the_same_bits(ends, name):
    one, other = (end(ends(name)[2], name, rank) for rank in range(2))
    assert one.keys() == other.keys()
    if name == "weather_sharded":  # rank 0 alone puts the weights together
        one = {key: value for key, value in one.items() if not key.startswith("model.")}
    assert all(torch.equal(one[key], other[key]) for key in one)


@every
def test_two_ranks_are_one_process_at_the_same_global_batch(ends, name):
    alone, together = (end(ends(name)[ranks], name, 0) for ranks in (1, 2))
    assert alone.keys() == together.keys()
    for key in alone:
        torch.testing.assert_close(alone[key], together[key], rtol=1e-6, atol=1e-9)


@every
def test_their_histories_are_equal(ends, name):
    """Terms, weights, cosines, held-out terms and metrics, which are sums over unequal shares."""
    alone, together = (history(ends(name)[ranks] / name / "history.csv") for ranks in (1, 2))
    assert set(together) <= set(alone) and len(alone["step"]) > 2
    left_out = {key.partition("/")[0] for key in set(alone) - set(together)}
    assert left_out == ({"cosine", "alignment"} if name == "weather_sharded" else set())
    for key in together:
        np.testing.assert_allclose(alone[key], together[key], rtol=1e-6, atol=1e-9, err_msg=key)


@pytest.mark.slow
def test_a_checkpoint_of_pieces_goes_on_in_one_process(ends, tmp_path):
    """The file is an ordinary one: whole weights, moments and averages, in the usual order."""
    folders = ends("weather_sharded")
    pieces, usual = (
        checkpoint.load(folders[ranks] / "weather_sharded/checkpoints/last.ckpt")
        for ranks in (2, 1)
    )
    assert pieces["state_dict"].keys() == usual["state_dict"].keys()
    for one, other in zip(pieces["optimizer_states"], usual["optimizer_states"], strict=True):
        assert one["state"].keys() == other["state"].keys()
        for number, moments in other["state"].items():
            for key, value in moments.items():
                torch.testing.assert_close(one["state"][number][key], value, rtol=1e-6, atol=1e-12)
    shutil.copytree(folders[2] / "cut", tmp_path / "run")
    case, words = CASES["weather_sharded"]
    _, outcome = carried_out(case, words, 1, tmp_path / "run")
    assert outcome.resumed_from == CUT
    alone = end(folders[1], "weather_sharded", 0)
    for key, value in outcome.model.state_dict().items():
        torch.testing.assert_close(value, alone[f"model.{key}"], rtol=1e-6, atol=1e-9)


def history(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in (*CLOCKS, "phase")]
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}

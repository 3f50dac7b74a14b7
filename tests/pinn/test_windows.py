"""Windows of time and of space: where points lie, what stays where it holds, what is refused."""

import itertools

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.pinn import (
    Boundary,
    Face,
    Problem,
    Sampling,
    dirichlet,
    disk,
    initial_value,
    periodic,
    point_data,
    rectangle,
)
from sciml.pinn.adaptive import R3
from sciml.pinn.data import CollocationData
from sciml.pinn.densities import Graded
from sciml.pinn.objective import CollocationLoss

PROBES = np.random.default_rng(0).random((6, 3))
N = {"residual": 200, "wall": 150, "left": 150, "seam": 100, "start": 100}


def problem(domain=None, **changes):
    conditions = (
        dirichlet("u", 0.0, on=Boundary(lambda f: f.y < 0.75), name="wall"),
        dirichlet("u", 0.0, on=Face("x", 0.0), name="left"),
        periodic("u", axis="y", name="seam"),
        initial_value("u", 0.0, name="start"),
        point_data("u", PROBES, PROBES[:, 0], name="probes"),
    )
    settings = {
        "name": "window",
        "domain": rectangle((0, 0), (1, 1)).over_time(0, 2) if domain is None else domain,
        "unknowns": ("u",),
        "equations": lambda f: {"e": f.u_t - f.x},
        "conditions": conditions,
        "exact": lambda f: {"u": f.x + f.t},
    }
    return Problem(**{**settings, **changes})


def batch(within, held_out=False, **keys):
    data = CollocationData(problem(), Sampling(N, grid=(5, 5, 5), **keys), 0)
    data.configure(within=within)
    if held_out:
        return data.val_dataloader()[0]
    return next(iter(data.train_dataloader()))


def ranges(batch):
    """Set → lowest and highest x, y, t."""
    return {
        name: torch.stack((points.x.amin(0), points.x.amax(0))).T.tolist()
        for name, points in batch.points.items()
    }


@pytest.mark.parametrize("held_out", [False, True])
def test_a_window_of_time(held_out):
    found = ranges(batch({"t": [0.5, 0.75]}, held_out))
    for name in ("residual", "wall", "left", "seam"):
        x, _, t = found[name]
        assert 0.5 <= t[0] < 0.51 and 0.74 < t[1] <= 0.75, name
        assert x[0] < 0.1 or name == "left"
    assert found["start"][2] == [0.0, 0.0]  # the initial condition holds there only
    assert found["probes"][2][1] > 0.75  # given points are used whole
    if held_out:
        assert found["truth"][2] == [0.0, 2.0]


def test_a_window_of_space():
    found = ranges(batch({"x": [0.5, 0.6], "t": [1.0, 1.5]}))
    for name in ("residual", "wall", "seam", "start"):
        assert found[name][0][0] >= 0.5 and found[name][0][1] <= 0.6, name
    assert found["left"][0] == [0.0, 0.0]  # a face stays where it is
    assert found["wall"][1][1] < 0.75  # the predicate still holds
    assert found["residual"][2][0] >= 1.0


def test_none_is_the_whole_domain_again():
    data = CollocationData(problem(), Sampling(N), 0)
    whole = next(iter(data.train_dataloader()))
    data.configure(within={"t": [0.0, 0.5]})
    data.configure()
    again = next(iter(data.train_dataloader()))
    assert all(torch.equal(whole.points[k].x, again.points[k].x) for k in whole.points)


def test_a_window_of_time_in_a_disk():
    still = problem(disk((0, 0), 1).over_time(0, 2), conditions=())
    data = CollocationData(still, Sampling({"residual": 100}), 0)
    data.configure(within={"t": (1.5, 2.0)})
    x = next(iter(data.train_dataloader())).points["residual"].x
    assert x[:, 2].min() >= 1.5 and x[:, :2].norm(dim=1).max() <= 1


def test_a_density_is_that_of_the_window():
    """Half of the points lie below the median of the grading cut to the window."""
    grading = Graded("t", 0.0, 0.1, 1.0)
    points = batch({"t": [0.0, 0.5]}, density=grading).points["residual"]
    median = grading.quantile(np.array([0.5]), 0.0, 0.5)[0]
    assert (points.x[:, 2] < median).double().mean().item() == pytest.approx(0.5, abs=0.1)
    assert points.x[:, 2].max() <= 0.5
    assert points.weight.mean().item() == pytest.approx(1)


def test_adapted_points_go_with_their_window_and_come_back_with_it():
    model = torch.nn.Linear(3, 1).double()

    def steps(data, within, start, n):
        data.configure(within=within)
        batches, found = data.train_dataloader(start), []
        for step in range(start, start + n):
            data.refresh(model, CollocationLoss(problem()), step)
            found.append(next(batches).points["residual"].x)
        return found

    def made():
        return CollocationData(problem(), Sampling(N, every=2, adaptive=R3()), 0)

    data = made()
    early, late = steps(data, {"t": [0, 1]}, 0, 5), steps(data, {"t": [1, 2]}, 5, 4)
    assert early[-1][:, 2].max() <= 1 <= late[0][:, 2].min()
    first = made()
    steps(first, {"t": [0, 1]}, 0, 3)
    resumed = made()
    resumed.load_state_dict(first.state_dict())
    for a, b in itertools.zip_longest(early[3:], steps(resumed, {"t": [0, 1]}, 3, 2)):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("within", "message"),
    [
        ({"z": [0, 1]}, r"coordinates of \('x', 'y', 't'\), got 'z'"),
        ({"t": [1, 1]}, r"t: \[lowest, highest\] inside \[0, 2\], got \[1, 1\]"),
        ({"t": [0, 3]}, r"inside \[0, 2\], got \[0, 3\]"),
        ({"t": 1.0}, "got 1.0"),
        ({"t": "01"}, "got 01"),
    ],
)
def test_windows_are_checked(within, message):
    with pytest.raises(UserError, match=message):
        batch(within)


def test_a_part_of_a_round_domain_is_refused():
    still = problem(disk((0, 0), 1).over_time(0, 2), conditions=())
    data = CollocationData(still, Sampling({"residual": 100}), 0)
    with pytest.raises(UserError, match="a window of time, got 'x'"):
        data.configure(within={"x": [0, 0.5]})

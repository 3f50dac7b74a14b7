"""What a step sees is a function of (seed, step); ranks share it without gap or overlap."""

import itertools
import math

import numpy as np
import pytest
import torch
import xarray

from sciml.contracts import Phase, UserError
from sciml.pinn import Face, Problem, Sampling, dirichlet, disk, point_data, rectangle
from sciml.pinn.adaptive import RAD
from sciml.pinn.data import SETS, CollocationData
from sciml.pinn.samplers import sobol, uniform
from sciml.training.phases import lay_out
from sciml.training.refusals import require_one_batch

PROBES = np.random.default_rng(0).random((7, 2))


def exact(f):
    return {"u": torch.sin(math.pi * f.x) * f.y}


def problem(**changes):
    settings = {
        "name": "poisson",
        "domain": rectangle((0, 0), (1, 1)),
        "unknowns": ("u",),
        "equations": lambda f: {"poisson": f.u_xx + f.u_yy},
        "conditions": (
            dirichlet("u", 0.0, on=Face("x", 0.0), name="left"),
            point_data("u", PROBES, PROBES[:, 0], name="probes"),
        ),
        "exact": exact,
    }
    return Problem(**{**settings, **changes})


def data(every=1, seed=3, method=uniform, points=None, **changes):
    points = {"residual": 12, "left": 5} if points is None else points
    return CollocationData(problem(**changes), Sampling(points, method, every), seed)


def take(batches, n):
    return list(itertools.islice(batches, n))


def same(a, b):
    return all(torch.equal(a.points[k].x, b.points[k].x) for k in a.points)


def test_a_batch_has_the_points_asked_for():
    batch = next(iter(data().train_dataloader(0, 0, 1)))
    assert {k: len(p) for k, p in batch.points.items()} == {"residual": 12, "left": 5, "probes": 7}
    assert (batch.points["left"].x[:, 0] == 0).all()
    assert np.array_equal(batch.points["probes"].target["u"], PROBES[:, 0])


@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("start", [1, SETS - 1, SETS, 3 * SETS + 5])
def test_a_step_sees_the_same_points_wherever_the_run_started(every, start):
    whole = take(data(every).train_dataloader(0, 0, 1), start + 4)
    resumed = take(data(every).train_dataloader(start, 0, 1), 4)
    assert all(same(a, b) for a, b in zip(whole[start:], resumed, strict=True))


@pytest.mark.parametrize(("every", "different"), [(1, 6), (3, 2), (None, 1)])
def test_points_are_fresh_every_so_many_steps(every, different):
    batches = take(data(every).train_dataloader(0, 0, 1), 6)
    assert len({float(b.points["residual"].x[0, 0]) for b in batches}) == different


def test_no_two_steps_of_two_blocks_share_points():
    batches = take(data().train_dataloader(0, 0, 1), 2 * SETS)
    assert len({float(b.points["residual"].x[0, 0]) for b in batches}) == 2 * SETS


def test_another_seed_other_points():
    a, b = (next(iter(data(seed=s).train_dataloader(0, 0, 1))) for s in (0, 1))
    assert not torch.equal(a.points["residual"].x, b.points["residual"].x)


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_ranks_tile_the_global_batch_in_equal_shares(ranks):
    points = {"residual": 12, "left": 6, "probes": 6}
    whole = take(data(points=points).train_dataloader(60, 0, 1), 8)
    shares = [take(data(points=points).train_dataloader(60, r, ranks), 8) for r in range(ranks)]
    for step, batch in enumerate(whole):
        for key, points in batch.points.items():
            parts = [share[step].points[key].x for share in shares]
            assert torch.equal(torch.cat(parts), points.x)
            assert {len(part) for part in parts} == {len(points) // ranks}


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_unequal_shares_count_by_their_size(ranks):
    """The plain mean of means over unequal shares is not that of the set: (1 + (2 + 6)/2)/2 ≠ 9/3.

    Seven probes, one of the left: each of the ranks has that one.
    """
    points = {"residual": 13, "left": 1, "probes": 7}
    (whole,) = take(data(points=points).train_dataloader(3, 0, 1), 1)
    shares = [take(data(points=points).train_dataloader(3, r, ranks), 1)[0] for r in range(ranks)]
    for key, every in whole.points.items():
        of_ranks = [mean_square(share.points[key]) for share in shares]
        assert sum(of_ranks) / ranks == pytest.approx(mean_square(every), rel=1e-14)
    for key in ("residual", "probes"):
        own = [share.points[key] for share in shares]
        assert torch.equal(torch.cat([p.x for p in own]), whole.points[key].x)
        assert max(map(len, own)) - min(map(len, own)) <= 1
        assert [share.place(key)[0] for share in shares] == [
            sum(map(len, own[:rank])) for rank in range(ranks)
        ]


def mean_square(points):
    squares = points.x[:, 0].square()
    return (squares if points.weight is None else points.weight * squares).mean().item()


def test_more_ranks_than_points_of_the_equations_are_refused():
    with pytest.raises(UserError, match="for each of 13 ranks, got 12; set .*residual=13 or fewer"):
        data().train_dataloader(0, 0, 13)


def test_a_block_moves_once_and_gives_what_its_batches_would():
    batches = take(data().train_dataloader(0, 0, 1), 3)
    moved = [batch.to("cpu", torch.float32) for batch in batches]
    assert batches[0].to("cpu", torch.float64) is batches[0]
    for before, after in zip(batches, moved, strict=True):
        for key, points in before.points.items():
            assert after.points[key].x.dtype == torch.float32
            assert torch.equal(points.x.float(), after.points[key].x)
    storages = {b.points["left"].x.untyped_storage().data_ptr() for b in moved}
    assert len(storages) == 1


def test_held_out_points_and_truth():
    batch = data().val_dataloader()[0]
    trained = next(iter(data().train_dataloader(0, 0, 1)))
    assert not torch.equal(batch.points["residual"].x, trained.points["residual"].x)
    truth = batch.points["truth"]
    assert len(truth) == 101**2
    assert torch.equal(truth.target["u"], torch.sin(math.pi * truth.x[:, 0]) * truth.x[:, 1])
    assert same(batch, data().val_dataloader()[0])


def test_truth_is_masked_to_the_domain():
    round_data = CollocationData(
        problem(domain=disk((0, 0), 1), conditions=()),
        Sampling({"residual": 4}, grid=(21, 41)),
        0,
    )
    truth = round_data.truth()
    assert truth.x.norm(dim=1).max() <= 1 + 1e-6
    assert abs(len(truth) - math.pi / (0.1 * 0.05)) < 15  # area over area of a cell


def test_reference_on_a_grid_and_scattered(tmp_path):
    x, y = np.linspace(0, 1, 4), np.linspace(0, 1, 3)
    u = x[:, None] + 10 * y[None, :]
    u[0, 0] = np.nan
    np.savez(tmp_path / "grid.npz", x=x, y=y, u=u)
    free = np.append(PROBES @ [1, 10], np.nan)  # what has no value is left out here, too
    np.savez(
        tmp_path / "free.npz", x=np.append(PROBES[:, 0], 0), y=np.append(PROBES[:, 1], 0), u=free
    )
    grid = {"u": (("y", "x"), u.T), "x": x, "y": y, "note": "text"}
    xarray.Dataset(grid).to_netcdf(tmp_path / "grid.nc")
    for file, n in (("grid.npz", 11), ("grid.nc", 11), ("free.npz", 7)):
        truth = data(exact=None, reference=tmp_path / file).truth()
        assert len(truth) == n
        assert torch.allclose(truth.target["u"], truth.x @ torch.tensor([1.0, 10.0]).double())


def test_only_what_is_compared_is_truth(tmp_path):
    flow = {
        "unknowns": ("u", "p"),
        "equations": lambda f: {"e": f.u_x + f.p},
        "derived": {"w": lambda f: f.u_x},
        "compared": ("u", "w"),
    }
    known = data(**flow, exact=lambda f: {"u": f.x, "w": f.y, "p": f.x}).truth()
    assert known.target.keys() == {"u", "w"}
    nodes = {"x": np.arange(3) / 2, "y": np.arange(2.0), "u": np.ones((3, 2)), "p": np.ones((3, 2))}
    np.savez(tmp_path / "r.npz", **nodes)
    with pytest.raises(UserError, match=r"expected \['w'\] in the reference r.npz"):
        data(**flow, exact=None, reference=tmp_path / "r.npz")
    np.savez(tmp_path / "r.npz", w=np.ones((3, 2)), **nodes)
    known = data(**flow, exact=None, reference=tmp_path / "r.npz").truth()
    assert known.target.keys() == {"u", "w"}


def test_a_truth_without_a_relative_error_is_refused():
    flow = {"unknowns": ("u", "v"), "equations": lambda f: {"e": f.u_x + f.v_y}}
    couette = {**flow, "exact": lambda f: {"u": f.y, "v": 0 * f.y}}
    with pytest.raises(UserError, match="not zero everywhere, got zero for 'v'.* out of compared="):
        data(**couette)
    assert data(**couette, compared=("u",)).truth().target.keys() == {"u"}


def test_a_reference_outside_the_domain_is_refused(tmp_path):
    np.savez(tmp_path / "mm.npz", x=np.linspace(0, 1000, 3), y=np.arange(2.0), u=np.ones((3, 2)))
    with pytest.raises(UserError, match=r"got 4 points outside, the first at \[500.0, 0.0\]"):
        data(exact=None, reference=tmp_path / "mm.npz")


def test_no_truth_where_none_is_known():
    assert "truth" not in data(exact=None).val_dataloader()[0].points


def test_reference_files_are_checked(tmp_path):
    np.savez(tmp_path / "wrong.npz", x=np.zeros(4), y=np.zeros(3), u=np.zeros((3, 4)))
    np.savez(tmp_path / "empty.npz", x=np.zeros(4))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "text.nc").write_text("no")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "wrong.npz").read_bytes()[:60])
    np.savez(tmp_path / "words.npz", x=np.zeros(4), y=np.zeros(3), u=np.full((4, 3), "a"))
    for file, message in (
        ("none.npz", "does not exist"),
        ("wrong.npz", r"of shape \(4, 3\)"),
        ("empty.npz", "expected arrays"),
        ("text.npz", "expected an .nc or .npz file"),
        ("cut.npz", "expected an .nc or .npz file"),
        ("words.npz", "expected arrays"),
        ("text.nc", "expected an .nc or .npz file"),
    ):
        with pytest.raises(UserError, match=message):
            data(exact=None, reference=tmp_path / file)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"residual": 0, "left": 5}, "> 0 for 'residual', got 0"),
        ({"residual": -3, "left": 5}, "> 0 for 'residual', got -3"),
        ({"residual": 2.5, "left": 5}, "got 2.5"),
        ({"residual": 4, "lft": 5}, "did you mean 'left'"),
        ({"residual": 4}, "a number of points for 'left'"),
        ({"left": 4}, "a number of points for 'residual'"),
        ({"residual": 4, "left": 4, "probes": 8}, "at most its 7 given points"),
    ],
)
def test_wrong_numbers_of_points_are_refused(points, message):
    with pytest.raises(UserError, match=message):
        data(points=points)


def test_every_must_be_positive():
    with pytest.raises(UserError, match="every >= 1"):
        data(every=0)


def test_sampling_is_checked_before_training():
    with pytest.raises(UserError, match="method to be a function"):
        Sampling({"residual": 4}, "sobol")
    with pytest.raises(UserError, match="expected 2 numbers >= 2"):
        CollocationData(problem(conditions=()), Sampling({"residual": 4}, grid=(9,)), 0)
    with pytest.raises(UserError, match="seed >= 0"):
        data(seed=-1)


def test_a_singular_exact_solution_is_named_at_its_point():
    with pytest.raises(UserError, match=r"got -inf at \[0.0, 0.0\]"):
        data(exact=lambda f: {"u": torch.log(f.x)})


def test_resume_with_other_points_is_refused():
    state = data().state_dict()
    data().load_state_dict(state)
    with pytest.raises(UserError, match="seed"):
        data(seed=4).load_state_dict(state)


def test_sets_of_a_sobol_sequence_are_even():
    """128 points: exactly one in each of 128 boxes of the rectangle, at every step."""
    points = {"residual": 128, "left": 5}
    for batch in take(data(method=sobol, points=points).train_dataloader(0, 0, 1), 70):
        x = batch.points["residual"].x.numpy()
        boxes = (x * [16, 8]).astype(int) @ [8, 1]
        assert np.array_equal(np.sort(boxes), np.arange(128))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data(every=10), r"points that stay \(sampling.every=10\) would"),
        (lambda: data(every=None), r"points that stay \(sampling.every=null\) would"),
        (
            lambda: CollocationData(
                problem(), Sampling({"residual": 12, "left": 5}, adaptive=RAD()), 0
            ),
            "points that follow the residual would",
        ),
    ],
)
def test_a_step_of_several_batches_takes_fresh_points_for_each(make, message):
    (one,), (four,) = (lay_out({"a": Phase(1, torch.optim.Adam, accumulate=n)}) for n in (1, 4))
    require_one_batch(four, [data(every=1)])
    require_one_batch(one, [make()])
    with pytest.raises(UserError, match=f"phases.a.accumulate: expected 1, got 4; {message}"):
        require_one_batch(four, [make()])

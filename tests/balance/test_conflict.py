"""The conflict rules against closed forms, optimality conditions and torchjd's own answers."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torchjd import aggregation, linalg

from sciml.balance.base import seed_of
from sciml.balance.conflict import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    ConFIG,
    NashMTL,
    PCGrad,
    UPGrad,
)
from sciml.contracts import UserError
from tests.balance.members import Given

#: 30°, 150° and 40°, of lengths 1, 1 and 2, in the plane and a little out of it.
ROWS = torch.tensor(
    [[0.866, 0.5, 0.1], [-0.866, 0.5, 0.0], [1.532, 1.286, -0.3]], dtype=torch.float64
)


def unlike(terms: int = 4, seed: int = 0) -> torch.Tensor:
    """Rows against one another, of lengths 1e-2 to 1e2."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(terms, 9, generator=generator, dtype=torch.float64)
    rows[1:] -= 0.7 * rows[:1]
    sizes = torch.logspace(2, -2, terms, dtype=torch.float64)
    return sizes[:, None] * torch.nn.functional.normalize(rows, dim=1)


def direction(balancer, rows: torch.Tensor, index: int = 0) -> torch.Tensor:
    step = Given(rows)
    step.index = index
    return torch.stack(list(balancer(step).values())) @ rows


def test_pcgrad_of_two():
    # ⟨g1, g2⟩ = −1/2 for unit vectors at 120°: g1 + g2/2 and g2 + g1/2
    rows = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5]], dtype=torch.float64)
    torch.testing.assert_close(direction(PCGrad(), rows), 1.5 * rows.sum(0))


def test_pcgrad_projects_the_rows_themselves_one_after_another():
    rows = unlike()
    order = np.random.default_rng(seed_of("PCGrad", 7))
    total = torch.zeros(9, dtype=torch.float64)
    for i in range(4):
        g = rows[i].clone()
        for j in order.permutation(4):
            if j != i and g @ rows[j] < 0:
                g -= (g @ rows[j]) / (rows[j] @ rows[j]) * rows[j]
        total += g
    torch.testing.assert_close(direction(PCGrad(), rows, 7), total)


def test_pcgrads_order_depends_on_the_step():
    ways = {tuple(direction(PCGrad(), unlike(), index).tolist()) for index in range(20)}
    assert len(ways) > 1
    assert torch.equal(direction(PCGrad(), unlike(), 3), direction(PCGrad(), unlike(), 3))


def test_mgda_of_two():
    # foot of the origin on the segment: γ = ⟨g2 − g1, g2⟩/|g2 − g1|² = 4.75/6.25
    one, two = torch.tensor([[1.0, 0.0], [-0.5, 2.0]], dtype=torch.float64)
    share = 4.75 / 6.25
    torch.testing.assert_close(
        direction(MGDA(), torch.stack([one, two])), share * one + (1 - share) * two
    )


@pytest.mark.parametrize("seed", range(3))
def test_mgda_is_the_shortest_combination(seed):
    # optimal: ⟨g_k, d⟩ >= |d|² for all, with equality where w_k > 0
    rows = unlike(seed=seed)
    weights = torch.stack(list(MGDA()(Given(rows)).values()))
    products = rows @ (weights @ rows) / (weights @ rows).square().sum()
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all() and (products >= 1 - 1e-6).all()
    torch.testing.assert_close(products[weights > 1e-12] - 1, 0 * products[weights > 1e-12],
                               rtol=0, atol=1e-6)  # fmt: skip


def test_imtl_g_projects_equally():
    d = direction(IMTLG(), unlike())
    projections = unlike() @ d / unlike().norm(dim=1)
    torch.testing.assert_close(projections, projections[:1].expand(4), rtol=1e-6, atol=0)
    assert sum(IMTLG()(Given(unlike())).values()) == pytest.approx(1)


def test_imtl_g_goes_down_where_the_published_weights_would_climb():
    # no conflict: cosines 0.9, 0.9 and 0.65. Equal projections on the unit rows u have weights
    # (−3/2, 1, 1): 1.8 − 1.5 = 0.3 on u_1, and 1.65 − 1.35 = 0.3 on the others. |g_1| = 0.1 makes
    # them (−15, 1, 1) on the rows, and Σ w = −13: divided by it, every term would rise
    cosines = torch.tensor([[1, 0.9, 0.9], [0.9, 1, 0.65], [0.9, 0.65, 1]], dtype=torch.float64)
    sizes = torch.tensor([0.1, 1.0, 1.0], dtype=torch.float64)
    rows = sizes[:, None] * torch.linalg.cholesky(cosines)
    weights = torch.stack(list(IMTLG()(Given(rows)).values()))
    torch.testing.assert_close(weights, torch.tensor([-15.0, 1.0, 1.0]).double() / 13)
    assert (rows @ (weights @ rows) > 0).all()


def test_imtl_g_is_no_longer_than_the_longest_gradient():
    # as above with |g_1| = 3/4: weights (−2, 1, 1) on the rows have no sum to be divided by. On
    # their own d = −3/2 u_1 + u_2 + u_3 of |d|² = 2.25 + 2 + 2 (0.65 − 2·1.35) = 0.15
    cosines = torch.tensor([[1, 0.9, 0.9], [0.9, 1, 0.65], [0.9, 0.65, 1]], dtype=torch.float64)
    sizes = torch.tensor([0.75, 1.0, 1.0], dtype=torch.float64)
    rows = sizes[:, None] * torch.linalg.cholesky(cosines)
    weights = torch.stack(list(IMTLG()(Given(rows)).values()))
    torch.testing.assert_close(weights, torch.tensor([-2.0, 1.0, 1.0]).double() / 0.15**0.5)
    assert (rows @ (weights @ rows) > 0).all()


def test_config_makes_equal_angles_and_adds_the_projections():
    rows = unlike()
    d = direction(ConFIG(), rows)
    projections = rows @ d / d.norm()
    cosines = projections / rows.norm(dim=1)
    assert cosines[0] > 0
    torch.testing.assert_close(cosines, cosines[:1].expand(4), rtol=1e-6, atol=0)
    assert d.norm() == pytest.approx(float(projections.sum()))


@pytest.mark.parametrize(
    ("mode", "size"), [("min", lambda s: s[-1]), ("rmse", lambda s: (s**2).mean() ** 0.5)]
)
def test_aligned_rows_are_orthogonal_and_of_one_length(mode, size):
    u, s, vt = torch.linalg.svd(ROWS, full_matrices=False)
    expected = (size(s) * u @ vt).mean(0)
    torch.testing.assert_close(direction(AlignedMTL(mode), ROWS), expected)


@pytest.mark.parametrize("seed", range(3))
def test_upgrad_projects_every_row_on_the_cone_without_conflict(seed):
    # Moreau: the projection of g is g + Jᵀv with v >= 0 of least |g + Jᵀv|, and needs no torchjd
    rows = unlike(seed=seed)
    units = torch.nn.functional.normalize(rows, dim=1).numpy()
    projected = [g + units.T @ nnls(units.T, -g)[0] for g in rows.numpy()]
    d = direction(UPGrad(), rows)
    torch.testing.assert_close(d, torch.from_numpy(np.mean(projected, 0)), rtol=1e-5, atol=1e-6)


def test_cagrad_is_the_best_for_the_worst_term():
    # in the plane: scan the disc |d − g0| <= c |g0| for the largest min_k ⟨g_k, d⟩
    rows, c = ROWS[:2, :2], 0.5
    mean = rows.mean(0)
    angle, radius = torch.meshgrid(
        torch.linspace(0, 2 * torch.pi, 2001, dtype=torch.float64),
        torch.linspace(0, 1, 11, dtype=torch.float64),
        indexing="ij",
    )
    disc = mean + c * mean.norm() * radius[..., None] * torch.stack(
        [angle.cos(), angle.sin()], dim=-1
    )
    best = (disc @ rows.T).min(-1).values.max()
    d = direction(CAGrad(c), rows)
    assert (d - mean).norm() <= c * mean.norm() * (1 + 1e-6)
    assert (rows @ d).min() == pytest.approx(float(best), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_bargain_is_struck(seed):
    rows = unlike(seed=seed)
    gram = rows @ rows.T
    alpha = torch.stack(list(NashMTL(max_norm=0.0)(Given(rows)).values()))
    gains = alpha * (gram / gram.norm() @ alpha)
    torch.testing.assert_close(gains, torch.ones_like(gains), rtol=1e-5, atol=0)


def test_the_bargain_is_shortened_and_kept_between_updates():
    long, other = 100 * unlike(), 100 * unlike(seed=1)
    balancer = NashMTL(max_norm=1.0, every=2)
    assert direction(balancer, long).norm() == pytest.approx(1)
    step = Given(other)
    step.index = 1
    first = NashMTL(max_norm=1.0)(Given(long))
    assert balancer(step) == first


LIKE = {  # rows of like size, where torchjd's own thresholds do no harm
    "AlignedMTL": (AlignedMTL, aggregation.AlignedMTL()),
    "CAGrad": (CAGrad, aggregation.CAGrad(c=0.5)),
    "ConFIG": (ConFIG, aggregation.ConFIG()),
    "IMTLG": (IMTLG, aggregation.IMTLG()),
    "UPGrad": (UPGrad, aggregation.UPGrad(projector=linalg.QuadprogProjector(reg_eps=1e-10))),
    "MGDA": (MGDA, aggregation.MGDA(epsilon=1e-9, max_iters=100_000)),
}


@pytest.mark.parametrize("name", LIKE)
def test_torchjd_says_the_same_of_rows_of_like_size(name):
    make, theirs = LIKE[name]
    torch.testing.assert_close(direction(make(), ROWS), theirs(ROWS), rtol=1e-3, atol=1e-4)


def test_short_gradients_are_not_lost_beside_long_ones():
    # lengths 1e2 … 1e-2: torchjd's own UPGrad lets the short rows' conflict stand
    rows = unlike()
    theirs, ours = aggregation.UPGrad()(rows), direction(UPGrad(), rows)
    lengths = rows.norm(dim=1)
    assert (rows @ theirs / (lengths * theirs.norm())).min() < -1e-3
    assert (rows @ ours / (lengths * ours.norm())).min() > -1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CAGrad(c=-1.0), "c must be non-negative"),
        (lambda: NashMTL(max_norm=-1.0), "max_norm >= 0, got -1"),
        (lambda: NashMTL(every=0), "every >= 1"),
        (lambda: AlignedMTL("mean"), r"scale_mode.*min.*median.*rmse.*got 'mean'"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(UserError, match=message):
        make()

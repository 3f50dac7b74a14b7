"""Unknown constants stay in their ranges; confidence intervals are those of linear regression."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.confidence import confidence, diagonal
from sciml.tactile.shapes import block
from sciml.tactile.unknowns import Field, Positive, Within


def test_they_begin_where_they_are_told() -> None:
    assert Positive(2e5)().item() == pytest.approx(2e5)
    assert Within(0.45, 0.3, 0.49)().item() == pytest.approx(0.45)
    assert Positive(3.0, cells=4)().tolist() == pytest.approx([3.0] * 4)


@pytest.mark.parametrize("z", [-50.0, -1.0, 1.0, 50.0])
def test_they_stay_in_their_range(z: float) -> None:
    for unknown, low, high in ((Positive(2.0), 0, np.inf), (Within(0.45, 0.3, 0.49), 0.3, 0.49)):
        unknown.z.data += z
        assert low <= unknown().item() <= high


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Positive(0.0), "expected start and scale > 0"),
        (lambda: Positive(1.0, scale=-1.0), "expected start and scale > 0"),
        (lambda: Within(0.5, 0.3, 0.49), "expected 0.3 < start < 0.49"),
        (lambda: Field(block((1.0,) * 3, (1, 1, 1)), 1.0, 0.0), "start, length and scale > 0"),
        (lambda: Field(block((1.0,) * 3, (11, 10, 10)), 1.0, 0.1), "at most 6000 cells, got 6600"),
    ],
)
def test_ranges_that_are_none_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_confidence_of_a_straight_line() -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 40)
    y = 2.0 + 3.0 * x + 0.1 * rng.normal(size=40)
    X = np.column_stack([np.ones(40), x])
    estimate, left, *_ = np.linalg.lstsq(X, y, rcond=None)
    expected = left[0] / 38 * np.linalg.inv(X.T @ X)

    def residuals(values):
        model = values["a"] + values["b"] * torch.from_numpy(x)
        return (model - torch.from_numpy(y)) / 0.1

    values = {name: torch.tensor(v).double() for name, v in zip("ab", estimate, strict=True)}
    found = confidence(residuals, values)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-6)
    np.testing.assert_allclose(found.interval().mean(1), estimate)
    assert found.correlation[0, 1] == pytest.approx(-0.86, abs=0.01)


def test_what_is_not_seen_has_no_end() -> None:
    values = {"a": torch.tensor(1.0).double(), "b": torch.tensor(1.0).double()}
    found = confidence(lambda v: v["a"] * torch.ones(5).double() - 1.01, values)
    assert np.isinf(found.deviation).all()


def test_a_field_is_smooth_of_size_one_and_keeps_a_mean() -> None:
    """Columns of S sum up to the variance of a Matérn field inside; constants pass unchanged."""
    mesh = block((1.0, 1.0, 1.0), (6, 6, 6))
    field = Field(mesh, 2.0, 0.15)
    assert field().tolist() == pytest.approx([2.0] * len(mesh.tets))
    S, V = field.smoother.numpy(), np.full(len(mesh.tets), 1 / len(mesh.tets))
    np.testing.assert_allclose(
        S @ np.sqrt(V), np.sqrt(8 * np.pi * 0.15**3), rtol=1e-9
    )  # (M + ℓ²K) 1 = V
    inner = (np.abs(mesh.nodes[mesh.tets].mean(1) - 0.5) < 0.25).all(1)
    assert 0.5 < np.sqrt((S[inner] ** 2).sum(1).mean()) < 1.5
    assert (S > 0).all()
    field.z.data[0] = 0.1
    field.level.data.fill_(np.log(1.5))
    assert float(field().detach().log().mean()) > np.log(3.0)


def test_information_from_random_signs_is_the_diagonal() -> None:
    J = torch.randn(200, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    J = J * torch.tensor([1.0, 2.0, 3.0, 0.1, 10.0, 0.0], dtype=torch.float64)
    x = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    found = diagonal(J @ x, x, draws=2000)
    torch.testing.assert_close(found, J.square().sum(0), rtol=0.15, atol=1e-12)

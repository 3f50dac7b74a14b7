"""Unknown constants stay in their ranges; confidence intervals are those of linear regression."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.confidence import confidence
from sciml.tactile.unknowns import Positive, Within


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

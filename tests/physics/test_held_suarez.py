"""The values that the published forcing takes at the equator, the poles and the surface."""

import numpy as np
import pytest
import torch

from sciml.physics import held_suarez
from sciml.physics.earth import DAY


def equilibrium(lat, p):
    sine, log_p = torch.tensor([np.sin(np.radians(lat)), np.log(p)]).double()
    return float(held_suarez.equilibrium(sine, log_p))


@pytest.mark.parametrize(
    ("lat", "p", "expected"),
    [
        (0, 1.0, 315.0),
        (90, 1.0, 255.0),
        (0, 0.5, (315 + 10 * np.log(2)) * 0.5 ** (2 / 7)),  # 264.1 K
        (45, 1.0, 285.0),
        (90, 0.3, 200.0),  # 255 x 0.709 = 180.8: the stratosphere
        (0, 0.05, 200.0),
    ],
)
def test_equilibrium(lat, p, expected):
    assert equilibrium(lat, p) == pytest.approx(expected, rel=1e-7)


def test_rates():
    friction = held_suarez.friction(np.array([0.2, 0.7, 0.85, 1.0])) * DAY
    np.testing.assert_allclose(friction, [0, 0, 0.5, 1], atol=1e-12)
    cooling = held_suarez.cooling(np.array([0.0, 60.0]), np.array([0.5, 1.0])) * DAY
    np.testing.assert_allclose(cooling[0], 1 / 40)
    np.testing.assert_allclose(cooling[1], [1 / 4, 1 / 40 + (1 / 4 - 1 / 40) / 16])

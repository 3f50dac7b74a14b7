"""What is logged of the gradients of the terms, on gradients whose angles are known."""

import pytest
import torch

from sciml.training.history import alignment, cosines


def test_the_alignment_of_two_gradients_is_their_cosine():
    rows = torch.tensor([[2.0, 0.0], [-3.0, 4.0]])  # cos = −6/(2·5)
    assert alignment(rows) == pytest.approx(-0.6)
    assert cosines(["a", "b"], rows) == pytest.approx({"cosine/a~b": -0.6})


def test_alignment_of_many():
    one = torch.tensor([[1.0, 2.0]])
    assert alignment(one.repeat(4, 1) * torch.tensor([[1.0], [2], [3], [1e-3]])) == pytest.approx(1)
    # three at 120° cancel; three at right angles: 2·|(1, 1, 1)/3|² − 1 = −1/3
    angles = torch.tensor([0.0, 2.0, 4.0]) * torch.pi / 3
    assert alignment(torch.stack([angles.cos(), angles.sin()], 1)) == pytest.approx(-1, abs=1e-6)
    assert alignment(torch.eye(3)) == pytest.approx(-1 / 3)


def test_a_gradient_that_vanishes_is_at_right_angles_to_all():
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert cosines(["a", "b"], rows) == {"cosine/a~b": 0.0}
    assert alignment(rows) == pytest.approx(2 * 0.25 - 1)

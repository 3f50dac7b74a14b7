"""Signed distances of rigid solids, and poses."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sciml.contracts import UserError
from sciml.tactile.contact import Ball, Box, Capsule, HalfSpace, Punch, path, pose
from sciml.tactile.contact.pose import into_frame, rotation
from sciml.tactile.contact.rigid import curvature

SOLIDS = {
    "half space": HalfSpace(),
    "ball": Ball(0.004),
    "capsule": Capsule(0.003, 0.01),
    "box": Box((0.01, 0.006, 0.004), 0.0005),
    "punch": Punch(0.004, 0.006, 0.0005),
}


def around(count: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.006 * torch.randn(count, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", SOLIDS)
def test_n_is_the_gradient_of_d_and_of_length_one(name: str) -> None:
    y = around().requires_grad_()
    d, n = SOLIDS[name].distance(y)
    torch.testing.assert_close(torch.autograd.grad(d.sum(), y)[0], n.detach())
    torch.testing.assert_close(n.norm(dim=1), torch.ones(len(n)).double())


@pytest.mark.parametrize("name", SOLIDS)
def test_a_step_along_n_outside_grows_d_by_its_length(name: str) -> None:
    y = around()
    d, n = SOLIDS[name].distance(y)
    outside = d > 0
    further = SOLIDS[name].distance((y + 1e-3 * n)[outside])[0]
    torch.testing.assert_close(further, d[outside] + 1e-3)


@pytest.mark.parametrize(
    ("solid", "point", "d"),
    [
        (HalfSpace(), (1.0, 2.0, -0.3), -0.3),
        (Ball(2.0), (0.0, 3.0, 4.0), 3.0),
        (Ball(2.0), (0.0, 0.0, 0.5), -1.5),
        (Capsule(1.0, 4.0), (5.0, 0.0, 4.0), 4.0),
        (Capsule(1.0, 4.0), (1.5, 0.0, -3.0), 2.0),
        (Box((2.0, 4.0, 6.0), 0.5), (2.0, 0.0, 0.0), 1.0),
        (Box((2.0, 4.0, 6.0), 0.5), (0.5 + 3.0, -1.5 - 4.0, 0.0), 4.5),
        (Box((2.0, 4.0, 6.0), 0.5), (0.9, 0.0, 0.0), -0.1),
        (Punch(2.0, 2.0, 0.5), (0.0, 0.0, 3.0), 2.0),
        (Punch(2.0, 2.0, 0.5), (0.0, 3.0, 0.0), 1.0),
        (Punch(2.0, 2.0, 0.5), (1.5 + 3.0, 0.0, -0.5 - 4.0), 4.5),
    ],
)
def test_distances_known_by_hand(solid, point, d: float) -> None:
    found = solid.distance(torch.tensor([point], dtype=torch.float64))[0].item()
    assert found == pytest.approx(d, abs=1e-12)


def test_curvature_of_a_ball() -> None:
    y = torch.tensor([[0.0, 0.0, 0.005]]).double()
    expected = torch.diag(torch.tensor([1.0, 1.0, 0.0]).double()) / 0.005
    torch.testing.assert_close(curvature(Ball(0.004), y)[0], expected)


def test_curvature_of_a_half_space_is_none() -> None:
    assert not curvature(HalfSpace(), around(3)).any()


def test_rotations_are_scipys() -> None:
    for omega in ((0.3, -0.2, 1.1), (1e-9, 2e-9, 0.0), (0.0, 0.0, 3.1)):
        found = rotation(torch.tensor(omega, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(found, Rotation.from_rotvec(omega).as_matrix(), atol=1e-14)


def test_the_slope_of_a_rotation_at_none_is_the_cross_product() -> None:
    slope = torch.autograd.functional.jacobian(rotation, torch.zeros(3).double())
    expected = torch.zeros(3, 3, 3).double()
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        expected[j, i, k], expected[i, j, k] = 1.0, -1.0
    torch.testing.assert_close(slope, expected)


def test_a_pose_takes_points_into_the_solids_frame() -> None:
    at = pose((1.0, 2.0, 3.0), (0.0, 0.0, np.pi / 2))
    y, _ = into_frame(torch.tensor([[1.0, 3.0, 3.0]]).double(), at)
    torch.testing.assert_close(y, torch.tensor([[1.0, 0.0, 0.0]]).double())


def test_a_path_goes_through_its_stations() -> None:
    stations = [pose((0.0, 0.0, z)) for z in (2.0, 1.0, 1.5)]
    found = path(*stations, steps=(2, 1))
    np.testing.assert_allclose(found[:, 2], [2.0, 1.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ball(0.0), "ball: expected radius > 0 in m, got 0.0"),
        (lambda: Capsule(1.0, -1.0), "capsule: expected length > 0 in m, got -1.0"),
        (lambda: Box((1.0, 1.0, 0.0), 0.1), "box: expected size > 0 in m"),
        (lambda: Box((1.0, 1.0, 0.4), 0.3), "box: expected rounding ≤ 0.2 m, got 0.3"),
        (lambda: Punch(1.0, 1.0, 0.6), "punch: expected rounding ≤ 0.5 m, got 0.6"),
    ],
)
def test_shapes_that_are_none_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        make()

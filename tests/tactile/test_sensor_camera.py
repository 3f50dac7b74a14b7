"""Cameras: closed forms, pixels and rays are inverse to each other, gradients, bad input."""

import math

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.sensor import Camera, Fisheye, Pinhole, Pose, looking
from tests.tactile.sensors import directional, fisheye, pinhole, tilted

CAMERAS = {
    "pinhole": pinhole(),
    "tilted pinhole": tilted(),
    "fisheye": fisheye(),
    "tilted fisheye": Camera(
        Fisheye(21.0, 30.1, 25.4), 64, 48, looking((0.001, 0, -0.002), (0, 0.002, 0.015), (1, 1, 0))
    ),
}


def ahead(camera: Camera, count: int = 50) -> torch.Tensor:
    """Points ahead of a camera, in the sensor's frame, one of them on its axis."""
    rng = np.random.default_rng(0)
    at = torch.from_numpy(rng.uniform([-0.01, -0.01, 0.005], [0.01, 0.01, 0.02], (count, 3)))
    at[0, :2] = 0
    at[1, :2] = torch.tensor([1e-7, -2e-7]).double()  # a hair off the axis
    return at @ camera.pose.rotation.T + camera.pose.position


def test_pinhole_of_a_known_point() -> None:
    """x/z = 3/12, y/z = -2/12 with f = 40: 10 columns and -6 2/3 rows from the centre."""
    pixel = pinhole().project(torch.tensor([[0.003, -0.002, 0.0]]).double())[0]
    # float32 literals would be off by 1e-6
    assert pixel.numpy() == pytest.approx([19.5 + 10, 14.5 - 20 / 3], rel=1e-6)


def test_equidistant_angles() -> None:
    """A point at angle θ from the axis and φ around it is f θ from the centre, towards φ."""
    theta = torch.linspace(0, 2.5, 26, dtype=torch.float64)
    phi = torch.linspace(0, 6, 26, dtype=torch.float64)
    at = 0.012 * torch.stack(
        [theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], dim=-1
    )
    lens = Fisheye(150.0, 332.0, 240.0)
    wanted = 150 * theta[:, None] * torch.stack([phi.cos(), phi.sin()], dim=-1)
    assert torch.allclose(lens.pixels(at) - torch.tensor([332.0, 240.0]), wanted, atol=1e-11)
    assert lens.reaches(at).all() and not lens.reaches(torch.tensor([[0.0, 0.0, -1.0]])).any()


@pytest.mark.parametrize("name", CAMERAS)
def test_rays_of_pixels_pass_through_their_points(name: str) -> None:
    camera = CAMERAS[name]
    at = ahead(camera)
    origin, along = camera.rays(camera.project(at))
    wanted = (at - origin) / (at - origin).norm(dim=-1, keepdim=True)
    assert (along - wanted).abs().max() <= 1e-14


@pytest.mark.parametrize("name", CAMERAS)
def test_pixels_of_rays_are_the_pixels(name: str) -> None:
    camera = CAMERAS[name]
    origin, along = camera.rays(camera.grid())
    assert (along.norm(dim=-1) - 1).abs().max() <= 1e-14
    assert (camera.project(origin + 0.01 * along) - camera.grid()).abs().max() <= 1e-11


@pytest.mark.parametrize("name", CAMERAS)
def test_gradient_of_pixels(name: str) -> None:
    camera = CAMERAS[name]
    found, central = directional(camera.project, ahead(camera), 1e-8)
    assert found == pytest.approx(central, rel=1e-7)


@pytest.mark.parametrize("rho", [0.0, 1e-9, 1e-4, 0.99e-4, 1.01e-4, 1e-2])
def test_the_fisheye_is_smooth_at_its_axis(rho: float) -> None:
    """Column cx + f atan(ρ/z), slope f z/(ρ² + z²); the series meets the closed form."""
    z = 0.01
    at = torch.tensor([[rho, 0.0, z]], dtype=torch.float64, requires_grad=True)
    pixel = Fisheye(150.0, 0.0, 0.0).pixels(at)
    pixel.sum().backward()
    across = 150 / z if rho == 0 else 150 * math.atan2(rho, z) / rho
    assert float(pixel[0, 0].detach()) == pytest.approx(150 * math.atan2(rho, z), abs=1e-13)
    assert at.grad[0].numpy() == pytest.approx(
        [150 * z / (rho**2 + z**2), across, -150 * rho / (rho**2 + z**2)], rel=1e-10, abs=1e-12
    )


def test_gradients_reach_lens_and_pose() -> None:
    """What a calibration of the camera needs; central differences of eight numbers."""
    base, at = tilted(), ahead(tilted())

    def project(numbers: torch.Tensor) -> torch.Tensor:
        lens = Pinhole(*(1 + numbers[:4]) * torch.tensor([36.0, 38.0, 20.3, 14.1]))
        pose = base.pose.moved(numbers[4:7], 0.01 * numbers[7:10])
        return Camera(lens, 40, 30, pose).project(at)

    found, central = directional(project, torch.full((10,), 0.02, dtype=torch.float64), 1e-6)
    assert found == pytest.approx(central, rel=1e-8)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_scaled_image_has_the_same_view(name: str) -> None:
    """Corners of the image stay: -1/2 goes to -1/2, and width - 1/2 to half of it."""
    camera = CAMERAS[name]
    half, at = camera.scaled(0.5), ahead(camera)
    assert (half.width, half.height) == (camera.width // 2, camera.height // 2)
    assert torch.allclose(half.project(at) + 0.5, (camera.project(at) + 0.5) / 2, atol=1e-11)


def test_a_camera_looks_where_it_should() -> None:
    pose = looking((0.01, 0.0, -0.02), (0.01, 0.0, 0.0))
    assert torch.equal(pose.rotation, torch.eye(3).double())
    aslant = looking((0.0, 0.0, 0.0), (0.01, 0.01, 0.01), (1.0, 0.0, 0.0)).rotation
    assert torch.allclose(aslant.T @ aslant, torch.eye(3).double(), atol=1e-15)
    assert torch.allclose(aslant[:, 2], torch.full((3,), 3**-0.5).double(), atol=1e-15)
    assert aslant[0, 0] > 0 and torch.linalg.det(aslant) > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pinhole(0.0, 1.0, 0.0, 0.0), "camera: expected fx > 0 pixels, got 0"),
        (lambda: Fisheye(-150.0, 0.0, 0.0), "camera: expected f > 0 pixels, got -150"),
        (
            lambda: looking((0, 0, -20), (0, 0, 0)),
            "expected a position in metres within 1 m of the sensor, got 20 m away; if these are "
            "millimetres multiply by 1e-3",
        ),
        (lambda: looking((0, 0, 0), (0, 0, 0)), "expected to look away from its position"),
        (lambda: looking((0, 0, 0), (0, 0, 1), (0, 0, 1)), "expected right = .* across"),
        (
            lambda: Pose(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 1, -1])).double()),
            "expected a rotation with right, down and ahead as orthonormal columns",
        ),
        (lambda: pinhole().scaled(1e-3), "expected an image of at least one pixel, got 0 x 0"),
    ],
)
def test_bad_cameras_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        make()
    assert "\n" not in str(refusal.value)

"""A small pad with a pinhole and a small dome with a fisheye, for tests of sensors only."""

import numpy as np
import torch
from torch import Tensor

from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.sensor import Camera, Fisheye, Pinhole, Sensor, fibonacci, grid, looking
from sciml.tactile.shapes import dome, pad

WIDTH, DEPTH, THICK = 0.02, 0.015, 0.004
GEL = materials.neo_hookean(1.5e5, 0.48)


def pinhole(width: int = 40, height: int = 30) -> Camera:
    """12 mm below the pad; its image is 16 mm wide on the front at z = 4 mm."""
    lens = Pinhole(float(width), float(width), (width - 1) / 2, (height - 1) / 2)
    return Camera(lens, width, height, looking((0, 0, -0.012), (0, 0, 0)))


def tilted() -> Camera:
    """A pinhole that looks aslant, so that nothing is symmetric."""
    lens = Pinhole(36.0, 38.0, 20.3, 14.1)
    return Camera(
        lens, 40, 30, looking((0.003, -0.002, -0.012), (0.001, 0.0005, 0.004), (1, 0.3, 0))
    )


def fisheye(width: int = 64, height: int = 48) -> Camera:
    """Close to the centre of the dome; the pole is near the middle of the image."""
    lens = Fisheye(15.0 * width / 64, (width - 1) / 2 + 0.2, (height - 1) / 2)
    return Camera(lens, width, height, looking((0.0004, 0, -0.0002), (0.0004, 0, 1)))


def flat(degree: int = 2, camera: Camera | None = None, cells=(4, 3, 1)) -> Sensor:
    return Sensor(
        pad(WIDTH, DEPTH, THICK, cells),
        GEL,
        camera or pinhole(),
        grid(5, 4, 0.0025, THICK),
        grid(4, 3, 0.005, THICK),
        degree=degree,
    )


def round_(degree: int = 2, camera: Camera | None = None, rings: int = 5) -> Sensor:
    return Sensor(
        dome(0.0075, 0.015, rings, 1),
        GEL,
        camera or fisheye(),
        fibonacci(23, 0.015, 57.0),
        fibonacci(9, 0.015, 90.0),
        "outer",
        ["inner"],
        degree,
    )


def smooth(elements: Elements, size: float = 4e-4) -> Tensor:
    """A displacement without symmetry, m."""
    x, y, z = elements.nodes.T / 0.01
    u = np.column_stack([np.sin(2 * y) * z, np.cos(x + 2 * z), x * y - z**2 + np.sin(3 * x)])
    return torch.from_numpy(size * u)


def directional(function, u: Tensor, step: float, seed: int = 0) -> tuple[float, float]:
    """w·∂f/∂u·d by torch and by central differences, at random w and d."""
    rng = np.random.default_rng(seed)
    d = torch.from_numpy(rng.normal(size=tuple(u.shape)))
    d = d / d.abs().max()
    u = u.clone().requires_grad_(True)
    f = function(u)
    w = torch.from_numpy(rng.normal(size=tuple(f.shape)))
    (gradient,) = torch.autograd.grad((w * f).sum(), u)
    with torch.no_grad():
        ahead, behind = (w * function(u + step * d)).sum(), (w * function(u - step * d)).sum()
    return float((gradient * d).sum()), float((ahead - behind) / (2 * step))

"""Tracking: dots drawn at known places are found and followed; what is lost is NaN."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.sensor import Lamps, located
from sciml.tactile.sensor.optics import dotted
from sciml.tactile.sensor.tracking import found, tracked
from tests.tactile.sensors import flat, pinhole

RADIUS = 1.5


def drawn(pixels: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """An image of 160 x 120 pixels with a slope of brightness, dots, and noise."""
    light = np.broadcast_to(0.5 + 0.3 * np.arange(160) / 160, (120, 160))
    plain = torch.from_numpy(np.repeat(light[..., None], 3, 2))
    image = dotted(plain, torch.from_numpy(pixels), RADIUS).numpy()
    image = image + noise * np.random.default_rng(0).normal(size=image.shape)
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def dots() -> np.ndarray:
    rng = np.random.default_rng(1)
    column, row = np.meshgrid(np.arange(20, 150, 15.0), np.arange(15, 110, 15.0))
    return np.column_stack([column.ravel(), row.ravel()]) + rng.uniform(-2, 2, (column.size, 2))


@pytest.mark.parametrize(("noise", "error"), [(0.0, 0.05), (0.02, 0.1)])
def test_dots_are_found(noise: float, error: float) -> None:
    at = found(drawn(dots(), noise), RADIUS)
    assert len(at) == len(dots())
    nearest = np.linalg.norm(at[:, None] - dots(), axis=-1)
    assert nearest.min(1).max() < error and len(np.unique(nearest.argmin(1))) == len(at)


def test_dots_are_followed() -> None:
    """By up to one and a half pixels a frame, each in its own direction."""
    rng = np.random.default_rng(2)
    velocity = rng.uniform(-1, 1, dots().shape)
    paths = np.stack([dots() + t * velocity for t in range(5)])
    at = tracked(np.stack([drawn(p, 0.01) for p in paths]), dots(), RADIUS)
    assert np.linalg.norm(at - paths, axis=-1).max() < 0.1


def test_a_lost_dot_is_nan_from_there_on() -> None:
    there, gone = drawn(dots()), drawn(np.delete(dots(), 7, axis=0))
    at = tracked(np.stack([there, gone, there]), dots(), RADIUS)
    lost = np.isnan(at).any(-1)
    assert not lost[0].any() and lost[1:, 7].all() and lost.sum() == 2


def test_a_sensors_own_image_gives_its_markers_back() -> None:
    """Rendered, tracked and located on the gel: within 0.1 pixel, 5 µm."""
    sensor = flat(camera=pinhole(320, 240))
    sensor.optics = Lamps([0, 120, 240], 30, [[0.7, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.7]])
    still = sensor.surface.still()
    image = dotted(sensor.image(still), sensor.pixels_at_rest, 3.0)
    at = found((255 * image).round().numpy().astype(np.uint8), 3.0)
    points = located(sensor.surface, sensor.camera, at)
    wanted = sensor.markers.positions(still).numpy()
    off = np.linalg.norm(points[:, None] - wanted, axis=-1).min(1)
    assert len(at) == len(wanted) and off.max() < 5e-6


def test_nothing_to_find_is_refused() -> None:
    plain = np.full((60, 80, 3), 128, dtype=np.uint8)
    with pytest.raises(UserError, match="expected dark dots of radius 1.5 pixels .* got none"):
        found(plain, RADIUS)
    with pytest.raises(UserError, match="expected radius > 0 pixels, got 0"):
        found(plain, 0.0)

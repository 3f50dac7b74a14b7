"""The film of a touch: its frames, its size, its pixels the same again, and what is drawn in it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from PIL import Image

from sciml.tactile.contact import Ball, Box, HalfSpace
from sciml.tactile.figures import animation, space
from sciml.tactile.figures.space import outline
from sciml.tactile.predictor import dataset
from sciml.tactile.scene import Scene
from sciml.tactile.sensor import Lamps
from tests.tactile.sensors import THICK, flat, pinhole


def pressed(optics: bool) -> tuple[Scene, xarray.Dataset]:
    sensor = flat(1, pinhole(60, 45), cells=(8, 6, 1))
    sensor.optics = Lamps([0, 180], 30, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.8]]) if optics else None
    above = THICK + 0.005
    scene = Scene(sensor, Ball(0.005), [[0.0, 0.0, above], [0.0, 0.0, above - 5e-4]], 2, 0.3, 1e9)
    with torch.no_grad():
        return scene, dataset(scene, scene(), sensor.material)


def frames(path: Path) -> list[np.ndarray]:
    film = Image.open(path)
    found = []
    for number in range(film.n_frames):
        film.seek(number)
        found.append(np.asarray(film.convert("RGB")).astype(int))
    return found


@pytest.mark.parametrize("optics", [True, False])
def test_a_frame_for_every_step_in_which_all_panels_move(optics: bool, tmp_path: Path) -> None:
    scene, found = pressed(optics)
    path = animation.draw(found, scene, tmp_path)
    assert path == tmp_path / "figures/touch.gif" and path.stat().st_size < animation.BYTES
    first, _, last = frames(path)
    apart = np.abs(last - first).max(-1)[45:] > 40  # below the title
    wide = apart.shape[1]
    panels = [apart[:, : int(0.4 * wide)], apart[:, int(0.4 * wide) : int(0.68 * wide)]]
    for panel in (*panels, apart[:, int(0.72 * wide) :]):
        assert panel.sum() > 15
    assert path.read_bytes() == animation.draw(found, scene, tmp_path / "again").read_bytes()


def test_a_film_that_is_too_large_is_made_smaller(tmp_path: Path, monkeypatch) -> None:
    scene, found = pressed(False)
    size = animation.draw(found, scene, tmp_path).stat().st_size
    monkeypatch.setattr(animation, "BYTES", size // 2)
    assert animation.draw(found, scene, tmp_path).stat().st_size <= size // 2


def test_heights_are_enlarged_and_a_front_that_nothing_touches_has_some(tmp_path: Path) -> None:
    scene, found = pressed(False)
    caption = space.draw(found, scene, tmp_path)[1]
    deep = 1e3 * float(np.ptp(found.u.values[-1][..., 2][scene.sensor.surface.nodes]))
    enlarged = float(caption.split("× ")[1].split(")")[0])
    assert enlarged * deep >= 0.24 * 1e3 * np.ptp(found.node_position.values[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space.draw(found.isel(time=[0]), scene, tmp_path)


def test_outlines_lie_on_the_solid() -> None:
    for solid in (Ball(0.004), Box([0.008, 0.004, 0.006], 0.001)):
        pieces = outline(solid, 0.02)
        assert pieces is not None
        distance = solid.distance(torch.from_numpy(pieces.reshape(-1, 3)))[0]
        np.testing.assert_allclose(distance, 0, atol=1e-10)
    assert outline(HalfSpace(), 0.02) is None, "its origin is on its surface, not inside"
    assert outline(Ball(0.008), 0.006) is None, "all of it is further away"

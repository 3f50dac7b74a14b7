"""Pictures of a sensor: drawn whole, with captions whose numbers are the sensor's."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sciml.tactile import figures
from sciml.tactile.sensor import Lamps
from tests.tactile.sensors import flat, round_, smooth


@pytest.mark.parametrize(("make", "touched"), [(flat, True), (round_, False)])
def test_pictures_are_drawn(make, touched: bool, tmp_path: Path) -> None:
    sensor = make()
    sensor.optics = Lamps([0, 180], 30, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.8]]) if touched else None
    u = smooth(sensor.elements).requires_grad_(True)  # as it comes out of a fit
    f = torch.from_numpy(np.random.default_rng(0).normal(size=tuple(u.shape)))
    drawn = figures.draw(sensor, u, tmp_path, f if touched else None)
    names = ["markers.png", "maps.png", *(["images.png"] if touched else [])]
    assert [path.name for path, _ in drawn] == names
    for path, _ in drawn:
        assert np.ptp(matplotlib.image.imread(path)[..., :3]) > 0.9
    longest = float(sensor.flow(u).norm(dim=1).max().detach())
    assert f"at most {longest:.3g} pixels" in drawn[0][1]
    assert ("the total force is (" in drawn[1][1]) is touched


def test_a_gel_at_rest_is_drawn(tmp_path: Path) -> None:
    sensor = flat()
    still = sensor.surface.still()
    drawn = figures.draw(sensor, still, tmp_path, still)
    assert "at most 0 pixels" in drawn[0][1] and "the total force is (0, 0, 0) N" in drawn[1][1]


def test_arrows_are_enlarged_by_a_round_number() -> None:
    """Half a pixel may be 8 % of 40 pixels long: 6.4 times, rounded down to 5."""
    sensor = flat()
    u = sensor.surface.still()
    u[:, 0] = 2e-4  # 0.2 mm of 0.4 mm per pixel
    axes = Figure().subplots()
    assert figures.flow(axes, sensor, u) == pytest.approx(0.5)
    assert "marker flow, arrows × 5" in (axes.get_title(), axes.get_title(loc="left"))
    assert axes.yaxis_inverted() and axes.get_xlabel() == "column (pixel)"

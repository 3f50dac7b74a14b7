"""Optics: Lambert's law by hand, gradients to colours, a network that learns a sensor's lamps."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.sensor import Lamps, PixelNetwork, Sensor, View, grid
from sciml.tactile.sensor.optics import dotted, fit
from sciml.tactile.shapes import pad
from tests.tactile.sensors import DEPTH, GEL, THICK, WIDTH, directional, flat, smooth, tilted

COLOURS = [[0.7, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.7]]


def lamps() -> Lamps:
    return Lamps([0, 120, 240], 30, COLOURS, 0.1)


def lit() -> Sensor:
    mesh = pad(WIDTH, DEPTH, THICK, (4, 3, 1))
    return Sensor(mesh, GEL, tilted(), grid(3, 3, 0.002, THICK), optics=lamps())


def test_lamberts_law() -> None:
    """A flat front sees each lamp at sin 30° = 1/2: 0.1 + (0.7 + 0.1 + 0.1)/2 in each channel."""
    up = torch.tensor([[0.0, 0.0, 1.0]]).double()
    assert lamps()(up, up).numpy() == pytest.approx(np.full((1, 3), 0.55), rel=1e-14)
    # a front whose inside faces lamp 0 squarely: 1 for it, -cos²30/2 + 1/4 = -1/8 → dark for others
    facing = -lamps().directions[:1]
    assert lamps()(up, facing).numpy() == pytest.approx(np.array([[0.8, 0.2, 0.2]]), rel=1e-14)


def test_an_image_of_a_flat_front_has_one_colour() -> None:
    sensor = lit()
    image = sensor.image(sensor.surface.still())
    seen = image[torch.isfinite(image[..., 0])]
    assert image.shape == (30, 40, 3) and (seen - 0.55).abs().max() <= 1e-13


def test_gradient_from_displacements_to_colours() -> None:
    sensor = lit()

    def colours(u: torch.Tensor) -> torch.Tensor:
        return sensor.image(u).nan_to_num(0.0)

    found, central = directional(colours, smooth(sensor.elements, 1e-4), 1e-9)
    assert found == pytest.approx(central, rel=1e-6)


def test_dots_are_dark_where_markers_are() -> None:
    white, at = torch.ones(30, 40, 3).double(), torch.tensor([[10.0, 5.0], [20.5, 20.0]]).double()
    image = dotted(white, at, 1.5)
    assert float(image[5, 10, 0]) == 0 and float(image[15, 35, 0]) == pytest.approx(1)
    # e^(-1/2) of the darkness one radius away
    assert float(dotted(white, at[:1], 2.0)[5, 12, 1]) == pytest.approx(1 - np.exp(-0.5))
    found, central = directional(lambda p: dotted(white, p, 1.5), at, 1e-6)
    assert found == pytest.approx(central, rel=1e-8)


def test_a_network_learns_lamps_and_tells_another_press() -> None:
    """Fit to one deformation, asked about two others; colours range over about 0.3."""
    sensor = lit()
    network = PixelNetwork([0.0, 0.0, THICK], WIDTH)

    def seen(size: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        view = View(sensor.surface, smooth(sensor.elements, size), sensor.camera)
        return view.points, view.smooth_normals, lamps()(view.points, view.smooth_normals)

    points, normals, colours = seen(6e-4)
    left = fit(network, points, normals, colours, 150)
    assert colours.std() > 10 * left and left < 0.01
    for size in (4e-4, -3e-4):
        points, normals, colours = seen(size)
        assert ((network(points, normals) - colours) ** 2).mean().sqrt() < 0.02


def test_a_network_is_differentiable_and_seeded() -> None:
    network, again = (PixelNetwork([0.0, 0.0, THICK], WIDTH, seed=3) for _ in range(2))
    sensor = flat(camera=tilted())
    view = sensor.view(smooth(sensor.elements))
    assert torch.equal(network(view.points, view.normals), again(view.points, view.normals))

    def colours(u: torch.Tensor) -> torch.Tensor:
        view = sensor.view(u)
        return network(view.points, view.smooth_normals)

    found, central = directional(colours, smooth(sensor.elements), 1e-8)
    assert found == pytest.approx(central, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Lamps([0, 120], 30, COLOURS), "a colour for each of 2 lamps, got 3"),
        (lambda: Lamps([0, 120, 240], 0, COLOURS), r"elevation in \(0, 90\] degrees, got 0"),
        (lambda: Lamps([0, 120, 240], 30, COLOURS, 0.3), "at most 1 by channel, got up to 1.2"),
        (lambda: PixelNetwork([0, 0, 0], 0.0), "expected extent > 0 m, got 0.0"),
        (
            lambda: fit(PixelNetwork([0, 0, 0], 0.02), *torch.full((3, 5, 3), 255.0).double()),
            r"colours in \[0, 1\], got 255 … 255; divide by 255",
        ),
        (
            lambda: flat().image(flat().surface.still()),
            "image: expected a sensor with optics, got none; give it lamps or a fitted network",
        ),
    ],
)
def test_bad_optics_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        make()
    assert "\n" not in str(refusal.value)

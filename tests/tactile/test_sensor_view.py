"""Views: depth, normals and fields of flat, bent and round fronts against closed forms."""

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from sciml.tactile.elements import Elements
from sciml.tactile.sensor import Camera, Fisheye, Pinhole, Surface, View, looking
from sciml.tactile.shapes import dome, pad
from tests.tactile.sensors import (
    DEPTH,
    THICK,
    WIDTH,
    directional,
    fisheye,
    flat,
    pinhole,
    round_,
    smooth,
    tilted,
)

#: Curvature of the paraboloid z = THICK + BENT (x² + 2 y²), 1/m: 0.6 mm at the pad's edge.
BENT = 6.0
CAMERAS = {"pinhole": pinhole(), "tilted": tilted(), "fisheye": None}


def front(cells=(4, 3, 1), degree: int = 2) -> Surface:
    return Surface(Elements(pad(WIDTH, DEPTH, THICK, cells), degree), "front")


def bent(at: Tensor) -> Tensor:
    u = torch.zeros_like(at)
    u[:, 2] = BENT * (at[:, 0] ** 2 + 2 * at[:, 1] ** 2)
    return u


def below() -> Camera:
    """A fisheye 8 mm below the pad's front, which fills its image and more."""
    return Camera(Fisheye(30.0, 19.7, 14.2), 40, 30, looking((0, 0, -0.004), (0.001, 0, 0.004)))


def of(name: str) -> Camera:
    return CAMERAS[name] or below()


def on_paraboloid(camera: Camera, pixel: Tensor) -> Tensor:
    """Distances t of rays: BENT (x² + 2 y²) + THICK - z = 0 is quadratic in t."""
    origin, along = camera.rays(camera.grid().reshape(-1, 2)[pixel])
    weights = torch.tensor([BENT, 2 * BENT, 0.0]).double()
    a = (weights * along**2).sum(-1)
    b = 2 * (weights * along * origin).sum(-1) - along[:, 2]
    c = (weights * origin**2).sum(-1) + THICK - origin[2]
    return 2 * c / (-b + (b * b - 4 * a * c).sqrt())  # the nearer one, without cancellation


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("name", CAMERAS)
def test_a_flat_pad(name: str, degree: int) -> None:
    camera, surface = of(name), front(degree=degree)
    view = View(surface, surface.still(), camera)
    assert (view.points[:, 2] - THICK).abs().max() <= 1e-16
    assert (view.normals - torch.tensor([0.0, 0.0, 1.0])).abs().max() <= 1e-14
    # what is not seen passes the pad by
    origin, along = camera.rays(camera.grid().reshape(-1, 2))
    at = origin + (THICK - origin[2]) / along[:, 2:] * along
    inside = (at[:, 0].abs() <= WIDTH / 2) & (at[:, 1].abs() <= DEPTH / 2) & (along[:, 2] > 0)
    assert torch.equal(torch.nonzero(inside)[:, 0], view.pixel)
    assert (view.points - at[view.pixel]).abs().max() <= 1e-15


def test_depth_of_a_flat_pad_is_one_number() -> None:
    sensor = flat()
    view = sensor.view(sensor.surface.still())
    depth = view.image(view.depth)
    assert depth.shape == (30, 40) and (depth - 0.016).abs().max() <= 1e-16  # 12 + 4 mm


@pytest.mark.parametrize("name", CAMERAS)
def test_a_paraboloid_is_exact_on_quadratic_elements(name: str) -> None:
    camera, surface = of(name), front()
    view = View(surface, bent(surface.rest), camera)
    distance = on_paraboloid(camera, view.pixel)
    assert len(view.pixel) > 800
    assert (view.distance - distance).abs().max() <= 1e-13 * distance.max()
    x, y, _ = view.points.T
    normals = torch.stack([-2 * BENT * x, -4 * BENT * y, torch.ones_like(x)], dim=-1)
    normals = normals / normals.norm(dim=-1, keepdim=True)
    assert (view.normals - normals).abs().max() <= 1e-12
    assert (view.depth - camera.within(view.points)[:, 2]).abs().max() == 0


def test_no_cracks_between_curved_triangles() -> None:
    """Every pixel whose ray meets the paraboloid over the pad is seen, once."""
    camera, surface = Camera(Pinhole(160.0, 160.0, 80.0, 60.0), 161, 121, pinhole().pose), front()
    view = View(surface, bent(surface.rest), camera)
    everything = torch.arange(161 * 121)
    origin, along = camera.rays(camera.grid().reshape(-1, 2))
    at = origin + on_paraboloid(camera, everything)[:, None] * along
    inside = (at[:, 0].abs() < WIDTH / 2 - 1e-9) & (at[:, 1].abs() < DEPTH / 2 - 1e-9)
    assert torch.isin(torch.nonzero(inside)[:, 0], view.pixel).all()
    assert len(torch.unique(view.pixel)) == len(view.pixel)


@pytest.mark.parametrize("degree", [1, 2])
def test_a_sphere_is_approached_with_the_elements_order(degree: int) -> None:
    """A front bent onto a sphere of 30 mm; P2 nodes, like P1's, lie on it exactly.

    Errors of interpolation are O(h²) and O(h³), those of normals one order less.
    """
    radius, errors, turned = 0.03, [], []
    for n in (4, 8, 16):
        surface = front((n, n, 1), degree)
        u, camera = surface.still(), pinhole()
        r2 = (surface.rest[:, :2] ** 2).sum(1)
        u[:, 2] = radius - (radius**2 - r2).sqrt()
        view = View(surface, u, camera)
        origin, along = camera.rays(camera.grid().reshape(-1, 2)[view.pixel])
        b = along @ (origin - torch.tensor([0, 0, THICK + radius]))
        c = ((origin - torch.tensor([0, 0, THICK + radius])) ** 2).sum() - radius**2
        distance = -b - (b * b - c).sqrt()  # the ball's near side is the front, seen from below
        errors.append(float((view.distance - distance).abs().max()))
        exact = origin + distance[:, None] * along - torch.tensor([0, 0, THICK + radius])
        turned.append(float((view.normals + exact / radius).norm(dim=-1).max()))
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert slopes[-1] > (1.8 if degree == 1 else 2.8), errors
    slopes = np.log2(np.array(turned[:-1]) / turned[1:])
    assert slopes[-1] > (0.8 if degree == 1 else 1.8), turned


@pytest.mark.parametrize("degree", [1, 2])
def test_a_dome_seen_from_its_centre(degree: int) -> None:
    """Facets lie between the sphere and one sagitta below it; normals point away."""
    surface = Surface(Elements(dome(0.0075, 0.015, 8, 1), degree), "outer")
    view = View(surface, surface.still(), fisheye())
    radius = view.points.norm(dim=-1)
    corners = surface.rest[surface.triangles[:, :3]]
    longest = float((corners - corners.roll(1, 1)).norm(dim=-1).max())
    assert (radius <= 0.015 + 1e-15).all() and (0.015 - radius).max() < longest**2 / 4 / 0.015
    assert ((view.normals * view.points).sum(-1) / radius).min() > 0.98
    # the nodes' mean normals are an order nearer to the sphere's than the facets'
    away = view.points / radius[:, None]
    inner = view.points[:, 2] > 0.005  # at the rim, means are one-sided
    facets, smooth = (
        (n - away)[inner].norm(dim=-1).max() for n in (view.normals, view.smooth_normals)
    )
    assert smooth < facets / 4
    # the image's pixels closer to the axis than the rim are all seen
    along = view.camera.rays(view.camera.grid().reshape(-1, 2))[1]
    up = torch.nonzero(along[:, 2] > 0.05)[:, 0]
    assert torch.isin(up, view.pixel).all()


@pytest.mark.parametrize("what", ["depth", "distance", "points", "normals", "smooth_normals"])
@pytest.mark.parametrize(
    "make", [lambda: flat(2, tilted()), lambda: flat(1, tilted()), round_], ids=["P2", "P1", "dome"]
)
def test_gradients_of_what_is_seen(make, what: str) -> None:
    sensor = make()
    found, central = directional(
        lambda u: getattr(sensor.view(u), what), smooth(sensor.elements), 1e-8
    )
    assert found == pytest.approx(central, rel=1e-6)


@pytest.mark.parametrize(("make", "camera"), [(flat, tilted()), (round_, fisheye())])
def test_another_library_sees_the_same(make, camera: Camera) -> None:
    """trimesh casts the same rays against the same flat triangles."""
    sensor = make(1, camera)
    surface, u = sensor.surface, smooth(sensor.elements)
    view = sensor.view(u)
    mesh = trimesh.Trimesh((surface.rest + u).numpy(), surface.triangles.numpy(), process=False)
    origin, along = sensor.camera.rays(sensor.camera.grid().reshape(-1, 2))
    starts = origin.expand_as(along).numpy()
    at, pixel, triangle = mesh.ray.intersects_location(starts, along.numpy(), multiple_hits=False)
    order = np.argsort(pixel)
    assert np.array_equal(pixel[order], view.pixel.numpy())
    assert np.abs(at[order] - view.points.numpy()).max() <= 1e-9  # it offsets rays a little
    assert (triangle[order] == view.places.triangle.numpy()).mean() > 0.99  # edges may differ


def test_gradient_reaches_the_camera() -> None:
    surface, base = front(), tilted()
    u = smooth(surface.elements)

    def depth(numbers: Tensor) -> Tensor:
        lens = Pinhole(*(1 + numbers[:4]) * torch.tensor([36.0, 38.0, 20.3, 14.1]))
        pose = base.pose.moved(numbers[4:7], 0.01 * numbers[7:10])
        return View(surface, u, Camera(lens, 40, 30, pose)).depth[:500]

    found, central = directional(depth, torch.full((10,), 0.01, dtype=torch.float64), 1e-7)
    assert found == pytest.approx(central, rel=1e-6)


def test_fields_are_interpolated_where_they_are_seen() -> None:
    surface = front()
    view = View(surface, surface.still(), tilted())
    field = surface.rest[:, 0] ** 2 - surface.rest[:, 1] * 3
    x, y, _ = view.points.T
    assert (view.of(field) - (x**2 - 3 * y)).abs().max() <= 1e-17
    assert (view.of(surface.rest) - view.points).abs().max() <= 1e-17


def test_the_nearer_side_is_seen() -> None:
    """The whole boundary from below: the back at z = 0 hides the front."""
    surface = Surface(Elements(pad(WIDTH, DEPTH, THICK, (4, 3, 1)), 2), "boundary")
    view = View(surface, surface.still(), pinhole())
    middle = view.image(view.points)[15, 20]
    assert abs(float(middle[2])) <= 1e-16
    assert float(view.image(view.normals)[15, 20, 2]) == pytest.approx(-1)


def test_pixels_that_see_nothing_are_nan() -> None:
    sensor = round_()
    view = sensor.view(sensor.surface.still())
    image = view.image(view.depth)
    assert torch.isnan(image[0, 0]) and not torch.isnan(image[24, 32])
    assert int(torch.isfinite(image).sum()) == len(view.pixel)
    away = View(sensor.surface, sensor.surface.still(), pinhole_away())
    assert len(away.pixel) == 0 and torch.isnan(away.image(away.depth)).all()


def pinhole_away() -> Camera:
    """Below the dome, looking down."""
    return Camera(Pinhole(40.0, 40.0, 19.5, 14.5), 40, 30, looking((0, 0, -0.02), (0, 0, -1)))


def test_a_coarser_look_is_the_same_view() -> None:
    sensor = flat()
    u = bent(sensor.surface.rest)
    fine, coarse = sensor.view(u), sensor.view(u, 0.5)
    assert coarse.image(coarse.depth).shape == (15, 20)
    blocks = fine.image(fine.depth).reshape(15, 2, 20, 2).mean((1, 3))
    assert (blocks - coarse.image(coarse.depth)).abs().max() < 5e-6  # curvature within two pixels

"""Markers: layouts, exact for affine motion, differentiable to pixels; sensors from one YAML."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from sciml.calculus import simplex
from sciml.checks import check
from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.materials import neo_hookean
from sciml.tactile.sensor import Sensor, Surface, fibonacci, grid, located
from sciml.tactile.sensor.markers import Markers
from sciml.tactile.shapes import dome, pad
from sciml.tactile.simulator import DeadLoad, Newton, Simulator
from sciml.tactile.triangle import lattice, quadrature, shape, slopes
from tests.tactile.sensors import (
    DEPTH,
    GEL,
    THICK,
    WIDTH,
    directional,
    fisheye,
    flat,
    pinhole,
    round_,
    smooth,
)

CONF = Path(__file__).resolve().parents[2] / "conf/sensor"
GRADIENT = torch.tensor(
    [[0.05, 0.02, 0.0], [-0.03, -0.04, 0.01], [0.02, 0.0, 0.06]], dtype=torch.float64
)


def simplexes(count: int = 20) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).dirichlet([1, 1, 1], count))


@pytest.mark.parametrize("degree", [1, 2])
def test_a_triangle_is_the_face_of_a_tetrahedron(degree: int) -> None:
    """Its nodes 0, 1, 2 and the midpoints of 01, 12, 02."""
    at = simplexes()
    on_face = np.column_stack([at.numpy(), np.zeros(len(at))])
    wanted = simplex.shape(degree, on_face)[:, [0, 1, 2, 4, 7, 5][: 3 * degree]]
    assert np.allclose(shape(degree, at).numpy(), wanted, atol=1e-15)


@pytest.mark.parametrize("degree", [1, 2])
def test_slopes_of_shape_functions(degree: int) -> None:
    at, step = simplexes(), 1e-6
    for axis, move in enumerate(([-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0])):
        d = step * torch.tensor(move, dtype=torch.float64)
        central = (shape(degree, at + d) - shape(degree, at - d)) / (2 * step)
        assert torch.allclose(slopes(degree, at)[..., axis], central, atol=1e-9)


def test_quadrature_is_exact_to_degree_5() -> None:
    """∫ λ0^a λ1^b λ2^c over area 1 is 2 a! b! c! / (a + b + c + 2)!."""
    from math import factorial as f

    points, weights = quadrature()
    for a in range(6):
        for b in range(6 - a):
            for c in range(6 - a - b):
                found = (weights * points[:, 0] ** a * points[:, 1] ** b * points[:, 2] ** c).sum()
                wanted = 2 * f(a) * f(b) * f(c) / f(a + b + c + 2)
                assert float(found) == pytest.approx(wanted, rel=1e-13)


def test_a_lattice_fills_the_triangle() -> None:
    points, pieces = lattice(4)
    corners = points[np.array(pieces)][..., 1:]
    areas = np.linalg.det(corners[:, 1:] - corners[:, :1])
    assert len(pieces) == 16 and areas == pytest.approx(1 / 16, rel=1e-12)


def test_layouts() -> None:
    at = grid(5, 4, 0.002, 0.004)
    assert at.shape == (20, 3) and np.abs(at.mean(0) - [0, 0, 0.004]).max() < 1e-17
    assert np.diff(at[:5, 0]) == pytest.approx(0.002) and (at[:5, 1] == at[0, 1]).all()
    cap = fibonacci(117, 0.015, 60.0)
    assert np.linalg.norm(cap, axis=1) == pytest.approx(0.015, rel=1e-14)
    # equal shares of the cap's height 1 - cos 60° = 1/2, from half a share below the pole
    assert np.diff(cap[:, 2]) == pytest.approx(-0.015 / 2 / 117, rel=1e-9)
    assert np.rad2deg(np.arccos(cap[-1, 2] / 0.015)) < 60


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("make", [flat, round_])
def test_affine_motion_is_exact(make, degree: int) -> None:
    sensor = make(degree)
    rest = sensor.markers.positions(sensor.surface.still())
    u = sensor.surface.rest @ GRADIENT.T + 1e-3
    wanted = rest + rest @ GRADIENT.T + 1e-3
    assert (sensor.markers.positions(u) - wanted).abs().max() <= 1e-16
    flow = sensor.camera.project(wanted) - sensor.camera.project(rest)
    assert (sensor.flow(u) - flow).abs().max() <= 1e-13


def test_quadratic_motion_is_exact_on_quadratic_elements() -> None:
    sensor = flat(2)
    rest = sensor.markers.positions(sensor.surface.still())

    def bend(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0] * x[:, 1], x[:, 1] ** 2, -3 * x[:, 0] ** 2], dim=-1)

    found = sensor.markers.positions(bend(sensor.surface.rest)) - rest
    assert (found - bend(rest)).abs().max() <= 1e-17


def test_markers_of_a_pad_are_where_they_were_put() -> None:
    sensor = flat()
    rest = sensor.markers.positions(sensor.surface.still()).numpy()
    assert np.abs(rest - grid(5, 4, 0.0025, THICK)).max() <= 1e-17


def test_markers_of_a_dome_lie_on_its_facets() -> None:
    """Nearer to the sphere than the sagitta of its longest edge, e²/(8 R)."""
    sensor = round_(1)
    radius = sensor.markers.positions(sensor.surface.still()).norm(dim=-1)
    corners = sensor.surface.rest[sensor.surface.triangles]
    longest = float((corners - corners.roll(1, 1)).norm(dim=-1).max())
    assert (radius <= 0.015 + 1e-15).all() and (0.015 - radius).max() < longest**2 / 8 / 0.015 * 2


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("make", [flat, round_])
def test_gradient_from_displacements_to_pixels(make, degree: int) -> None:
    sensor = make(degree)
    found, central = directional(sensor.marker_pixels, smooth(sensor.elements), 1e-6)
    assert found == pytest.approx(central, rel=1e-8)


def test_gradient_from_stiffness_to_pixels() -> None:
    """Through the simulator: d(w·pixels)/dE of a pad pushed aside by 30 mN."""
    sensor = Sensor(
        pad(WIDTH, DEPTH, THICK, (4, 3, 1)), GEL, pinhole(), grid(5, 4, 0.0025, THICK), degree=1
    )
    weights = torch.from_numpy(sensor.elements.surface_weights("front"))
    f = weights[:, None] * torch.tensor([100.0, 40.0, -60.0])  # Pa
    simulator = Simulator(sensor.elements, sensor.held, terms=[DeadLoad()], newton=Newton(1e-12))
    w = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 2)))

    def measured(E: torch.Tensor) -> torch.Tensor:
        loads = [(torch.stack([0 * f, f]),)]
        trajectory = simulator(neo_hookean(E, 0.3), 1, parameters=loads)
        return (w * sensor.flow(trajectory.u[-1])).sum()

    E = torch.tensor(2e3, dtype=torch.float64, requires_grad=True)
    measured(E).backward()
    with torch.no_grad():
        central = (measured(E * 1.0001) - measured(E * 0.9999)) / (2e-4 * E)
    assert float(E.grad) == pytest.approx(float(central), rel=1e-6)


@pytest.mark.parametrize("make", [flat, round_])
def test_markers_of_an_image_are_found_on_the_gel(make) -> None:
    sensor = make()
    pixels = sensor.pixels_at_rest.numpy()
    points = located(sensor.surface, sensor.camera, pixels)
    rest = sensor.markers.positions(sensor.surface.still()).numpy()
    assert np.abs(points - rest).max() <= 1e-15
    fewer = sensor.with_markers(points[::2])
    assert len(fewer.markers) == len(points[::2]) and len(sensor.markers) == len(points)
    assert np.abs(fewer.pixels_at_rest.numpy() - pixels[::2]).max() <= 1e-11
    with pytest.raises(UserError, match="see surface .* at rest, got 1 of 2 that do not .number 1"):
        located(sensor.surface, sensor.camera, np.array([pixels[0], [-20.0, -5.0]]))


def test_which_markers_are_seen() -> None:
    sensor = flat()
    u = sensor.surface.still()
    assert sensor.seen(u).all()
    u[:, 0] = 0.005  # the fifth column, 5 mm off the middle, moves to 10 of 8 mm
    assert sensor.seen(u).reshape(4, 5).all(0).tolist() == [True] * 4 + [False]


def test_markers_are_told_apart_from_their_neighbours_triangles() -> None:
    """A marker at a node has the node's weight alone, however many triangles meet there."""
    surface = Surface(Elements(pad(WIDTH, DEPTH, THICK, (4, 3, 1)), 2), "front")
    nodes = surface.elements.on("front")[:5]
    markers = Markers(surface, surface.elements.nodes[nodes])
    u = smooth(surface.elements)
    wanted = (surface.rest + u)[torch.from_numpy(nodes)]
    assert (markers.positions(u) - wanted).abs().max() <= 1e-17


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Sensor(
                pad(0.02, 0.015, 0.004, (4, 3, 1)), GEL, pinhole(), grid(9, 4, 0.0022, THICK)
            ),
            "markers: expected all 36 inside the image of 40 x 30 pixels at rest, got 8 outside "
            r".number 0 at column -2.5, row 6.2.; move or turn the camera",
        ),
        (
            lambda: Sensor(
                pad(0.02, 0.015, 0.004, (4, 3, 1)), GEL, pinhole(), grid(3, 3, 2.5, 4.0)
            ),
            r"markers: expected points on surface 'front', got 9 of 9 off it .number 0 at "
            r"\(-2.5, -2.5, 4\) m is .* m away.; if these are millimetres multiply by 1e-3",
        ),
        (
            lambda: Sensor(
                dome(0.0075, 0.015, 4, 1), GEL, fisheye(), fibonacci(9, 0.015, 40.0), None, "front"
            ),
            "surface 'front': expected one of boundary, inner, outer, rim",
        ),
        (
            lambda: Sensor(
                dome(0.0075, 0.015, 4, 1), GEL, fisheye(), fibonacci(9, 0.015, 40.0), None, "outer"
            ),
            "surface 'back': expected one of boundary, inner, outer, rim",
        ),
        (lambda: grid(0, 3, 0.001, 0.0), "grid: expected columns > 0, got 0"),
        (lambda: grid(3, 3, -0.001, 0.0), "grid: expected spacing > 0, got -0.001"),
        (lambda: fibonacci(0, 0.015, 60.0), "fibonacci: expected count > 0, got 0"),
        (lambda: fibonacci(9, 0.015, 200.0), r"opening in \(0, 180\] degrees, got 200"),
        (
            lambda: flat(2).marker_pixels(torch.zeros(40, 3).double()),
            r"u: expected one vector for each node, \[189, 3\], got \[40, 3\]; for degree 2 the",
        ),
        (
            lambda: pad(0.02, 0.015, 0.004, [4, 3]),
            "pad: expected cells along three axes, got .4, 3",
        ),
    ],
)
def test_bad_sensors_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        make()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "markers", "taxels"), [("pad", 63, 80), ("dome", 117, 48)])
def test_a_sensor_is_one_yaml(name: str, markers: int, taxels: int) -> None:
    """Built where a case would put it: one level down, lists as lists."""
    config = OmegaConf.create({"sensor": OmegaConf.load(CONF / f"{name}.yaml")})
    check(OmegaConf.to_container(config, resolve=True))
    sensor = hydra.utils.instantiate(config, _convert_="all")["sensor"]
    assert len(sensor.markers) == markers and len(sensor.taxels) == taxels
    assert sensor.seen(sensor.surface.still()).all()
    assert float(sensor.material.density) == 1070
    found, central = directional(sensor.marker_pixels, smooth(sensor.elements), 1e-6)
    assert found == pytest.approx(central, rel=1e-7)


def test_a_misspelt_key_of_a_sensor_is_named() -> None:
    config = OmegaConf.to_container(OmegaConf.load(CONF / "dome.yaml"), resolve=True)
    config["camera"]["lens"]["focal"] = config["camera"]["lens"].pop("f")
    with pytest.raises(UserError, match="camera.lens.focal"):
        check(config)


def test_the_sensor_of_the_documents_is_built() -> None:
    page = (CONF.parents[1] / "docs/tactile.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    (code,) = (block for block in blocks if "sensor = Sensor(" in block)
    names: dict = {}
    exec(code, names)
    assert names["pixels"].shape == (63, 2) and names["depth"].shape == (60, 80)
    assert names["normals"][30, 40].tolist() == pytest.approx([0, 0, 1], abs=1e-14)


def test_the_dome_has_the_published_camera() -> None:
    """f θ of the released code: 150 pixel/rad, 0.2 mm behind the centre, around (332, 240)."""
    config = OmegaConf.load(CONF / "dome.yaml")
    camera = hydra.utils.instantiate(config, _convert_="all").camera
    theta = np.arctan2(0.015 * np.sin(0.7), 0.015 * np.cos(0.7) + 0.0002)
    at = 0.015 * torch.tensor([[np.sin(0.7), 0.0, np.cos(0.7)]])
    assert camera.project(at)[0].numpy() == pytest.approx([332 + 150 * theta, 240], rel=1e-12)

"""What a simulation reports, against the path, the wrench on the ball and the laws' own moduli."""

import math

import numpy as np
import pytest
import torch

from sciml.tactile import materials
from sciml.tactile.contact import Ball
from sciml.tactile.elements import Elements
from sciml.tactile.metric import Touch
from sciml.tactile.moduli import young
from sciml.tactile.predictor import dataset
from sciml.tactile.scene import Scene
from sciml.tactile.shapes import block
from sciml.tactile.simulator import QuasiStatic
from tests.tactile.sensors import THICK, flat

DEPTH, WAY = 5e-4, 4e-4  # m


@pytest.fixture(scope="module")
def slid() -> tuple[Scene, dict[str, float]]:
    """Pressed 0.5 mm in two steps, slid 0.4 mm along x in two more."""
    above = THICK + 0.005
    stations = [[0.0, 0.0, above], [0.0, 0.0, above - DEPTH], [WAY, 0.0, above - DEPTH]]
    scene = Scene(flat(cells=(8, 6, 1)), Ball(0.005), stations, 2, 0.3, 1e10)
    with torch.no_grad():
        observed = scene()
    found = dataset(scene, observed, scene.sensor.material)
    return scene, {"observed": observed, "found": found}


def numbers(slid) -> dict[str, float]:
    scene, made = slid
    told = Touch(scene.sensor.surface)(made["found"])
    return {name.removeprefix("touch/"): value for name, value in told.items()}


def test_forces_are_those_on_the_ball(slid) -> None:
    found, wrench = numbers(slid), slid[1]["observed"].wrench.numpy()
    assert found["normal_force_N"] == pytest.approx(wrench[-1, 2])
    assert found["peak_normal_force_N"] == pytest.approx(wrench[:, 2].max())
    assert found["tangential_force_N"] == pytest.approx(math.hypot(*wrench[-1, :2]))
    assert found["twisting_moment_mN_m"] == pytest.approx(1e3 * abs(wrench[-1, 5]))
    # Coulomb's limit, and what the front leans against the ball where it ploughs, at most a/R
    lean = found["contact_radius_mm"] / 5
    assert 0.3 - lean < found["tangential_force_N"] / found["normal_force_N"] < 0.3 + lean
    assert found["slip_share"] == 1.0, "the slide is forty times the slip at which a point lets go"


def test_lengths_are_those_of_the_path(slid) -> None:
    found = numbers(slid)
    # a point of the quadrature is within 0.45 mm of the ball's axis: 0.45²/(2 · 5) mm = 20 µm
    assert 1e3 * DEPTH - 0.020 < found["depth_mm"] <= 1e3 * DEPTH
    assert 0 < found["penetration_share"] < 0.05
    # Hertz has √(R d) = 1.6 mm; a bonded layer that cannot give way sideways has more
    assert 1.4 < found["contact_radius_mm"] < 2.3
    flow = slid[1]["found"].markers.values
    flow = np.linalg.norm(flow - flow[0], axis=-1)
    assert found["mean_marker_flow_px"] == pytest.approx(flow[-1].mean())
    assert found["largest_marker_flow_px"] == pytest.approx(flow.max())


@pytest.mark.parametrize(
    ("scheme", "unit", "end"),
    [
        (None, "1", 2.0),
        (QuasiStatic(), "1", 2.0),
        (QuasiStatic(dt=1.0), "s", 2.0),
        (QuasiStatic(dt=0.1), "s", 0.2),
    ],
)
def test_time_has_seconds_where_the_scheme_has(scheme, unit: str, end: float) -> None:
    above = THICK + 0.005
    stations = [[0.0, 0.0, above], [0.0, 0.0, above - 1e-4]]
    scene = Scene(flat(degree=1), Ball(0.005), stations, 2, 0.0, 1e9, scheme=scheme)
    with torch.no_grad():
        time = dataset(scene, scene(), scene.sensor.material).time
    assert time.attrs["units"] == unit and float(time[-1]) == pytest.approx(end)


def test_nothing_touches_at_the_start(slid) -> None:
    found = slid[1]["found"]
    assert not found.contact_area[0] and not found.slip_share[0] and not found.indentation[0]
    assert (found.contact_area[1:] > 0).all()


@pytest.mark.parametrize(("friction", "share"), [(0.0, 1.0), (50.0, 0.0)])
def test_without_friction_all_slides_and_with_much_nothing(friction: float, share: float) -> None:
    above = THICK + 0.005
    stations = [[0.0, 0.0, above], [0.0, 0.0, above - 2e-4], [1e-4, 0.0, above - 2e-4]]
    scene = Scene(flat(1, cells=(10, 8, 1)), Ball(0.005), stations, 1, friction, 1e10)
    with torch.no_grad():
        found = dataset(scene, scene(), scene.sensor.material)
    assert float(found.slip_share[-1]) == share and float(found.contact_area[-1]) > 0


def test_a_simulation_that_touches_nothing_says_so_and_has_forces_of_nothing() -> None:
    scene = Scene(flat(), Ball(0.005), [[0.0, 0.0, 0.011], [0.0, 0.0, 0.010]], 1, 0.3, 1e10)
    with torch.no_grad():
        observed = dataset(scene, scene(), scene.sensor.material)
    with pytest.warns(UserWarning, match="nothing was touched at any step"):
        found = Touch(scene.sensor.surface)(observed)
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize(
    ("material", "known"),
    [
        (materials.linear(2e5, 0.3), 2e5),
        (materials.st_venant_kirchhoff(2e5, 0.3), 2e5),
        (materials.neo_hookean(2e5, 0.45), 2e5),
        (materials.stable_neo_hookean(2e5, 0.45), 2e5),
        (materials.mooney_rivlin(2e4, 1e4, 0.45), 2 * 3e4 * 2 * 1.45),  # μ = 2 Σ c, E = 2 μ (1 + ν)
        (materials.yeoh(2e4, -1e3, 1e2, 0.45), 2 * 2e4 * 2 * 1.45),
        (materials.viscoelastic(materials.neo_hookean(2e5, 0.45), [0.5], [1.0]), 2e5),
        (materials.linear(2e5, 0.5, pressure=True), 2e5),
        (materials.neo_hookean(2e5, 0.5, pressure=True), 2e5),
        (materials.neo_hookean(2e5, 0.3, pressure=True), 2e5),
        (materials.stable_neo_hookean(2e5, 0.49, pressure=True), 2e5),
        (materials.mooney_rivlin(2e4, 1e4, 0.4, pressure=True), 2 * 3e4 * 2 * 1.4),
        (materials.yeoh(2e4, -1e3, 1e2, 0.5, pressure=True), 3 * 2 * 2e4),
    ],
)
def test_youngs_modulus_is_found_from_any_law(material, known: float) -> None:
    np.testing.assert_allclose(young(material, 4), np.full(4, known), rtol=1e-6)


def test_a_field_of_moduli_is_found_cell_by_cell() -> None:
    elements = Elements(block((0.01, 0.01, 0.01), (1, 1, 1)))
    E = torch.linspace(1e5, 3e5, len(elements.cells), dtype=torch.float64)
    for pressure in (False, True):
        found = young(materials.neo_hookean(E, 0.45, pressure=pressure), len(E))
        np.testing.assert_allclose(found, E, rtol=1e-6)

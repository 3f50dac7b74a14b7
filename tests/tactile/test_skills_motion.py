"""Motions of skills: bounded splines, planar poses, a block that turns freely about its edge."""

import math

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile.contact import RigidContact
from sciml.tactile.contact.pose import into_frame
from sciml.tactile.objects.hinged import HingedContact, placed
from sciml.tactile.simulator import Simulator
from sciml.tactile.skills.trajectory import Curve, approached, basis, roughness, seen
from tests.tactile.skills import LENGTH, block, dome_sensor


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("knots", [2, 3, 4, 7])
def test_a_line_is_met_exactly(knots: int) -> None:
    curve = Curve([-1.0, 2.0], -3.0, 3.0, knots, 0.1)
    torch.testing.assert_close(curve(8), torch.linspace(-1, 2, 9, dtype=torch.float64))
    np.testing.assert_allclose(basis(knots, 8).sum(1), 1)


def test_a_curve_keeps_its_bounds_and_its_unit() -> None:
    curve = Curve(0.2, 0.0, 1.0, 6, 0.01)
    with torch.no_grad():
        curve.z += 1e4 * torch.randn(6, generator=torch.Generator().manual_seed(0)).double()
    assert float(curve(30).min()) >= 0 and float(curve(30).max()) <= 1
    curve = Curve(0.5, 0.0, 1.0, 6, 0.01)  # dq/dz = one unit amid the bounds
    slope = torch.autograd.functional.jacobian(lambda z: 0 + _with(curve, z), curve.z.detach())
    torch.testing.assert_close(slope.diagonal(), torch.full((6,), 0.01).double())


def _with(curve: Curve, z: torch.Tensor) -> torch.Tensor:
    return curve.low + (curve.high - curve.low) * torch.sigmoid(z / curve.width)


def test_starts_differ_by_seed_and_stay_inside() -> None:
    found = []
    for seed in (0, 0, 1):
        curve = Curve(0.9, 0.0, 1.0, 5, 0.01, spread=1.0)
        curve.scatter(seed)
        found.append(curve.coefficients().detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert float(found[2].max()) < 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": 2.0}, "between 0 and 1"),
        ({"start": [0.1, 0.2, 0.3]}, "its first and last value"),
        ({"knots": 1}, "knots >= 2"),
        ({"unit": 0.0}, "unit > 0"),
    ],
)
def test_curves_refuse(given: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Curve(**({"start": 0.5, "low": 0.0, "high": 1.0, "knots": 4, "unit": 0.1} | given))


def test_more_knots_than_increments_are_refused() -> None:
    with pytest.raises(UserError, match="at most 4 knots for 3 increments, got 5"):
        Curve(0.5, 0.0, 1.0, 5, 0.1)(3)


def test_the_world_is_seen_from_where_the_sensor_is() -> None:
    """The pole's place in the world comes to lie at the pole; the axis is turned by the pitch."""
    x, z, pitch = tensor(0.01, -0.02), tensor(0.003, 0.05), tensor(0.3, 1.7)
    poses = seen(x, z, pitch, 0.015)
    for i in range(2):
        R = into_frame(torch.zeros(1, 3).double(), poses[i])[1]  # from the world to the sensor
        at_pole = R @ tensor(float(x[i]), 0.0, float(z[i])) + poses[i, :3]
        torch.testing.assert_close(at_pole, tensor(0.0, 0.0, 0.015))
        axis = tensor(math.sin(pitch[i]), 0.0, math.cos(pitch[i]))
        torch.testing.assert_close(R @ axis, tensor(0.0, 0.0, 1.0))


def test_the_approach_is_along_the_axis() -> None:
    x, z, pitch = approached(tensor(1.0, 2.0), tensor(0.0, 0.0), tensor(0.5, 0.6), 0.1, 2)
    torch.testing.assert_close(pitch, tensor(0.5, 0.5, 0.5, 0.6))
    torch.testing.assert_close(
        torch.stack([x[0] - 1, z[0]]), -0.1 * tensor(math.sin(0.5), math.cos(0.5))
    )
    torch.testing.assert_close(x[1:3], tensor(1 - 0.05 * math.sin(0.5), 1.0))


def test_a_parabola_bends_evenly() -> None:
    s = torch.arange(6).double()
    torch.testing.assert_close(roughness(3 * s * s + s, 2.0), torch.full((4,), 3.0).double())


# ---- a block on a hinge -------------------------------------------------------------------------


def march(push: torch.Tensor, mass: float = 0.19, away: float = 0.0):
    """The sensor pushes its face by `push` m in three steps; what came out, and the term."""
    sensor, thing = dome_sensor(), block(mass)
    contact = RigidContact(sensor.elements, "outer", thing, 5e8)
    term = HingedContact(contact, mass, thing.centre, 40.0)
    s = torch.tensor([-0.5, 0.2, 0.6, 1.0], dtype=torch.float64)
    x = -thing.size[0] - away + push * s
    hinge = seen(x, 0.045 + 0 * x, torch.full_like(x, math.pi / 2), LENGTH)
    simulator = Simulator(sensor.elements, ["inner"], None, [term])
    given = [(hinge, torch.full((4,), 0.6).double())]
    return simulator(sensor.material, 3, None, given), term


def test_the_block_is_in_balance_about_its_edge() -> None:
    found, term = march(tensor(4e-3)[0])
    theta = torch.stack([term.angle(*acting[0]) for acting in found.acting])
    assert theta[-1] > math.radians(1)
    for angle, ((u, before, hinge, friction, *memory),) in zip(theta, found.acting, strict=True):
        pose = placed(hinge, angle)
        wrench = term.contact.wrench(u, before, pose, friction, *memory[:3])
        resting = 40 * max(0.0, term._rest - float(angle))
        moment = wrench[4] + term.contact.solid.moment(angle) + resting
        assert abs(float(moment)) < 1e-9


def test_a_block_that_is_not_touched_or_too_heavy_stays() -> None:
    found, term = march(tensor(1e-3)[0], away=2e-3)
    assert max(abs(float(term.angle(*acting[0]))) for acting in found.acting) < 1e-12
    found, term = march(tensor(1e-3)[0], mass=20.0)
    assert abs(float(term.angle(*found.acting[-1][0]))) < math.radians(0.1)  # M/k of the stop


def test_the_angle_follows_the_push_as_differences_say() -> None:
    push = tensor(4e-3)[0].requires_grad_()
    found, term = march(push)
    (slope,) = torch.autograd.grad(term.angle(*found.acting[-1][0]), push)
    change, ends = 1e-7, []
    for sign in (1, -1):
        found, term = march(push.detach() + sign * change)
        ends.append(float(term.angle(*found.acting[-1][0])))
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / (2 * change), rel=1e-5)


def test_the_tangent_has_the_turning_block_in_it() -> None:
    """Blocks against differences of the forces, at a state out of balance."""
    found, term = march(tensor(4e-3)[0])
    u, before, hinge, friction, *memory = found.acting[-1][0]
    direction = 1e-10 * torch.randn(u.shape, generator=torch.Generator().manual_seed(0)).double()
    given = (before, hinge, friction, *memory)
    ahead, behind = (term.force(u + s * direction, *given) for s in (1, -1))
    expected, made = (ahead - behind) / 2, torch.zeros_like(u)
    for (a, b), block_ in zip(term.pairs, term.blocks(u, *given), strict=True):
        made[a] += block_ @ direction[b]
        if a != b:
            made[b] += block_.T @ direction[a]
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_the_angle_does_not_depend_on_what_was_asked_before() -> None:
    """A block that was seen tipped over lies on its stop when it is not touched."""
    _, term = march(tensor(1e-3)[0], away=2e-3)
    start = torch.zeros(term.contact.elements.n, 3).double()
    far, none = seen(tensor(-1.0), tensor(0.0), tensor(math.pi / 2), LENGTH)[0], tensor(0.0)[0]
    contact = term.contact.start(start, far, none)
    tipped = (*contact, tensor(3.0)[0], start)  # beyond the angle from which it falls over
    resting = (*contact, tensor(0.0)[0], start)
    over = float(term.angle(start, start, far, none, *tipped))
    assert over > 1
    assert abs(float(term.angle(start, start, far, none, *resting))) < 1e-12


def test_hinges_refuse() -> None:
    contact = RigidContact(dome_sensor(1).elements, "outer", block(), 1e9)
    with pytest.raises(UserError, match="mass > 0 kg"):
        HingedContact(contact, 0.0, (-0.01, 0.02), 40.0)
    with pytest.raises(UserError, match="x <= 0"):
        HingedContact(contact, 0.1, (0.01, 0.02), 40.0)

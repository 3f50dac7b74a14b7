"""Losses of skills: gradients against differences, what a lost contact does, what is refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sciml.contracts import UserError
from sciml.tactile.objects.rigid import GRAVITY
from sciml.tactile.skills.follow import Force, Wavy
from sciml.tactile.skills.goal import Goal
from sciml.tactile.skills.reorient import Standing, Tipping, Turn
from sciml.tactile.skills.touch import SLOPE, Touch
from sciml.tactile.skills.trajectory import Curve, seen
from tests.tactile.skills import block, dome_sensor, followed, tipped

FORCE = {"target": 0.6, "tolerance": 0.012, "centre": 5e-4, "height": 2e-4, "pitch": 0.04}
TURN = {"target": 15.0, "tolerance": 0.5, "moment": 2e-3, "table": 0.2, "slide": 0.05}
TURN |= {"centre": 3e-4, "length": 2e-4, "turn": 0.02}


@pytest.mark.parametrize(
    ("model", "objective"), [(followed, Force(**FORCE)), (tipped, Turn(**TURN))]
)
def test_every_terms_gradient_is_that_of_differences(model, objective: nn.Module) -> None:
    """Along one direction in all unknowns."""
    motion = model()
    terms = objective(motion, Goal())
    assert set(terms) == set(objective.terms)
    draw = torch.Generator().manual_seed(0)
    way = [torch.randn(p.shape, generator=draw, dtype=p.dtype) for p in motion.parameters()]
    slopes = {}
    for name, term in terms.items():
        rows = torch.autograd.grad(
            term, list(motion.parameters()), retain_graph=True, allow_unused=True
        )
        slopes[name] = sum(
            float((r * d).sum()) for r, d in zip(rows, way, strict=True) if r is not None
        )
    change, ends = 1e-4, []
    for sign in (1, -2):  # there and, over where it was, back
        with torch.no_grad():
            for parameter, d in zip(motion.parameters(), way, strict=True):
                parameter += sign * change * d
            ends.append({k: float(v) for k, v in objective(motion, Goal()).items()})
    for name, slope in slopes.items():
        expected = (ends[0][name] - ends[1][name]) / (2 * change)
        assert slope == pytest.approx(expected, rel=2e-5, abs=1e-8), name


def test_the_wavy_surface_is_a_distance_where_it_is_touched() -> None:
    solid = Wavy(4e-4, 0.02)
    x = torch.linspace(-0.01, 0.01, 21).double()
    on = torch.stack([x, 0 * x, 4e-4 * (2 * math.pi * x / 0.02).cos()], 1).requires_grad_()
    d, n = solid.distance(on)
    assert float(d.abs().max()) < 1e-17
    torch.testing.assert_close(n.norm(dim=1), torch.ones(21).double())
    off = (on + 1e-4 * torch.randn(21, 3, generator=torch.Generator().manual_seed(0))).detach()
    off.requires_grad_()
    d, n = solid.distance(off)
    torch.testing.assert_close(torch.autograd.grad(d.sum(), off)[0], n)
    assert float(n[:, 2].max()) < 0  # out of the solid, downwards


def test_a_lost_contact_pulls_back() -> None:
    touch = Touch(dome_sensor(), Wavy(4e-4, 0.02), 0.3, 5e8)
    z = torch.tensor([-1e-3, -5e-4], dtype=torch.float64).requires_grad_()
    found = touch(seen(torch.zeros(2).double() + 0.005, z, torch.zeros(2).double(), touch.pole))
    clearance = float(found.normal[0].detach()) / -SLOPE
    assert 3e-4 < clearance < 7e-4  # 0.5 mm less what the wave rises beside the pole
    assert float(torch.autograd.grad(found.normal[0], z)[0][1]) > 0.9 * SLOPE
    assert not found.centre.any()


def test_pressing_on_a_flat_is_felt_along_the_axis() -> None:
    """The force is the sum of the nodal ones, along the axis, and grows with the depth."""
    touch = Touch(dome_sensor(), Wavy(1e-9, 1.0), 0.0, 5e8)
    z = torch.tensor([-1e-4, 4e-4, 8e-4], dtype=torch.float64)
    found = touch(seen(0 * z, z, 0 * z, touch.pole))
    torch.testing.assert_close(found.normal, found.wrench[:, 2])
    assert 0 < float(found.normal[0]) < float(found.normal[1])
    assert float(found.centre.abs().max()) < 1e-4  # the mesh is not quite symmetric


def test_forces_on_the_block_add_up() -> None:
    """Gel, weight and table in balance; the centre of mass is lifted as it turns."""
    motion = tipped()
    with torch.no_grad():
        found = motion()
    last = found.touched.wrench[-1]
    alpha = found.pitch[-1]
    across = last[0] * alpha.cos() + last[2] * alpha.sin()
    up = last[2] * alpha.cos() - last[0] * alpha.sin()
    torch.testing.assert_close(found.table[-1, 0], -across)
    torch.testing.assert_close(found.table[-1, 1] + up, torch.tensor(0.19 * GRAVITY).double())
    weight = block().moment(torch.tensor([0.0, math.atan(0.5)], dtype=torch.float64))
    assert float(weight[0]) == pytest.approx(-0.19 * GRAVITY * 0.015)
    assert abs(float(weight[1])) < 1e-12  # the centre above the edge: 15/30 mm


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Force(**(FORCE | {"target": -1.0})), "target > 0"),
        (lambda: Turn(**(TURN | {"moment": 0.0})), "moment > 0"),
        (lambda: followed(increments=1), "increments >= 2"),
        (lambda: followed(increments=2, clear=0.0), "clear > 0 m"),
        (lambda: tipped(approach=0), "approach >= 1"),
        (lambda: Wavy(0.0, 1.0), "amplitude > 0 m"),
        (lambda: Standing([0.03, 0.04, 0.06], 0.002, 0.0), "mass > 0 kg"),
        (lambda: Touch(dome_sensor(), Wavy(1e-3, 1.0), -0.1, 1e9), "a coefficient >= 0"),
        (
            lambda: Tipping(
                Touch(dome_sensor(), Wavy(1e-3, 1.0), 0.1, 1e9),
                *[Curve(0.5, 0.0, 1.0, 3, 0.1) for _ in range(4)],
                4,
            ),
            "expected a block as solid, got Wavy",
        ),
    ],
)
def test_mistakes_are_one_line(made, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        made()
    assert "\n" not in str(error.value)


def test_basis_is_on_the_whole_way() -> None:
    curve = Curve([0.2, 0.8], 0.0, 1.0, 4, 0.1)
    np.testing.assert_allclose(curve(5).detach().numpy()[[0, -1]], [0.2, 0.8])

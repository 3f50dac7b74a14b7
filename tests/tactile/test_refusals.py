"""What cannot be simulated is refused in one line that says what to do; good states are kept."""

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block
from sciml.tactile.simulator import (
    BackwardEuler,
    DeadLoad,
    Newton,
    Simulator,
    StepRefused,
)

GEL = materials.neo_hookean(2e5, 0.45)


@pytest.fixture(scope="module")
def elements() -> Elements:
    return Elements(block((0.01, 0.01, 0.01), (2, 2, 2)), 1)


@pytest.mark.parametrize(
    ("material", "said"),
    [
        (lambda: materials.neo_hookean(-1.0, 0.4), "Young's modulus E: expected Pa > 0, got -1"),
        (lambda: materials.linear(1e5, 0.6), "expected -1 < nu ≤ 0.5, got 0.6; a gel is about"),
        (lambda: materials.linear(1e5, -1.5), "expected -1 < nu ≤ 0.5, got -1.5"),
        (lambda: materials.neo_hookean(1e5, 0.5), "got 0.5; give pressure=True, or lower nu to"),
        (lambda: materials.neo_hookean(1e5, 0.0, pressure=True), "expected 0 < nu ≤ 0.5 with pre"),
        (lambda: materials.yeoh(1e4, 0.0, 0.0, 0.499), "expected nu < 0.495 without a pressure fi"),
        (lambda: materials.mooney_rivlin(1e4, -2e4, 0.4), "2 .c10 . c01.: expected Pa > 0"),
        (lambda: materials.linear(1e5, 0.4, 0.0), "density: expected kg m⁻³ > 0, got 0.0"),
        (lambda: materials.linear(torch.ones(2, 2), 0.4), "one value per cell, got shape .2, 2."),
        (lambda: materials.linear(float("nan"), 0.4), "expected Pa > 0, got nan"),
    ],
)
def test_materials(material, said: str) -> None:
    with pytest.raises(UserError, match=said):
        material()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([], "expected x, y and z to be held somewhere.*the body would float"),
        ({"x0": "x", "y0": "y"}, "the body would float; hold one of bottom, boundary, top"),
        (["back"], "surface 'back': expected one of bottom"),
        ({"x0": "w"}, "held 'x0': expected some of 'xyz', got 'w'"),
    ],
)
def test_held_surfaces(elements: Elements, held, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Simulator(elements, held)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"motion": torch.zeros(1, 9, 3).double()}, r"= \[2, 9, 3\], got \[1, 9, 3\]"),
        ({"parameters": []}, "expected one entry for each of 1 external terms, got 0"),
        ({"parameters": [(torch.zeros(3, 27, 3).double(),)]}, "expected 2 times, got shape .3, 27"),
        ({"material": materials.neo_hookean(torch.ones(5), 0.4)}, "each of 48 cells, got 5"),
    ],
)
def test_inputs_that_do_not_fit(elements: Elements, given: dict, said: str) -> None:
    simulator = Simulator(elements, ["bottom"], terms=[DeadLoad()])
    sound = {"material": GEL, "steps": 1, "parameters": [(torch.zeros(2, 27, 3).double(),)]}
    simulator(**sound)
    with pytest.raises(UserError, match=said):
        simulator(**sound | given)


def crushed(elements: Elements, **settings) -> None:
    """Three steps of compression, the last of which would turn the body inside out."""
    simulator = Simulator(elements, ["bottom", "top"], newton=Newton(**settings))
    motion = torch.zeros(4, len(simulator.held), 3).double()
    top = elements.nodes[simulator.held, 2] > 0
    for step, depth in enumerate((0.0, 0.001, 0.002, 0.015)):
        motion[step, top, 2] = -depth
    simulator(GEL, 3, motion)


def test_a_step_too_large_is_refused_with_its_reason_and_the_good_states(elements) -> None:
    with pytest.raises(StepRefused, match="step 3 of 3: expected a balance of forces") as refusal:
        crushed(elements)
    text = str(refusal.value)
    assert "1/64 of the step" in text and "take smaller steps" in text and "\n" not in text
    kept = refusal.value.trajectory
    assert len(kept.u) == 3 and len(kept.holding) == 2
    assert float(kept.u[-1][:, 2].min()) == pytest.approx(-0.002)


def test_an_unconverged_newton_is_never_accepted(elements: Elements) -> None:
    with pytest.raises(StepRefused, match="after 1 Newton iterations .* out of balance by") as said:
        crushed(elements, iterations=1, tolerance=1e-13)
    assert len(said.value.trajectory.u) == 1


def test_a_large_step_is_halved_and_ends_where_small_steps_end(elements: Elements) -> None:
    ends = []
    for steps in (1, 8):
        simulator = Simulator(elements, ["bottom", "top"], newton=Newton(1e-12, iterations=6))
        motion = torch.zeros(steps + 1, len(simulator.held), 3).double()
        top = torch.from_numpy(elements.nodes[simulator.held, 2] > 0)
        depth = torch.linspace(0, 0.004, steps + 1).double()
        motion[:, top, 2] = -depth[:, None]
        motion[:, top, 0] = depth[:, None]
        found = simulator(GEL, steps, motion)
        ends.append(found.u[-1].numpy())
    assert np.abs(ends[0] - ends[1]).max() <= 1e-9 * np.abs(ends[0]).max()


def test_a_floating_body_may_move_in_time(elements: Elements) -> None:
    simulator = Simulator(elements, [], BackwardEuler(1e-3), [DeadLoad()])
    weight = 1000 * 9.81 * torch.from_numpy(np.asarray(simulator.body.mass.sum(1)).ravel())
    f = torch.zeros(4, elements.n, 3).double()
    f[:, :, 2] = -weight
    found = simulator(GEL, 3, parameters=[(f,)])
    # backward Euler falls by g Δt² (1 + 2 + 3) in three steps
    fall = 9.81 * 1e-6 * 6
    assert found.u[-1][:, 2].numpy() == pytest.approx(-fall, rel=1e-9)

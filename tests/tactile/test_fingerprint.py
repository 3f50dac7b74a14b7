"""Which recordings of a simulation count as the same."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from sciml.tactile import materials
from sciml.tactile.contact import Ball, Sampled
from sciml.tactile.fingerprint import fingerprint
from sciml.tactile.inclusion import Inclusion
from sciml.tactile.scene import Scene
from sciml.tactile.simulator import QuasiStatic
from tests.tactile.sensors import THICK, flat

STATIONS = [[0.0, 0.0, THICK + 0.005], [0.0, 0.0, THICK + 0.0048]]
GRID = Sampled(torch.ones(12, 12, 12).double(), torch.zeros(3).double(), 1e-3)
LAW = partial(materials.neo_hookean, nu=0.45)


def of(solid=None, law=LAW, truth: dict | None = None, every: int = 1, **words) -> str:
    given = {"stations": STATIONS, "steps": 2, "friction": 0.3, "stiffness": 1e9} | words
    scene = Scene(flat(degree=1), solid or Ball(0.005), **given)
    return fingerprint(scene, law, truth or {"E": 1e5}, every)


def other_grid() -> Sampled:
    """One number of 1,728 is another in its last digits."""
    found = GRID.coefficients.clone()
    found[6, 6, 6] += 1e-12
    return replace(GRID, coefficients=found)


def test_the_same_scene_made_again_is_the_same() -> None:
    assert of() == of() and of(GRID) == of(replace(GRID))
    law = partial(materials.neo_hookean, nu=0.45)
    assert of(law=law) == of()


@pytest.mark.parametrize(
    "changed",
    [
        {"solid": Ball(0.0051)},
        {"law": partial(materials.neo_hookean, nu=0.46)},
        {"law": partial(materials.linear, nu=0.45)},
        {"truth": {"E": Inclusion(1e5, 2.0, (0.0, 0.0, 0.002), 1e-3)}},
        {"every": 2},
        {"friction": 0.31},
        {"stiffness": 2e9},
        {"penetration": 1e-6},
        {"scheme": QuasiStatic(dt=0.1)},
        {"steps": 3},
    ],
)
def test_whatever_makes_a_difference_is_seen(changed: dict) -> None:
    assert of(**changed) != of()


def test_a_sampled_solid_is_known_by_all_its_numbers() -> None:
    assert of(GRID) != of(other_grid())

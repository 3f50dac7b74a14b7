"""A problem knows its terms and the derivatives it needs; mistakes are refused at the door."""

import math

import numpy as np
import pytest
import torch

from sciml.contracts import UserError
from sciml.pinn import (
    Boundary,
    Face,
    Interior,
    Problem,
    dirichlet,
    disk,
    initial_value,
    initial_velocity,
    interval,
    neumann,
    point_data,
    rectangle,
)

SQUARE = rectangle((-1, -1), (1, 1))


def wall(axis, value, name):
    return dirichlet("u", 0.0, on=Face(axis, value), name=name, term="walls")


WALLS = (
    *(wall("x", -1, "left"), wall("x", 1, "right")),
    *(wall("y", -1, "bottom"), wall("y", 1, "top")),
)


def exact(f):
    return {"u": torch.sin(math.pi * f.x) * torch.sin(math.pi * f.y)}


def helmholtz(**changes):
    settings = {
        "name": "helmholtz",
        "domain": SQUARE,
        "unknowns": ("u",),
        "equations": lambda f: {"helmholtz": f.u_xx + f.u_yy + f.u},
        "conditions": WALLS,
        "exact": exact,
    }
    return Problem(**{**settings, **changes})


def test_terms_and_fields_asked_for():
    problem = helmholtz()
    assert problem.terms == ("helmholtz", "walls")
    assert problem.equation_names == ("helmholtz",)
    assert problem.asked["residual"].names == {"u", "u_xx", "u_yy"}
    assert problem.asked["left"].names == {"u"}
    _, asked = problem.record(lambda f: f.u_x + f.u, Interior(), "speed")
    assert asked.names == {"u_x", "u"}
    assert problem.coordinates == ("x", "y")


def test_a_wave_with_two_initial_conditions():
    problem = Problem(
        "klein_gordon",
        interval(0, 1).over_time(0, 1),
        ("u",),
        lambda f: {"wave": f.u_tt - f.u_xx + f.u**3},
        (
            initial_value("u", lambda f: f.x, term="initial"),
            initial_velocity("u", 0.0, term="initial"),
            dirichlet("u", 0.0, on=Face("x", 0.0), name="left"),
        ),
    )
    assert problem.terms == ("wave", "initial", "left")
    assert problem.asked["initial_velocity"].names == {"u_t"}


def test_truth_is_the_exact_solution():
    x = torch.tensor([[0.5, 0.5], [0.5, -0.5]], dtype=torch.float64)
    truth = helmholtz().truth(x)["u"]
    assert torch.allclose(truth, torch.tensor([1.0, -1.0], dtype=torch.float64))


REFUSED = {
    "twice": ({"conditions": (*WALLS, WALLS[0])}, "different names.*'left'"),
    "reserved": ({"conditions": (wall("x", 1, "residual"),)}, "got 'residual'"),
    "clash": (
        {"conditions": (dirichlet("u", 0.0, on=Boundary(), name="rim", term="helmholtz"),)},
        "condition 'rim': expected a term other",
    ),
    "typo": ({"equations": lambda f: {"e": f.u_xz}}, "equations: .*did you mean 'u_x"),
    "steady": ({"equations": lambda f: {"e": f.u_t}}, "over_time"),
    "typo in a condition": (
        {"conditions": (dirichlet("v", 0.0, on=Boundary(), name="rim"),)},
        "condition 'rim': expected a coordinate or a field, got 'v'",
    ),
    "column": ({"equations": lambda f: {"e": f.u[:, None]}}, r"equation 'e': .*got \[5, 1\]"),
    "broadcast": (
        {"conditions": (dirichlet("u", lambda f: f.x[:, None], on=Boundary(), name="rim"),)},
        r"condition 'rim': .*got \[5, 5\]",
    ),
    "number": ({"equations": lambda f: {"e": 0.0}}, "got float"),
    "no dict": ({"equations": lambda f: f.u}, "expected a dict"),
    "nothing": ({"equations": lambda f: {}}, "expected a dict"),
    "no unknown": ({"unknowns": ()}, "at least one unknown"),
    "unknown twice": ({"unknowns": ("u", "u")}, "got 'u', which is taken"),
    "coordinate": ({"unknowns": ("u", "x")}, "got 'x', which is taken"),
    "attribute": ({"unknowns": ("u", "target")}, "got 'target'"),
    "derivative": ({"unknowns": ("u", "u_x")}, "got 'u_x'"),
    "derived twice": ({"derived": {"u": lambda f: f.u}}, "got 'u', which is taken"),
    "derived column": ({"derived": {"w": lambda f: f.u[:, None]}}, "derived 'w'"),
    "exact lacks one": (
        {"unknowns": ("u", "p"), "equations": lambda f: {"e": f.u + f.p}},
        r"exact: expected values of .*add \['p'\]",
    ),
    "exact asks for fields": ({"exact": lambda f: {"u": f.u}}, "exact: .*got 'u'"),
    "exact column": ({"exact": lambda f: {"u": f.x[:, None]}}, "exact u"),
    "exact is nan": ({"exact": lambda f: {"u": f.x * math.nan}}, "finite"),
    "compared": ({"compared": ("v",)}, "compared: expected one of"),
    "exact lacks what is compared": (
        {"compared": ("speed",), "derived": {"speed": lambda f: f.u_x}},
        r"exact: .*add \['speed'\]",
    ),
    "units": ({"units": {"v": "m"}}, "units: expected one of"),
    "term": ({"equations": lambda f: {"a/b": f.u}}, "named in letters"),
    "face": ({"conditions": (wall("x", 0.3, "left"),)}, "'left': x = 0.3 lies outside the bound"),
    "predicate": (
        {"conditions": (neumann("u", 0.0, on=Boundary(lambda f: f.x > 2), name="left"),)},
        "'left': where= lies outside the boundary",
    ),
    "points": (
        {"conditions": (point_data("u", np.array([[0.0, 9.0]]), np.zeros(1), name="probe"),)},
        "'probe': 1 of 1 given points lie outside",
    ),
    "top of a curve": (
        {"domain": disk((0, 0), 1), "conditions": (wall("x", 1.0, "a"),)},
        "lies outside the boundary",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_refused_in_one_line(case):
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as caught:
        helmholtz(**changes)
    assert "\n" not in str(caught.value)
    assert "helmholtz" in str(caught.value)


def test_constants_are_floats_by_name_everywhere():
    problem = helmholtz(
        constants={"k": 2},
        equations=lambda f: {"helmholtz": f.u_xx + f.u_yy + f.k**2 * f.u},
        exact=lambda f: {"u": f.k * f.x},
        derived={"twice": lambda f: f.k * f.u},
        conditions=(dirichlet("u", lambda f: f.k * f.y, on=Boundary(), name="rim"),),
    )
    x = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    assert problem.truth(x)["u"].item() == 1.0
    changed = problem.at({"k": 3})
    assert changed.truth(x)["u"].item() == 1.5
    assert isinstance(changed.constants["k"], float)
    assert problem.constants == {"k": 2.0}


REFUSED_CONSTANTS = {
    "an unknown": ({"constants": {"u": 1.0}}, "got 'u', which is taken"),
    "a coordinate": ({"constants": {"x": 1.0}}, "got 'x', which is taken"),
    "a derivative": ({"constants": {"u_x": 1.0}}, "got 'u_x'"),
    "an attribute": ({"constants": {"constants": 1.0}}, "got 'constants'"),
    "no number": ({"constants": {"k": "2"}}, "expected a finite number for 'k', got '2'"),
    "not finite": ({"constants": {"k": math.inf}}, "finite number for 'k', got inf"),
    "mistyped": (
        {"constants": {"Re": 1.0}, "equations": lambda f: {"e": f.u * f.Ra}},
        "expected a coordinate or a field, got 'Ra'",
    ),
}


@pytest.mark.parametrize("case", REFUSED_CONSTANTS)
def test_mistaken_constants(case):
    changes, message = REFUSED_CONSTANTS[case]
    with pytest.raises(UserError, match=message) as caught:
        helmholtz(**changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_constant_names_the_nearest():
    problem = helmholtz(constants={"viscosity": 1.0, "Re": 100.0})
    with pytest.raises(UserError, match=r"got 'viscocity'; did you mean 'viscosity'\?"):
        problem.at({"viscocity": 2.0})

"""Names of partial derivatives are read as written, and mistakes are named."""

import pytest

from sciml.calculus.pointwise.names import parse
from sciml.contracts import UserError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("u", (0, ())),
        ("u_x", (0, (0,))),
        ("u_tx", (0, (0, 1))),
        ("psi_xtt", (1, (0, 1, 1))),
        ("T_e", (2, ())),
        ("T_e_xx", (2, (0, 0))),
    ],
)
def test_column_and_sorted_letters(name, expected):
    assert parse(name, ("u", "psi", "T_e"), ("x", "t")) == expected


@pytest.mark.parametrize("name", ["v", "u_z", "u_", "psix", "u_x_x"])
def test_mistakes_name_what_there_is(name):
    with pytest.raises(UserError, match=r"expected .*(u, psi|x, t).* got "):
        parse(name, ("u", "psi"), ("x", "t"))

"""Numbers as text, units, and a style that stays on its own sheet."""

from pathlib import Path

import matplotlib
import pytest
import xarray

from sciml.drawing.sheet import quantity, sheet, style, times_ten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (3.2e-4, "3.2×10⁻⁴"),
        (1.5e7, "1.5×10⁷"),
        (-2e-3, "-2.0×10⁻³"),
        (float("nan"), "nan"),
    ],
)
def test_powers_of_ten(value: float, text: str) -> None:
    assert times_ten(value) == text


@pytest.mark.parametrize(
    ("attrs", "text"), [({"units": "s"}, "0.333 s"), ({"units": "1"}, "0.333"), ({}, "0.333")]
)
def test_a_value_carries_its_unit(attrs: dict[str, str], text: str) -> None:
    assert quantity(xarray.DataArray(1 / 3, attrs=attrs)) == text


def test_drawing_leaves_the_users_style_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    (tmp_path / "figures").mkdir()
    with sheet(tmp_path, "empty", (2.0, 1.0)) as (_, path):
        assert matplotlib.rcParams["savefig.facecolor"] == style()["savefig.facecolor"] == "white"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
    assert style()["figure.constrained_layout.use"] is True

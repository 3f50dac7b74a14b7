"""Units as files spell them."""

import pytest

from sciml.contracts import UserError
from sciml.globe.archive.units import conversion


@pytest.mark.parametrize(
    ("given", "wanted", "factor", "offset"),
    [
        ("m**2 s**-2", "m2 s-2", 1, 0),
        ("m^2/s^2", "m2 s-2", 1, 0),
        ("m s**-1", "m s-1", 1, 0),
        ("m/s", "m s-1", 1, 0),
        ("meters per second", "m s-1", 1, 0),
        ("hPa", "Pa", 100, 0),
        ("millibars", "hPa", 1, 0),
        ("mb/day", "Pa s-1", 100 / 86400, 0),
        ("g/kg", "kg kg-1", 1e-3, 0),
        ("percent", "1", 0.01, 0),
        ("%", "1", 0.01, 0),
        ("degC", "K", 1, 273.15),
        ("K", "degC", 1, -273.15),
        ("degF", "K", 5 / 9, 255.37222222222223),  # 32 °F = 273.15 K
        ("mm", "m", 1e-3, 0),
        ("W m^-2", "W m-2", 1, 0),
        ("J m**-2", "kJ m-2", 1e-3, 0),
        ("N m-2", "mPa", 1e3, 0),
        ("1", "", 1, 0),
        ("(0 - 1)", "1", 1, 0),
        ("psu", "1e-3", 1, 0),
        ("cm s-1", "m s-1", 0.01, 0),
    ],
)
def test_conversions(given: str, wanted: str, factor: float, offset: float) -> None:
    assert conversion(given, wanted) == pytest.approx((factor, offset), rel=1e-12, abs=1e-9)


def test_metres_become_geopotential_only_where_it_is_one() -> None:
    for given in ("gpm", "m", "meters"):
        assert conversion(given, "m2 s-2", geopotential=True) == (9.80665, 0.0)
    assert conversion("gpdam", "m2 s-2", geopotential=True)[0] == pytest.approx(98.0665)
    with pytest.raises(UserError, match=r"expected 'm2 s-2' .*, got 'm'"):
        conversion("m", "m2 s-2")


@pytest.mark.parametrize(("given", "wanted"), [("K", "Pa"), ("m s-1", "m"), ("parsec", "m")])
def test_other_quantities_are_refused(given: str, wanted: str) -> None:
    with pytest.raises(UserError, match="units: "):
        conversion(given, wanted)

"""Units as files spell them, and the way from one to another: value·factor + offset.

`m**2 s**-2`, `m^2/s^2` and `m2 s-2` are one unit, `hPa`, `mb` and `millibars` another. A unit is a
factor times powers of kg, m, s, K (and an offset for degrees Celsius and Fahrenheit).
"""

import re
from dataclasses import dataclass

from sciml.contracts import UserError

#: Standard acceleration of gravity, m s-2 (CGPM 1901): metres of geopotential height to m2 s-2.
GRAVITY = 9.80665

#: Symbol → factor, powers of (kg, m, s, K).
_NONE = (0, 0, 0, 0)
_SYMBOLS: dict[str, tuple[float, tuple[int, int, int, int]]] = {
    "kg": (1.0, (1, 0, 0, 0)), "g": (1e-3, (1, 0, 0, 0)),
    "m": (1.0, (0, 1, 0, 0)), "km": (1e3, (0, 1, 0, 0)), "cm": (1e-2, (0, 1, 0, 0)),
    "mm": (1e-3, (0, 1, 0, 0)), "gpm": (1.0, (0, 1, 0, 0)), "dam": (10.0, (0, 1, 0, 0)),
    "s": (1.0, (0, 0, 1, 0)), "min": (60.0, (0, 0, 1, 0)), "h": (3600.0, (0, 0, 1, 0)),
    "day": (86400.0, (0, 0, 1, 0)),
    "K": (1.0, (0, 0, 0, 1)),
    "Pa": (1.0, (1, -1, -2, 0)), "hPa": (100.0, (1, -1, -2, 0)), "kPa": (1e3, (1, -1, -2, 0)),
    "bar": (1e5, (1, -1, -2, 0)), "dbar": (1e4, (1, -1, -2, 0)), "mPa": (1e-3, (1, -1, -2, 0)),
    "N": (1.0, (1, 1, -2, 0)), "J": (1.0, (1, 2, -2, 0)), "kJ": (1e3, (1, 2, -2, 0)),
    "W": (1.0, (1, 2, -3, 0)),
    "rad": (1.0, _NONE), "degree": (0.017453292519943295, _NONE), "percent": (1e-2, _NONE),
    "psu": (1e-3, _NONE),
}  # fmt: skip
_SPELLINGS = {
    "mb": "hPa", "mbar": "hPa", "millibar": "hPa", "millibars": "hPa", "pascal": "Pa",
    "pascals": "Pa", "meter": "m", "meters": "m", "metre": "m", "metres": "m", "sec": "s",
    "second": "s", "seconds": "s", "hr": "h", "hour": "h", "hours": "h", "minute": "min",
    "minutes": "min", "days": "day", "d": "day", "kelvin": "K", "degK": "K", "deg_K": "K",
    "gram": "g", "grams": "g", "gpdam": "dam", "%": "percent", "PSU": "psu", "pss": "psu",
    "degrees": "degree", "deg": "degree", "radian": "rad", "radians": "rad",
}  # fmt: skip
_OFFSETS = {
    **dict.fromkeys(
        ("degC", "deg_C", "degrees_C", "Celsius", "celsius", "C", "°C", "degree_Celsius"),
        (1.0, 273.15),
    ),
    **dict.fromkeys(("degF", "deg_F", "Fahrenheit", "°F"), (5 / 9, 273.15 - 32 * 5 / 9)),
}
_BARE = {
    "",
    "-",
    "none",
    "unitless",
    "dimensionless",
    "1",
    "fraction",
    "(0 - 1)",
    "~",
    "proportion",
}


@dataclass(frozen=True)
class Unit:
    """A factor, an offset and powers of (kg, m, s, K): SI value = value·factor + offset."""

    factor: float
    powers: tuple[int, ...]
    offset: float = 0.0


def parse(text: str) -> Unit:
    """The unit that a text spells.

    Raises:
        UserError: a symbol that is not known.
    """
    text = text.strip()
    if text in _OFFSETS:
        return Unit(_OFFSETS[text][0], (0, 0, 0, 1), _OFFSETS[text][1])
    if text.lower() in _BARE:
        return Unit(1.0, _NONE)
    factor, powers = 1.0, [0, 0, 0, 0]
    for sign, piece in _pieces(text):
        scale, dimension, exponent = _symbol(piece, text)
        factor *= scale ** (sign * exponent)
        powers = [p + sign * exponent * d for p, d in zip(powers, dimension, strict=True)]
    return Unit(factor, tuple(powers))


def _pieces(text: str) -> list[tuple[int, str]]:
    """Factors with +1, divisors with -1."""
    found, sign = [], 1
    spaced = text.replace("**", "^").replace("·", " ").replace("*", " ").replace("/", " / ")
    for piece in re.sub(r"\s*\^\s*", "^", spaced).split():
        if piece in ("/", "per"):
            sign = -1
        else:
            found.append((sign, piece))
            sign = 1
    return found


def _symbol(piece: str, text: str) -> tuple[float, tuple[int, ...], int]:
    try:
        return float(piece), _NONE, 1
    except ValueError:
        match = re.fullmatch(r"([^\d^+-]+)\^?([+-]?\d+)?", piece)
    name = _SPELLINGS.get(match[1], match[1]) if match else piece
    if match is None or name not in _SYMBOLS:
        raise UserError(f"units: {piece!r} in {text!r} is no unit known here")
    return *_SYMBOLS[name], int(match[2] or 1)


def conversion(given: str, wanted: str, geopotential: bool = False) -> tuple[float, float]:
    """(factor, offset): value in `wanted` = value in `given`·factor + offset.

    Args:
        geopotential: metres of geopotential height may become m2 s-2.

    Raises:
        UserError: the two are units of different quantities, or not known.
    """
    if given.strip() == wanted.strip():
        return 1.0, 0.0
    a, b = parse(given), parse(wanted)
    gravity = 1.0
    if geopotential and a.powers == (0, 1, 0, 0) and b.powers == (0, 2, -2, 0):
        gravity = GRAVITY
    elif a.powers != b.powers:
        raise UserError(f"units: expected {wanted!r} or what can be turned into it, got {given!r}")
    return a.factor * gravity / b.factor, (a.offset - b.offset) / b.factor

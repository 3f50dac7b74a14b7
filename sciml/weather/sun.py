"""Where the sun stands, and what it sends to the top of the atmosphere.

    cos Z = sin φ sin δ + cos φ cos δ cos h,      Q = S_0 (1 au / R)² max(0, cos Z)

with days n since 2000-01-01 12:00:

    L = 280.460° + 0.9856474° n           mean longitude
    g = 357.528° + 0.9856003° n           mean anomaly
    λ = L + 1.915° sin g + 0.020° sin 2g  ecliptic longitude
    ε = 23.439° - 0.0000004° n            obliquity
    sin δ = sin ε sin λ                   declination
    tan α = cos ε tan λ                   right ascension;  L - α is the equation of time
    R = 1.00014 - 0.01671 cos g - 0.00014 cos 2g

good to 0.01° between 1950 and 2050. The hour angle h is that of true solar time: 0 when the sun is
in the south or north. Means over a window are integrals in closed form, daylight cut at ±h_0,
cos h_0 = -tan φ tan δ.

Source: J. J. Michalsky, "The Astronomical Almanac's algorithm for approximate solar position
(1950-2050)", Solar Energy 40 (1988) 227-235, doi:10.1016/0038-092X(88)90045-X.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: W m⁻² at 1 au. Source: G. Kopp, J. L. Lean, Geophysical Research Letters 38 (2011) L01706.
SOLAR_CONSTANT = 1360.8
#: 2000-01-01 12:00 as seconds since 1970-01-01, and seconds in a day.
J2000, DAY = 946_728_000, 86_400


class Sun(NamedTuple):
    """Declination and equation of time in radians, and (1 au / R)²; all float64."""

    declination: Tensor
    equation_of_time: Tensor
    nearness: Tensor


def sun(time: Int[Tensor, "*t"]) -> Sun:
    """The sun at `time`, seconds since 1970-01-01 UTC."""
    n = (time - J2000).double() / DAY
    mean = torch.deg2rad(280.460 + 0.9856474 * n)
    g = torch.deg2rad(357.528 + 0.9856003 * n)
    ecliptic = mean + torch.deg2rad(1.915 * g.sin() + 0.020 * (2 * g).sin())
    tilt = torch.deg2rad(23.439 - 0.0000004 * n)
    ascension = torch.atan2(tilt.cos() * ecliptic.sin(), ecliptic.cos())
    distance = 1.00014 - 0.01671 * g.cos() - 0.00014 * (2 * g).cos()
    return Sun(torch.asin(tilt.sin() * ecliptic.sin()), _half_turn(mean - ascension), distance**-2)


def hour_angle(
    time: Int[Tensor, "*t"], lon: Float[Tensor, "*t n"], sun: Sun
) -> Float[Tensor, "*t n"]:
    """h in radians, within ±π; `lon` in degrees."""
    of_day = (time % DAY).double() / DAY * 2 * torch.pi - torch.pi
    return _half_turn((of_day + sun.equation_of_time)[..., None] + torch.deg2rad(lon))


def insolation(
    time: Int[Tensor, "*t"],
    lat: Float[Tensor, " n"],
    lon: Float[Tensor, " n"],
    window: float = 0.0,
) -> Float[Tensor, "*t n"]:
    """Q / S_0 at the top of the atmosphere, float64.

    Args:
        time: seconds since 1970-01-01 UTC.
        lat, lon: degrees.
        window: seconds before `time` over which the mean is taken; at the instant where 0.
    """
    middle = (time - round(window / 2)) if window else time
    now = sun(middle)
    phi, delta = torch.deg2rad(lat.double()), now.declination[..., None]
    upright, turning = phi.sin() * delta.sin(), phi.cos() * delta.cos()
    h = hour_angle(middle, lon.double().expand(*time.shape, -1), now)
    if not window:
        return now.nearness[..., None] * (upright + turning * h.cos()).clamp(min=0)
    half = torch.pi * window / DAY
    limit = torch.acos((-upright / turning.clamp(min=1e-12)).clamp(-1, 1))
    received = _received(h + half, upright, turning, limit)
    received = received - _received(h - half, upright, turning, limit)
    return now.nearness[..., None] * received / (2 * half)


def _received(h: Tensor, upright: Tensor, turning: Tensor, limit: Tensor) -> Tensor:
    """∫ max(0, cos Z) dh from -π to h, whole days included."""
    days = torch.floor((h + torch.pi) / (2 * torch.pi))
    within = torch.maximum(torch.minimum(h - 2 * torch.pi * days, limit), -limit)
    day = 2 * (upright * limit + turning * limit.sin())
    return days * day + upright * (within + limit) + turning * (within.sin() + limit.sin())


def _half_turn(angle: Tensor) -> Tensor:
    """Within ±π."""
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
